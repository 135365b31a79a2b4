"""Accepts connections one for each turn of the loop, where uvloop's own listener would accept all that wait.

With TLS, the handshake happens here: a connection has the deadline of a request's head for it, and counts against the
limit on descriptors from its first moment. The task that waits for it is one of those that a drain waits for, and
cancels in the end.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final

from proxy.observers.logs import LOGGER

_SHUTDOWN: Final = 1.0
"""Seconds that a client has to answer the announcement of the end of TLS (close_notify)."""
_BREATH: Final = 0.1
"""Seconds for which nothing is accepted where it fails, as without descriptors."""


class Client(asyncio.Protocol):
    """What speaks to a client, as far as it matters here."""

    header_timeout: float
    highest_descriptor: int


class Acceptor:
    """Makes connections of sockets: those that it accepts at `listener` from `listen()` on, and those that it is given.

    `tasks` are those that have not become connections yet.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], Client],
        tasks: set[asyncio.Task[None]],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._protocol = protocol
        self._tasks = tasks
        self._tls = tls
        self._pause: asyncio.TimerHandle | None = None

    def listen(self) -> None:
        """Accept connections, until `stop()`."""
        self._listener.setblocking(False)
        self._resume()

    def stop(self) -> None:
        """Accept no more; the listener stays open."""
        self._loop.remove_reader(self._listener)
        if self._pause is not None:
            self._pause.cancel()

    def take(self, client: socket.socket) -> None:
        """Make a connection of a socket that was accepted."""
        task = self._loop.create_task(self._connect(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # another process was faster, or the client has left
            return
        except OSError as error:
            LOGGER.warning("No connection can be accepted: %s", error.strerror)
            self._loop.remove_reader(self._listener)
            self._pause = self._loop.call_later(_BREATH, self._resume)
            return
        self.take(client)

    async def _connect(self, client: socket.socket) -> None:
        protocol = self._protocol()
        if self._tls is not None and client.fileno() > protocol.highest_descriptor:
            LOGGER.warning("A client was refused: out_of_descriptors")
            client.close()
            return
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, client, **self._options(protocol))
        except ssl.SSLError as error:
            LOGGER.warning("A client was refused: tls_handshake (%s)", error.reason)
        except OSError:  # it has left, or was too slow
            pass

    def _options(self, protocol: Client) -> dict[str, Any]:
        if self._tls is None:
            return {}
        durations = {"ssl_handshake_timeout": protocol.header_timeout, "ssl_shutdown_timeout": _SHUTDOWN}
        return {"ssl": self._tls, **durations}
