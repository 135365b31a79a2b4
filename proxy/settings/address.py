"""Where a listener is, and whether a URL leads back to it."""

import socket
from typing import Final, NamedTuple

from proxy.http.base_url import base_url


class Address(NamedTuple):
    """Where to listen: a host and a port (0: any free one), or the path of a Unix socket."""

    host: str
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def leads_to(url: str, address: Address) -> bool:
    """Whether `url` leads to the listener at `address`, as far as this machine knows without a name server."""
    upstream = base_url(url)
    if upstream.socket:
        return upstream.socket == address.path
    if address.path or not address.port or upstream.port != address.port:
        return False
    there, here = _numeric(upstream.host), _numeric(address.host)
    if there is None or here is None:
        return upstream.host == address.host
    if _is_loopback(there) and _is_loopback(here):
        return True
    return there == here or (here in _ANY and _is_own(there))


_ANY: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 -- compared, not bound


def _is_loopback(host: str) -> bool:
    return (
        host == "::1" or host.startswith("127.") or host in _ANY
    )  # a connection to the unspecified address reaches this machine


def _numeric(host: str) -> str | None:
    """`host` as an address in its usual form, without asking a name server."""
    host = {"localhost": "127.0.0.1", socket.gethostname(): "0.0.0.0"}.get(host, host)  # noqa: S104 -- as above
    try:
        found = socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
    except OSError:
        return None
    return str(found[0][4][0]).removeprefix("::ffff:")


def _is_own(host: str) -> bool:
    """Whether `host` is an address of this machine: only those can be bound."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True
