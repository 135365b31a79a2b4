"""A server on one socket that ends without breaking off what was asked.

Told to end, it goes on accepting for a while, so that whoever sends it requests can notice, and every answer that
begins now says that its connection ends. Then it listens no more, closes connections on which nothing happens, and
waits, so long as it may, for the rest. What has not ended by then is cut, visibly.
"""

import array
import asyncio
import contextlib
import socket
import struct
import sys
from typing import Any, Final

import uvicorn

from proxy.settings.address import Address

_TICK: Final = 0.05
"""Seconds between two looks at what goes on. A connection idle at both of two is closed: a client that read the end of
an answer which did not yet announce the connection's has that long to send its next request."""
_LAST_WORDS: Final = 1.0
"""Seconds in which requests that were cut end."""
_LAST_WRITES: Final = 10.0
"""Seconds in which the application lets go of what it holds; it may have to tell a server that does not answer."""
_LAST: Final = (b"connection", b"close")
_NO_SYN: Final = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # the flags of the TCP header
        (0x45, 0, 1, 0x02),  # SYN?
        (0x06, 0, 0, 0),  # dropped
        (0x06, 0, 0, 0xFFFFFFFF),  # passes
    )
)
_SO_ATTACH_FILTER: Final = 26


class DrainingServer(uvicorn.Server):
    """Serves on `listener`, and `delay` seconds longer than it is told to; signals are handled elsewhere."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket, delay: float = 0.0) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self._listener = listener
        self._delay = delay
        self._told = asyncio.Event()
        self._idle: set[Any] = set()

    @property
    def name(self) -> str:
        """Where it listens."""
        if self._listener.family == socket.AF_UNIX:
            return f"unix:{self._listener.getsockname()}"
        host, port = self._listener.getsockname()[:2]
        return f"http://{Address(host, port)}"

    @property
    def _connections(self) -> set[Any]:
        return self.server_state.connections

    async def serve_socket(self) -> None:
        """Serve until told to end, and then to the end."""
        await self._serve([self._listener])

    def end(self) -> None:
        """End in order; at once where that was said before."""
        self.force_exit = self._told.is_set()
        self._told.set()
        self._announce()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        """Wait: uvicorn would look ten times a second."""
        await self.on_tick(0)
        await self._told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 -- ours is the one
        """Drain; see above."""
        now = asyncio.get_running_loop().time
        began = now()
        while not self.force_exit and now() < began + (self.config.timeout_graceful_shutdown or 0):
            if now() >= began + self._delay:
                if self.servers:
                    let_nobody_in(self._listener)
                    await asyncio.sleep(_TICK)
                await self._listen_no_more()
                self._close_idle()
                if not self.server_state.connections and not self.server_state.tasks:
                    break
            await asyncio.sleep(_TICK)
        await self._listen_no_more()
        await self._cut()
        await self._let_go()

    async def _let_go(self) -> None:
        """Let the application write what it has to and close what it holds, unless somebody is impatient."""
        closing = asyncio.create_task(self.lifespan.shutdown())
        until = asyncio.get_running_loop().time() + _LAST_WRITES
        while not (closing.done() or self.force_exit) and asyncio.get_running_loop().time() < until:
            await asyncio.wait([closing], timeout=_TICK)
        closing.cancel()

    def _announce(self) -> None:
        """Let the answer to the last request that has come, and to any that will, say that the connection ends."""
        self.server_state.default_headers = [_LAST]
        for connection in self._connections:
            if connection.cycle is not None and not connection.cycle.response_started:
                connection.cycle.default_headers = [_LAST]

    async def _listen_no_more(self) -> None:
        """Accept what has connected already, which would be reset otherwise, and nothing after it."""
        if not self.servers:
            return
        queue = self._listener.dup()
        queue.setblocking(False)
        self.servers.pop().close()
        self._listener.close()
        with queue, contextlib.suppress(BlockingIOError):
            for _ in range(self.config.backlog):
                client, _ = queue.accept()
                await asyncio.get_running_loop().connect_accepted_socket(self._protocol, client)

    def _protocol(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class
        made: asyncio.Protocol = make(self.config, self.server_state, self.lifespan.state)
        return made

    def _close_idle(self) -> None:
        idle = {connection for connection in self._connections if connection.is_idle()}
        for connection in idle & self._idle:
            connection.transport.close()
        self._idle = idle

    async def _cut(self) -> None:
        """Break off what still runs."""
        tasks = self.server_state.tasks.copy()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_LAST_WORDS)


def let_nobody_in(listener: socket.socket) -> None:
    """Let no connection begin; what has begun gets through. Who tries again a second later is refused, or not.

    Between the last `accept` and the end of listening there is always a moment, and a connection made in it is reset
    when its request was sent: so it went with one in 30 restarts under 1,500 connections a second.
    """
    if sys.platform == "linux" and listener.family != socket.AF_UNIX:
        program = array.array("B", _NO_SYN)
        address, size = program.buffer_info()
        with contextlib.suppress(OSError):  # some kernels allow it to nobody without capabilities
            listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", size // 8, address))
