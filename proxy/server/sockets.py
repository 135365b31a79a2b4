"""The listening sockets: bound here or handed over by systemd, and older than each server that accepts at them."""

import errno
import socket
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from proxy.settings import SettingsError
from proxy.settings.address import Address

BACKLOG: Final = 2048
LISTEN: Final = "--listen"
ADMIN: Final = "--admin-listen"
_FAMILIES: Final = frozenset({socket.AF_INET, socket.AF_INET6, socket.AF_UNIX})


class _Place(NamedTuple):
    flag: str
    address: Address


class Sockets:
    """One socket for each flag and address; `handed` are those that systemd has bound, by flag.

    A server gets a duplicate, so that what waits in the socket's queue does not depend on one process or server.
    """

    def __init__(self, handed: Mapping[str, socket.socket] = MappingProxyType({})) -> None:
        self._handed = handed
        self._open: dict[_Place, socket.socket] = {}

    def at(self, flag: str, address: Address) -> socket.socket:
        """The socket at `address`, or the one that was handed over in its place.

        Raises SettingsError where it cannot be had.
        """
        if flag in self._handed:
            return self._handed[flag]
        place = _Place(flag, address)
        if place not in self._open:
            try:
                self._open[place] = _bound(address)
            except OSError as error:
                raise SettingsError(f"{flag}: cannot listen on {address}: {_why(error, flag, address)}") from None
        return self._open[place]

    def keep(self, kept: Collection[socket.socket]) -> None:
        """Close all but these, and remove the paths of those that are closed."""
        for place, listener in list(self._open.items()):
            if listener not in kept:
                del self._open[place]
                listener.close()
                _remove(place.address)

    def release(self, listener: socket.socket) -> None:
        """Close a socket here, so that it ends with the last server that accepts at it; its path stays."""
        listener.close()

    def close(self) -> None:
        """Close everything that was bound here."""
        self.keep(())


def url(listener: socket.socket, *, secured: bool = False) -> str:
    """Where a socket listens."""
    if listener.family == socket.AF_UNIX:
        return f"unix:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    return f"{'https' if secured else 'http'}://{Address(host, port)}"


def handed_over(descriptors: Sequence[tuple[int, str]]) -> dict[str, socket.socket]:
    """By flag, the sockets of systemd: one named `admin` and another, or, without names, in this order: clients, admin.

    Raises SettingsError where one is no socket that listens, or there are too many.
    """
    found: dict[str, socket.socket] = {}
    for number, name in descriptors:
        flag = ADMIN if name == "admin" or LISTEN in found else LISTEN
        if flag in found:
            raise SettingsError(f"LISTEN_FDS hands over {len(descriptors)} sockets, but there are two listeners.")
        found[flag] = _adopted(number)
    return found


def _adopted(number: int) -> socket.socket:
    try:
        listener = socket.socket(fileno=number)
    except OSError as error:
        raise SettingsError(f"LISTEN_FDS: descriptor {number} is no socket: {error.strerror}.") from None
    listens = listener.type == socket.SOCK_STREAM and listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if not listens or listener.family not in _FAMILIES:
        raise SettingsError(f"LISTEN_FDS: descriptor {number} is a socket at which no connection can be accepted.")
    return listener


def _why(error: OSError, flag: str, address: Address) -> str:
    if error.errno != errno.EADDRINUSE:
        return f"{error.strerror or error}."
    another = "another path" if address.path else f"{flag} {Address(address.host, address.port % 65_000 + 100)}"
    return f"another program listens there. Stop it, or choose another place, as with {another}."


def _bound(address: Address) -> socket.socket:
    if address.path:
        return _bound_path(address.path)
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    both = address.host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((address.host, address.port), family=family, backlog=BACKLOG, dualstack_ipv6=both)


def _bound_path(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    if _is_left_over(path):
        Path(path).unlink()
    try:
        listener.bind(path)
    except OSError:
        listener.close()
        raise
    listener.listen(BACKLOG)
    return listener


def _is_left_over(path: str) -> bool:
    """Whether there is a socket at `path` without a listener."""
    if not Path(path).is_socket():
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == errno.ECONNREFUSED


def _remove(address: Address) -> None:
    if address.path:
        Path(address.path).unlink(missing_ok=True)
