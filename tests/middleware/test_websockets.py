"""Which handshakes are let through, how many, and how they are counted. With a real server: tests/websockets."""

import asyncio

import orjson
import pytest
from starlette.types import Message, Receive, Scope, Send

from proxy.http.context import context_of
from proxy.middleware.websockets import WebSocketMiddleware
from proxy.streams.offer import EXTENSION, Offer
from proxy.streams.stream import Stream
from tests.support.asgi import OK, answering, http, sent

pytestmark = pytest.mark.anyio
SOUND = [(b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="), (b"sec-websocket-version", b"13")]


def no_stream() -> Stream:
    """The stream of a client that has left."""
    raise ConnectionResetError


def offering(path: bytes = b"/v1/realtime", *, draining: bool = False) -> Scope:
    """The scope of a handshake."""
    ending = asyncio.Event()
    if draining:
        ending.set()
    extensions = {EXTENSION: Offer(no_stream, ending)}
    return http(http_version="1.1", raw_path=path, headers=SOUND, extensions=extensions)


async def never(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """An app that must not be called."""
    raise AssertionError


def told(messages: list[Message]) -> tuple[int, str]:
    """The status and the code of a fault."""
    return messages[0]["status"], orjson.loads(messages[1]["body"])["error"]["code"]


@pytest.mark.parametrize("scope", [http(), {"type": "lifespan"}, http(extensions={"http.response.push": {}})])
async def test_all_else_passes(scope: Scope) -> None:
    """A request without an offer, and what is no request, is for the app."""
    assert await sent(WebSocketMiddleware(answering(), never, 1), scope) == list(OK)


@pytest.mark.parametrize(
    ("path", "has_sessions", "kind"),
    [
        (b"/v1/responses", True, "session"),
        (b"/openai/v1/responses", True, "session"),
        (b"/v1/responses/x", True, "tunnel"),
        (b"/v1/realtime", True, "tunnel"),
        (b"/v1/responses", False, "tunnel"),
    ],
)
async def test_kinds(path: bytes, has_sessions: bool, kind: str) -> None:
    """A socket at `…/responses` is a session, unless there are none; it is counted while its app runs."""
    counted = []

    async def sockets(scope: Scope, receive: Receive, send: Send) -> None:
        counted.append((context_of(scope).socket.kind, dict(app.open)))  # type: ignore[union-attr]
        await answering()(scope, receive, send)

    app = WebSocketMiddleware(never, sockets, 1, has_sessions=has_sessions)
    assert await sent(app, offering(path)) == list(OK)
    assert counted == [(kind, {kind: 1})]
    assert app.open.total() == 0


async def test_a_place_is_given_back_by_one_that_fails() -> None:
    """Also where the app raises."""
    app = WebSocketMiddleware(never, never, 1)
    for _ in range(2):
        with pytest.raises(AssertionError):
            await sent(app, offering())
    assert app.open.total() == 0


async def test_refusals() -> None:
    """Off: 426 for all. Unsound: 400. Draining and beyond the limit: 503. The app hears of none."""
    unsound = {**offering(), "headers": []}
    assert told(await sent(WebSocketMiddleware(never, None, 1), unsound)) == (426, "websocket_unsupported")
    assert told(await sent(WebSocketMiddleware(never, never, 1), unsound)) == (400, "invalid_handshake")
    assert told(await sent(WebSocketMiddleware(never, never, 1), offering(draining=True))) == (503, "draining")
    assert told(await sent(WebSocketMiddleware(never, never, 0), offering())) == (503, "overloaded")
