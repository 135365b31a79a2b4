"""Middlewares that follow one another share one pass over an answer."""

import asyncio

from starlette.types import Message, Send

from proxy.http.passing import Passing, passing
from tests.support.asgi import OK

START, PIECE, LAST = OK


def sink(sent: list[Message]) -> Send:
    """A `send` that keeps what it is given."""

    async def send(message: Message) -> None:
        sent.append(message)

    return send


def marking(answer: Passing, mark: bytes) -> None:
    """Have the start of an answer marked, as a middleware does."""
    answer.at_start(lambda start: {**start, "headers": [*start["headers"], (mark, b"")]})


async def sent_through(send: Send) -> None:
    """Send an answer."""
    for message in OK:
        await send(message)


def test_a_start_is_seen_from_the_inside_out() -> None:
    """Each middleware sees a start as the one behind it has made it; pieces pass as they are."""
    sent: list[Message] = []
    outer = passing(sink(sent))
    marking(outer, b"outer")
    inner = passing(outer.send)
    marking(inner, b"inner")
    assert inner is outer
    asyncio.run(sent_through(inner.send))
    assert sent == [{**START, "headers": [(b"x", b"y"), (b"inner", b""), (b"outer", b"")]}, PIECE, LAST]


def test_what_stands_between_sees_everything() -> None:
    """A wrapper of someone else's between two middlewares is not left out."""
    sent: list[Message] = []
    seen: list[Message] = []
    outer = passing(sink(sent))

    async def between(message: Message) -> None:
        seen.append(message)
        await outer.send(message)

    inner = passing(between)
    assert inner is not outer
    asyncio.run(sent_through(inner.send))
    assert seen == sent == list(OK)


def test_how_far_an_answer_is() -> None:
    """An answer has begun with its start, and is complete with its last piece."""
    answer = passing(sink([]))
    progress = []
    for message in OK:
        progress.append((answer.has_begun, answer.is_complete))
        asyncio.run(_awaited(answer, message))
    assert [*progress, (answer.has_begun, answer.is_complete)] == [
        (False, False), (True, False), (True, False), (True, True),
    ]  # fmt: skip


async def _awaited(answer: Passing, message: Message) -> None:
    await answer.send(message)
