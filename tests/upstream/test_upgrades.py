"""Clients that want to go on with another protocol, and apps that run under other servers."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import uvloop
from starlette.types import Message, Scope

from proxy.events import Observers
from proxy.http.base_url import base_url
from proxy.http.context import context_of
from proxy.http.metadata import Metadata
from proxy.streams.offer import EXTENSION, START, Offer
from proxy.streams.stream import Stream
from proxy.upstream.interface import Answer, Occupancy, Request, Tunnel
from proxy.upstream.reverse_proxy import ReverseProxy
from tests.support.asgi import receive
from tests.support.peers import Peer, peer
from tests.support.raw_client import request
from tests.support.scripts import answer
from tests.support.upstream_server import ScriptedUpstream
from tests.upstream.conftest import Proxied

HANDSHAKE = [(b"Connection", b"Upgrade"), (b"Sec-WebSocket-Version", b"13"), (b"Sec-WebSocket-Key", b"eA==")]


def test_a_websocket_handshake_is_answered_426(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """The one status on which clients fall back to HTTP, in OpenAI's shape, and the connection ends with it."""
    with proxied.connect() as client:
        client.send(request(b"GET", b"/v1/responses", [*HANDSHAKE, (b"Upgrade", b"websocket")]))
        got = client.answer()
        assert client.rest() == b""
    assert (got.status, json.loads(got.body)["error"]["code"]) == (426, "websocket_unsupported")
    assert got.values(b"upgrade") == [b"HTTP/1.1"]
    assert (upstream.received, proxied.causes) == ([], [])


