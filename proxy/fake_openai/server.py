"""The fake API as a real HTTP server: in the foreground, or in a thread for tests and the demo.

Knows uvicorn and nothing of the API.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Unpack

import uvicorn
from starlette.types import ASGIApp

from .app import Settings, build
from .websocket import WebSocketProtocol


def serve(host: str, port: int, **options: Unpack[Settings]) -> None:
    """Serve until interrupted. The instance is named for its address, unless it is given a name."""
    options.setdefault("instance", f"{host}:{port}")
    uvicorn.run(build(**options), host=host, port=port, ws=WebSocketProtocol, lifespan="off", access_log=False)


@contextmanager
def running(app: ASGIApp) -> Iterator[str]:
    """An app on an ephemeral port of 127.0.0.1, in a thread, until the block ends; gives `http://127.0.0.1:PORT`."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, ws=WebSocketProtocol, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
