"""What both demonstrations are made of: servers on this machine, what they are asked, and what is printed."""

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TextIO

import uvicorn
from starlette.types import ASGIApp

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


def _listener(port: int) -> socket.socket:
    for candidate in range(port, port + _NEXT_PORTS if port else 0):
        try:
            return socket.create_server(("127.0.0.1", candidate))
        except OSError:
            continue
    return socket.create_server(("127.0.0.1", 0))
