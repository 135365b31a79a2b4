"""The server of the admin listener, which others than the app's own process may be asked about."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from proxy.admin import Readiness, Reading, admin
from proxy.admin.page import Inspection
from proxy.server.draining import DrainingServer
from proxy.server.serving import server_config
from proxy.settings import Settings

_DRAIN: Final = 1
"""Seconds in which it ends when the data listener has ended."""


class AdminServer:
    """Serves the admin app at one socket, then perhaps at another."""

    def __init__(self, readiness: Readiness, reading: Callable[[], Awaitable[Reading]]) -> None:
        self._readiness = readiness
        self._reading = reading
        self._server: DrainingServer | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, settings: Settings, listener: socket.socket | None, inspection: Inspection | None) -> None:
        """Serve at a duplicate of `listener`, in the place of what was served before; None: no more."""
        before, self._server = self._server, None
        if listener is not None:
            config = server_config(admin(self._readiness, self._reading, inspection), settings, lifespan="off")
            config.timeout_graceful_shutdown = _DRAIN
            self._server = DrainingServer(config, listener.dup())
            self._tasks.add(asyncio.create_task(self._server.serve_socket()))
            await self._server.ready.wait()
        if before is not None:
            before.end()

    async def close(self) -> None:
        """Serve no more."""
        if self._server is not None:
            self._server.end()
        await asyncio.gather(*self._tasks)