def test_an_upgrade_to_http2_is_ignored(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """An offer of h2c is not taken up, and is not passed on either."""
    upstream.will_answer(answer(200, b"1"))
    offer = [(b"Connection", b"Upgrade, HTTP2-Settings"), (b"Upgrade", b"h2c"), (b"HTTP2-Settings", b"AAMAAABk")]
    assert proxied.exchange(request(b"GET", b"/x", offer)).body == b"1"
    assert [name for name, _ in upstream.received[0].fields] == [b"host"]


def test_a_body_that_the_server_lost_is_not_sent_as_empty(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """The parser llhttp takes every request with an Upgrade as one without a body; what is left of it is refused."""
    offer = [(b"Connection", b"Upgrade"), (b"Upgrade", b"h2c")]
    got = proxied.exchange(request(b"POST", b"/x", offer, b"body"))
    assert (got.status, json.loads(got.body)["error"]["code"]) == (400, "incomplete_body")
    assert upstream.received == []


class Recording(Answer):
    """A client of upstream that records the requests, and gives each the same short answer."""

    status = 200

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.metadata = Metadata(self.fields)
        self.requests: list[Request] = []
        self.closed = False

    async def send(self, request: Request) -> "Recording":
        """Take note."""
        self.requests.append(request)
        return self

    async def open(self, request: Request) -> "Recording":
        """Refuse a tunnel with the same answer."""
        return await self.send(request)

    async def read(self) -> tuple[bytes, bool]:
        """All there is, a little later."""
        await asyncio.sleep(0)
        return b"ok", False

    def occupancy(self) -> Occupancy:
        """It has no connections."""
        return Occupancy()

    async def close(self) -> None:
        """Take note."""
        self.closed = True


class Tunnelling(Recording):
    """A client of upstream for which upstream switches protocols, with this stream behind it."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self.stream = stream

    async def open(self, request: Request) -> Tunnel:  # type: ignore[override]
        """Take note, and agree."""
        self.requests.append(request)
        return Tunnel([(b"upgrade", b"websocket")], self.stream)


async def handshake(upstream: Peer, accept: Callable[[], Stream], conversation: Any = None) -> Request:
    """The request that the proxy sends for a handshake with an extension, and what becomes of the tunnel."""
    client = Tunnelling(upstream.stream)
    fields = [*((name.lower(), value) for name, value in HANDSHAKE), (b"sec-websocket-extensions", b"x")]
    scope: Scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": fields}
    scope["extensions"] = {EXTENSION: Offer(accept, asyncio.Event())}
    context_of(scope).conversation = conversation
    app = ReverseProxy(client, base_url("http://a.test"), Observers())
    await app(scope, receive, answered)
    [sent] = client.requests
    return sent


async def answered(message: Message) -> None:
    """The server takes the head of the 101, and nothing else is sent."""
    assert message["type"] == START


def test_a_driver_of_its_own_gets_both_streams() -> None:
    """It reads what passes, so that compression is not offered to upstream; without one both sides are joined."""

    async def main() -> None:
        client, upstream = await peer(), await peer()
        given: list[Stream] = []

        async def conversation(*streams: Stream) -> None:
            given.extend(streams)
            for stream in streams:
                stream.abort()

        sent = await handshake(upstream, lambda: client.stream, conversation)
        assert given == [client.stream, upstream.stream]
        assert b"sec-websocket-extensions" not in dict(sent.fields)
        for side in (client, upstream):
            await side.sees_a_reset()
        client, upstream = await peer(), await peer()
        for side in (client, upstream):
            side.end()
        sent = await handshake(upstream, lambda: client.stream)
        assert (b"sec-websocket-extensions", b"x") in sent.fields
        for side in (client, upstream):
            assert await side.take(1) == b""
            side.socket.close()

    uvloop.run(main())


def test_a_client_that_leaves_with_the_101() -> None:
    """Upstream has agreed in the moment in which the client left: its connection is reset."""

    async def main() -> None:
        def gone() -> Stream:
            raise ConnectionResetError

        upstream = await peer()
        await handshake(upstream, gone)
        await upstream.sees_a_reset()

    uvloop.run(main())


def run(client: Recording, scope: Scope, *received: Message) -> list[Message]:
    """What the proxy sends for `scope` when it receives these messages."""
    app = ReverseProxy(client, base_url("http://a.test"), Observers())
    messages = list(received)
    sent: list[Message] = []

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


def test_a_websocket_scope_is_denied_with_a_response_where_the_server_can() -> None:
    """Under a server that speaks WebSocket the denial is the same 426."""
    scope = {"type": "websocket", "extensions": {"websocket.http.response": {}}}
    start, body = run(Recording(), scope, {"type": "websocket.connect"})
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 426)
    assert (body["type"], json.loads(body["body"])["error"]["code"]) == (
        "websocket.http.response.body",
        "websocket_unsupported",
    )


def test_a_websocket_scope_is_closed_where_the_server_knows_nothing_better() -> None:
    """Without the extension a close is all that can be said."""
    assert run(Recording(), {"type": "websocket"}, {"type": "websocket.connect"}) == [{"type": "websocket.close"}]


def test_connections_are_closed_with_the_server() -> None:
    """The lifespan's end is the client's end."""
    client = Recording()
    lifespan = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = run(client, {"type": "lifespan"}, *lifespan)
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert client.closed


def test_messages_after_the_body_are_of_no_interest() -> None:
    """A server that says more than it should does not end the exchange."""
    scope = {"type": "http", "method": "GET", "raw_path": b"/", "path": "/", "query_string": b"", "headers": []}
    assert run(Recording(), scope, {"type": "http.request"}, {"type": "http.request"})[-1]["body"] == b"ok"


def test_a_server_without_raw_paths_is_served() -> None:
    """`raw_path` is optional in ASGI; then the path is encoded again."""
    client = Recording()
    scope = {"type": "http", "method": "GET", "path": "/a b/ü", "query_string": b"c", "headers": []}
    sent = run(client, scope, {"type": "http.request"})
    [asked] = client.requests
    *fields, (name, _) = asked.fields
    assert asked._replace(fields=fields) == Request(b"GET", b"/a%20b/%C3%BC?c", [(b"host", b"a.test")], b"")
    assert name == b"via"
    assert sent[-1] == {"type": "http.response.body", "body": b"ok", "more_body": False}
