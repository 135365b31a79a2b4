"""What the client gets where we made a mistake."""

import asyncio

import orjson
import pytest
from starlette.types import Message, Receive, Scope, Send

from proxy.middleware.server_errors import ServerErrorsMiddleware
from tests.support.asgi import OK, answer, answering, http, receive


def failing_after(*messages: Message) -> list[Message]:
    """What is sent by an app that makes a mistake after these messages."""
    came: list[Message] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        raise ValueError("sk-hunter2")

    async def send(message: Message) -> None:
        came.append(message)

    with pytest.raises(ValueError, match="hunter2"):
        asyncio.run(ServerErrorsMiddleware(app)(http(), receive, send))
    return came


def test_a_mistake_is_answered() -> None:
    """A mistake is a 500 in OpenAI's shape without anything of the request in it; the server hears of it as well."""
    start, body = failing_after()
    assert start["status"] == 500
    assert orjson.loads(body["body"])["error"]["code"] == "internal_error"
    assert b"hunter2" not in body["body"]


def test_a_mistake_amid_an_answer() -> None:
    """An answer that has begun is left as it is, and cut."""
    assert failing_after(*OK[:2]) == list(OK[:2])


@pytest.mark.parametrize("scope", [http(), {"type": "lifespan"}], ids=["http", "lifespan"])
def test_all_else_passes(scope: Scope) -> None:
    """Where no mistake is made, nothing is done."""
    assert answer(ServerErrorsMiddleware(answering()), scope) == list(OK)
