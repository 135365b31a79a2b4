"""ASGI without a server: one request for an app, and the messages it sends."""

import asyncio
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

OK: tuple[Message, ...] = (
    {"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]},
    {"type": "http.response.body", "body": b"a", "more_body": True},
    {"type": "http.response.body", "body": b"b"},
)


def http(**changed: Any) -> dict[str, Any]:
    """The scope of a GET."""
    scope = {"type": "http", "method": "GET", "path": "/v1/models", "raw_path": b"/v1/models", "headers": []}
    return {**scope, "query_string": b"", **changed}


def answering(*messages: Message) -> ASGIApp:
    """An app that sends these messages."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages or OK:
            await send(message)

    return app


async def receive() -> Message:
    """A request without a body."""
    return {"type": "http.request"}


async def sent(app: ASGIApp, scope: Scope) -> list[Message]:
    """What `app` sends for one request."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, send)
    return messages


def answer(app: ASGIApp, scope: Scope | None = None) -> list[Message]:
    """What `app` sends for one request, in a loop of its own."""
    return asyncio.run(sent(app, http() if scope is None else scope))
