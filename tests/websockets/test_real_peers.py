"""The `websockets` library as client and as server, with a tunnel between: it must not notice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus
from websockets.frames import CloseCode

from tests.support.process import running

pytestmark = pytest.mark.anyio


async def echo(connection: ServerConnection) -> None:
    """Give back each message; close with a code and a reason of its own when told so."""
    async for message in connection:
        if message == "go":
            await connection.close(4003, "told to")
        elif message == "drop":
            connection.transport.abort()
        else:
            await connection.send(message)


@asynccontextmanager
async def between(**options: object) -> AsyncIterator[str]:
    """The URL of a proxy in front of an echo server."""
    async with serve(echo, "127.0.0.1", 0, **options) as server:  # type: ignore[arg-type]
        port = server.sockets[0].getsockname()[1]
        with running("--upstream", f"http://127.0.0.1:{port}") as process:
            yield f"ws://127.0.0.1:{await asyncio.to_thread(lambda: process.port)}/v1/realtime"


async def exchanged(client: ClientConnection, message: str | bytes) -> str | bytes:
    """What comes back."""
    await client.send(message)
    return await client.recv()


async def test_compression_is_negotiated_between_the_two() -> None:
    """permessage-deflate and its parameters pass, and the compressed messages with them."""
    async with between() as url, connect(url, compression="deflate") as client:
        [extension] = client.protocol.extensions
        assert extension.name == "permessage-deflate"
        text = "a sentence that compresses well. " * 5_000
        assert await exchanged(client, text) == text
        assert await exchanged(client, b"\0" * 300_000) == b"\0" * 300_000
        assert await exchanged(client, [text, text]) == text + text  # type: ignore[arg-type]


async def test_subprotocols_are_negotiated_between_the_two() -> None:
    """The client offers several, the server takes one."""
    async with (
        between(subprotocols=["realtime"]) as url,
        connect(url, subprotocols=["openai-insecure-api-key.sk-1", "realtime"]) as client,  # type: ignore[list-item]
    ):
        assert client.subprotocol == "realtime"


async def test_pings_reach_the_other_side() -> None:
    """A ping is answered by the peer and by nobody between."""
    async with between(ping_interval=None) as url, connect(url, ping_interval=None) as client:
        latency = await (await client.ping(b"who is there?"))
        assert latency > 0


@pytest.mark.parametrize("ending", ["go", "drop", "leave"])
async def test_close_codes(ending: str) -> None:
    """Code and reason are those of the side that closed; a connection that is dropped has none."""
    async with between() as url, connect(url) as client:
        assert await exchanged(client, "x") == "x"
        if ending == "leave":
            await client.close(1000, "enough")
            with pytest.raises(ConnectionClosedOK):
                await client.recv()
            assert (client.close_code, client.close_reason) == (1000, "enough")
            return
        await client.send(ending)
        with pytest.raises(ConnectionClosedError):
            await client.recv()
        wanted = (4003, "told to") if ending == "go" else (CloseCode.ABNORMAL_CLOSURE, "")
        assert (client.close_code, client.close_reason) == wanted


async def test_a_message_beyond_the_servers_limit() -> None:
    """The server's 1009 is the client's: on this code clients fall back to HTTP."""
    async with between(max_size=1_000_000) as url, connect(url) as client:
        await client.send(b"x" * 1_000_001)
        with pytest.raises(ConnectionClosedError):
            await client.recv()
        assert client.close_code == CloseCode.MESSAGE_TOO_BIG


async def test_a_refused_handshake() -> None:
    """The server's status and body reach the client's exception."""

    async def refusing(connection: ServerConnection, _: object) -> object:
        return connection.respond(401, "no key")

    async with between(process_request=refusing) as url:
        with pytest.raises(InvalidStatus) as refused:
            async with connect(url):
                pass
    assert (refused.value.response.status_code, refused.value.response.body) == (401, b"no key")
