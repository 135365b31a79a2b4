"""What no client can bring about on purpose: the moment in which a server listens no more, or looks twice."""

import asyncio
import socket
from typing import Any

import pytest
import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from proxy.server import draining
from proxy.server.draining import DrainingServer
from proxy.server.protocol import ClientProtocol
from tests.support.asgi import answering
from tests.support.raw_client import PATIENCE, request


def server(listener: socket.socket) -> DrainingServer:
    """A server of an app that says OK."""
    http = type("ClientProtocol", (ClientProtocol,), {"header_timeout": 20, "highest_descriptor": 1000})
    config = uvicorn.Config(answering(), http=http, lifespan="off", log_config=None, timeout_graceful_shutdown=20)
    return DrainingServer(config, listener)


def test_who_has_connected_already_is_answered() -> None:
    """A client whose connection the system has accepted, but not we, when we listen no more, is answered, not reset."""

    async def main() -> bytes:
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
            serving = server(listener)
            done = asyncio.create_task(serving.serve_socket())
            await serving.ready.wait()
            client.settimeout(PATIENCE)
            client.connect(listener.getsockname())  # blocks the loop: nobody accepts meanwhile
            client.sendall(request(b"GET", b"/"))
            serving._stop_listening()
            serving.end()
            got = await asyncio.to_thread(client.recv, 65536)
            await done
            return got

    got = uvloop.run(main())
    assert got.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in got


def test_who_connects_without_end_does_not_hold_up_the_end() -> None:
    """No more connections are accepted at the end than may have waited for it."""

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as first, socket.socket() as second:
            serving = server(listener)
            serving.config.backlog = 1
            done = asyncio.create_task(serving.serve_socket())
            await serving.ready.wait()
            for client in (first, second):
                client.settimeout(PATIENCE)
                client.connect(listener.getsockname())
            serving._stop_listening()
            serving.end()
            assert await asyncio.to_thread(first.recv, 1) == b""
            with pytest.raises(ConnectionResetError):
                await asyncio.to_thread(second.recv, 1)
            await done

    uvloop.run(main())


class Connection:
    """A connection as the server sees it."""

    def __init__(self, *looks: bool) -> None:
        self.looks = list(looks)
        self.transport = self
        self.closed = False

    def is_idle(self) -> bool:
        """Whether it is idle at this look."""
        return self.looks.pop(0)

    def close(self) -> None:
        """Close."""
        self.closed = True


def test_a_connection_has_to_be_idle_twice() -> None:
    """A connection is closed when it was idle at two looks in a row, so that a next request has time to come."""
    with socket.socket() as listener:
        serving = server(listener)
        idle, busy = Connection(True, True), Connection(True, False)
        connections: Any = serving.server_state.connections
        connections.update((idle, busy))
        serving._close_idle()
        assert (idle.closed, busy.closed) == (False, False)
        serving._close_idle()
        assert (idle.closed, busy.closed) == (True, False)


@pytest.mark.parametrize("signals", [1, 2])
def test_an_application_that_does_not_let_go(monkeypatch: pytest.MonkeyPatch, signals: int) -> None:
    """What the application does at the end is not waited for for ever, and not at all where the end is said twice."""
    monkeypatch.setattr(draining, "_LAST_WRITES", 0.1 if signals == 1 else 3600.0)
    told = asyncio.Event()

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        told.set()
        await asyncio.sleep(3600)

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            config = uvicorn.Config(app, lifespan="on", log_config=None, timeout_graceful_shutdown=20)
            serving = DrainingServer(config, listener)
            done = asyncio.create_task(serving.serve_socket())
            await serving.ready.wait()
            serving.end()
            await told.wait()
            if signals == 2:
                serving.end()
            await asyncio.wait_for(done, PATIENCE)

    uvloop.run(main())
