"""Any ASGI app under a real server: uvicorn with httptools and uvloop in a thread, as in production but for its port.

`with serving(app) as port:` returns when connections are accepted, and on leaving when the last task has ended.
`with staged() as stage:` is one server for many apps, one after the other.
"""

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

PATIENCE = 20.0


class _Server(uvicorn.Server):
    """A server that says when it has started, and stops when told so and not at its next tick."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._stopped: asyncio.Event

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self._stopped.wait()

    def stop(self) -> None:
        """Begin to shut down, from another thread."""
        self._loop.call_soon_threadsafe(self._stopped.set)


@contextmanager
def serving(app: ASGIApp, **options: Any) -> Iterator[int]:
    """Serve `app` on an ephemeral port of 127.0.0.1, which is the value; `options` go to `uvicorn.Config`."""
    chosen: dict[str, Any] = {
        "http": "httptools",
        "loop": "uvloop",
        "ws": "none",
        "lifespan": "auto",
        "log_config": None,
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
        "date_header": False,
        "timeout_graceful_shutdown": 3,
        "backlog": 2048,
    }
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = _Server(uvicorn.Config(app, **{**chosen, **options}))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            assert server.ready.wait(PATIENCE), "the server did not start"
            yield listener.getsockname()[1]
        finally:
            server.stop()
            thread.join(PATIENCE)
            assert not thread.is_alive(), "the server did not stop"


class Stage:
    """An app whose place others take while its server goes on; stopping a server takes a tenth of a second.

    `stage.show(app)` from then on; `stage.run(coroutine)` in the server's loop.
    """

    def __init__(self) -> None:
        self.port = 0
        self._app: ASGIApp
        self._loop: asyncio.AbstractEventLoop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Play what is on."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        self._loop = asyncio.get_running_loop()
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})

    def show(self, app: ASGIApp) -> int:
        """Answer with `app` from now on; the port where it does."""
        self._app = app
        return self.port

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` in the server's loop, and wait for its end."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)


@contextmanager
def staged() -> Iterator[Stage]:
    """A stage with a server around it."""
    stage = Stage()
    with serving(stage) as stage.port:
        yield stage
