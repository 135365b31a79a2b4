"""A server on one socket that drains: it ends without breaking off what was requested.

The phases, in order:

1. *Serving*, until `end()`.
2. *Announcing*, for `delay` seconds. The listener still accepts, so that load balancers can notice, and every answer
   that begins now says `Connection: close`.
3. *Draining*. The connections in the listener's queue are accepted, because closing would reset them, and the listener
   is closed. Idle connections are closed, requests in progress and tunnels run on for up to the graceful timeout.
4. *Cutting*. What still runs is cancelled, so that its connection is visibly cut.
5. *Closing*. The application writes what it has to and closes what it holds.

A second `end()` skips to 4.

`retire()` is for a server whose listener others go on with: it accepts nothing more, says `Connection: close` as in 2,
and ends when its last connection has ended, without a limit. No idle connection is closed before its time, because the
client may be sending its next request. A later `end()` goes to 3.

What may happen at any time: a signal, a connection that is opened or lost, an answer that
begins. No phase is returned to.

Between the last `accept` and the closing of the listener there is always a moment in which the kernel completes a
handshake that is then reset. Measured 2026-11 on 127.0.0.1: one connection in 100 restarts under 1,300 connections a
second, two in 120 under 8,000; where the loop handled each connection before it accepted the next, three in 200 and 443
in 120. A filter on the listener that drops SYN packets would make it none on Linux, at the price of a second for each
client that connects meanwhile; the announced delay is what keeps clients from connecting then.
"""

import asyncio
import contextlib
import socket
import ssl
from typing import Any, Final

import uvicorn
from uvicorn.server import ServerState

from proxy.server.acceptor import Acceptor, Client

_TICK: Final = 0.05
"""Seconds between two checks. A connection that is idle at two checks in a row is closed: a client that read an answer
without `Connection: close` has that long to send its next request."""
_LOOK: Final = 0.5
"""Seconds between two looks at what a retired server still has to do."""
_LAST_WORDS: Final = 1.0
"""Seconds for cancelled requests to end."""
_LAST_WRITES: Final = 10.0
"""Seconds for the application to close; a store that does not answer may hold it up."""
_LAST: Final = (b"connection", b"close")


class State(ServerState):
    """What the connections of a server share; `draining` is set when it begins to end."""

    def __init__(self) -> None:
        super().__init__()
        self.draining = asyncio.Event()


class DrainingServer(uvicorn.Server):
    """Serves on `listener`, and for `delay` seconds after `end()`. Signals are handled by the process.

    Where it `shares` its listener with other processes, each of them accepts one connection at a time.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        listener: socket.socket,
        delay: float = 0.0,
        tls: ssl.SSLContext | None = None,
        *,
        shares: bool = False,
    ) -> None:
        super().__init__(config)
        self._tls = tls
        self._accepts_itself = shares or tls is not None
        self.ready = asyncio.Event()
        self._listener = listener
        self._delay = delay
        self.server_state: State = State()
        self._is_leaving = asyncio.Event()
        self._idle: set[Any] = set()
        self._acceptor: Acceptor
        self._has_stopped = False

    @property
    def _connections(self) -> set[Any]:
        return self.server_state.connections

    async def serve_socket(self) -> None:
        """Serve until `end()`, then drain."""
        await self._serve([self._listener])

    def end(self) -> None:
        """Drain; on the second call, cut what still runs."""
        self.force_exit = self.server_state.draining.is_set()
        self.server_state.draining.set()
        self._is_leaving.set()
        self._announce()

    def retire(self) -> None:
        """Leave the listener to others, and end with the last connection."""
        self._is_leaving.set()
        self._announce()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and set `ready`."""
        await super().startup([] if self._accepts_itself else sockets)
        self._acceptor = Acceptor(self._listener, self._protocol, self.server_state.tasks, self._tls)
        if self._accepts_itself:
            self._acceptor.listen()
        self.ready.set()

    async def main_loop(self) -> None:
        """Wait for `end()` or `retire()`: uvicorn polls ten times a second."""
        await self.on_tick(0)
        await self._is_leaving.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 -- there is one listener
        """Phases 2 to 5."""
        if not self.server_state.draining.is_set():
            await self._outlast()
        now = asyncio.get_running_loop().time
        began = now()
        while not self.force_exit and now() < began + (self.config.timeout_graceful_shutdown or 0):
            if self._has_stopped or now() >= began + self._delay:
                self._stop_listening()
                self._close_idle()
                if not self.server_state.connections and not self.server_state.tasks:
                    break
            await asyncio.sleep(_TICK)
        self._stop_listening()
        await self._cut()
        await self._close_application()

    async def _close_application(self) -> None:
        """Let the application write what it has to and close what it holds, unless a second signal arrives."""
        closing = asyncio.create_task(self.lifespan.shutdown())
        until = asyncio.get_running_loop().time() + _LAST_WRITES
        while not (closing.done() or self.force_exit) and asyncio.get_running_loop().time() < until:
            await asyncio.wait([closing], timeout=_TICK)
        closing.cancel()

    def _announce(self) -> None:
        """Answers that have not begun yet say that their connection ends."""
        self.server_state.default_headers = [_LAST]
        for connection in self._connections:
            if connection.cycle is not None and not connection.cycle.response_started:
                connection.cycle.default_headers = [_LAST]

    async def _outlast(self) -> None:
        """Serve what there is until it has ended, or until `end()`."""
        self._close_listener()
        while self.server_state.connections or self.server_state.tasks:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.server_state.draining.wait(), _LOOK)
                return

    def _stop_listening(self) -> None:
        """Accept the connections in the queue, which would otherwise be reset, and close the listener."""
        if self._has_stopped:
            return
        queue = self._listener.dup()
        queue.setblocking(False)
        self._close_listener()
        for client in _accept_and_close(queue, self.config.backlog):
            self._acceptor.take(client)

    def _close_listener(self) -> None:
        self._has_stopped = True
        self._acceptor.stop()
        for server in self.servers:
            server.close()
        self._listener.close()

    def _protocol(self) -> Client:
        make: Any = self.config.http_protocol_class
        made: Client = make(self.config, self.server_state, self.lifespan.state)
        return made

    def _close_idle(self) -> None:
        idle = {connection for connection in self._connections if connection.is_idle()}
        for connection in idle & self._idle:
            connection.transport.close()
        self._idle = idle

    async def _cut(self) -> None:
        """Cancel the requests that still run."""
        tasks = self.server_state.tasks.copy()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_LAST_WORDS)


def _accept_and_close(listener: socket.socket, most: int) -> list[socket.socket]:
    """The connections in the listener's queue, at most so many; nothing runs between the last `accept` and closing."""
    accepted: list[socket.socket] = []
    with listener, contextlib.suppress(OSError):  # BlockingIOError: the queue is empty; else: out of descriptors
        while len(accepted) < most:
            accepted.append(listener.accept()[0])
    return accepted
