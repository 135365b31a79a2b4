"""No more requests in progress than there may be."""

import asyncio

import orjson
import pytest
from starlette.types import Message, Receive, Scope, Send

from proxy.middleware.limit import LimitMiddleware
from tests.support.asgi import OK, answer, answering, http, sent

pytestmark = pytest.mark.anyio


async def test_beyond_the_limit() -> None:
    """One request too many is refused at once, in OpenAI's shape, and may be sent again; the others go on."""
    gate = asyncio.Event()

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await answering()(scope, receive, send)

    app = LimitMiddleware(waiting, 2)
    running = [asyncio.create_task(sent(app, http())) for _ in range(2)]
    await asyncio.sleep(0)
    start, body = await sent(app, http())
    assert start["status"] == 503
    assert {(b"retry-after", b"1"), (b"x-should-retry", b"true")} <= set(start["headers"])
    assert orjson.loads(body["body"])["error"]["code"] == "overloaded"
    gate.set()
    assert await asyncio.gather(*running) == [list(OK)] * 2
    assert await sent(app, http()) == list(OK)


async def test_mistakes_do_not_count() -> None:
    """A request that ends in an exception, or is cancelled, leaves its place to the next."""
    app = LimitMiddleware(_mistaken, 1)
    for _ in range(3):
        with pytest.raises(ValueError, match=r"^$"):
            await sent(app, http())
    app.app = _endless
    task = asyncio.create_task(sent(app, http()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    app.app = answering()
    assert await sent(app, http()) == list(OK)


async def _mistaken(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise ValueError


async def _endless(_scope: Scope, _receive: Receive, _send: Send) -> None:
    await asyncio.Event().wait()


def test_other_scopes_pass() -> None:
    """What is no request is not limited."""
    messages: list[Message] = answer(LimitMiddleware(answering(), 0), {"type": "lifespan"})
    assert messages == list(OK)
