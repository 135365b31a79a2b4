"""What the client gets where we made a mistake."""

import asyncio

import orjson
import pytest
from starlette.types import Message, Receive, Scope, Send

from proxy.http.context import context_of
from proxy.middleware.server_errors import ServerErrorsMiddleware
from tests.support.asgi import OK, answer, answering, http, receive

MISTAKE = ValueError("sk-hunter2")


def failing_after(*messages: Message, reason: Exception = MISTAKE, forwarded: bool = False) -> list[Message]:
    """What is sent by an app that raises after these messages; `forwarded`: after upstream has the request."""
    came: list[Message] = []

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        context_of(scope).is_forwarded = forwarded
        raise reason

    async def send(message: Message) -> None:
        came.append(message)

    with pytest.raises(type(reason)):
        asyncio.run(ServerErrorsMiddleware(app)(http(), receive, send))
    return came


def test_a_mistake_is_answered() -> None:
    """A mistake is a 500 in OpenAI's shape without anything of the request in it; the server hears of it as well."""
    start, body = failing_after()
    assert start["status"] == 500
    assert orjson.loads(body["body"])["error"]["code"] == "internal_error"
    assert b"hunter2" not in body["body"]


@pytest.mark.parametrize(("forwarded", "retry"), [(False, True), (True, False)])
def test_memory_that_cannot_be_had(*, forwarded: bool, retry: bool) -> None:
    """Where memory cannot be had that is a 503, with which a client may try again unless upstream has the request."""
    start, body = failing_after(reason=MemoryError(), forwarded=forwarded)
    assert (start["status"], orjson.loads(body["body"])["error"]["code"]) == (503, "out_of_memory")
    assert ((b"x-should-retry", b"true") in start["headers"]) == retry


def test_a_mistake_amid_an_answer() -> None:
    """An answer that has begun is left as it is, and cut."""
    assert failing_after(*OK[:2]) == list(OK[:2])


@pytest.mark.parametrize("scope", [http(), {"type": "lifespan"}], ids=["http", "lifespan"])
def test_all_else_passes(scope: Scope) -> None:
    """Where no mistake is made, nothing is done."""
    assert answer(ServerErrorsMiddleware(answering()), scope) == list(OK)
