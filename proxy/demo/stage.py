"""What both demonstrations are made of: servers on this machine, what they are asked, and what is printed."""

import asyncio
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final, TextIO

import uvicorn
import uvloop
from starlette.types import ASGIApp

from proxy.app import build
from proxy.events import Observers
from proxy.server.draining import DrainingServer
from proxy.server.serving import server
from proxy.settings import Settings
from proxy.store.interface import Store

FIRST, SECOND, LAST = (
    "My name is Ada. What is the weather in Paris? Use the tool get_weather.",
    "What is my name?",
    "And what did I ask you first?",
)
INDENT: Final = " " * 12
_NEXT_PORTS: Final = 10


@dataclass
class Account:
    """What is printed, and whether all behaved."""

    out: TextIO = field(default_factory=lambda: sys.stdout)
    behaved: bool = True

    def say(self, line: str = "") -> None:
        """Print one line."""
        self.out.write(line + "\n")
        self.out.flush()

    def expect(self, *, so: bool, otherwise: str) -> None:
        """Note whether something is as it has to be."""
        if not so:
            self.behaved = False
            self.say(f"{INDENT}NOT AS IT SHOULD BE: {otherwise}")


class _Server(uvicorn.Server):
    """A server that says when it has started."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(uvicorn.Config(app, log_config=None, access_log=False, ws="none"))
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self.ready.set()


@contextmanager
def serving(app: ASGIApp, port: int = 0) -> Iterator[str]:
    """`app` on 127.0.0.1, in a thread, on `port` or the next free one; the value is its address."""
    with _listener(port) as listener:
        server = _Server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        server.ready.wait()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


class _Running:
    """A server of Unpinned's in a thread of its own: only under it WebSockets pass."""

    def __init__(self, proxy: DrainingServer) -> None:
        self._proxy = proxy
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait()

    def end(self) -> None:
        """End it, and wait for the end."""
        self._loop.call_soon_threadsafe(self._proxy.end)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        serving = asyncio.ensure_future(self._proxy.serve_socket())
        await self._proxy.ready.wait()
        self._ready.set()
        await serving


@contextmanager
def unpinned(settings: Settings, store: Store | None = None) -> Iterator[str]:
    """An Unpinned on an ephemeral port of 127.0.0.1; the value is its address."""
    settings = replace(settings, drain_delay=0.0, drain_timeout=1.0)  # nothing waits for its end
    with _listener(0) as listener:
        running = _Running(server(build(settings, Observers(), store), settings, listener))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            running.end()


def _listener(port: int) -> socket.socket:
    for candidate in range(port, port + _NEXT_PORTS if port else 0):
        try:
            return socket.create_server(("127.0.0.1", candidate))
        except OSError:
            continue
    return socket.create_server(("127.0.0.1", 0))
