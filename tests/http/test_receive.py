"""The pieces of a request's body: what has arrived, what is waited for, and for how long."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvloop
from starlette.types import Message

from proxy.http.context import RequestContext
from proxy.http.faults import Fault
from proxy.http.receive import ClientGone, Pieces

on_each_loop = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
NewLoop = Callable[[], asyncio.AbstractEventLoop]


def piece(body: bytes, *, more: bool = True) -> Message:
    """A message with a piece of a body."""
    return {"type": "http.request", "body": body, "more_body": more}


def client(*messages: Message, pause: float = 0.0) -> Callable[[], Awaitable[Message]]:
    """A client that sends these, pauses before each where there is a pause, and then is silent."""
    coming = list(messages)

    async def receive() -> Message:
        if pause:
            await asyncio.sleep(pause)
        if not coming:
            await asyncio.sleep(60)
        return coming.pop(0)

    return receive


def taken(new_loop: NewLoop, pieces: Pieces, count: int = 1) -> list[tuple[bytes, bool]]:
    """The next pieces."""

    async def work() -> list[tuple[bytes, bool]]:
        return [await pieces.next() for _ in range(count)]

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(work())


@on_each_loop
def test_what_has_arrived_is_not_waited_for(new_loop: NewLoop) -> None:
    """Pieces come as they are, and none of their time was the client's."""
    context = RequestContext()
    pieces = Pieces(client(piece(b"a"), {"type": "http.request"}), 5, context)
    assert taken(new_loop, pieces, 2) == [(b"a", True), (b"", False)]
    assert context.client_wait == 0


@on_each_loop
def test_waiting_is_the_clients_time_until_the_request_is_forwarded(new_loop: NewLoop) -> None:
    """What is waited for is noted, and is upstream's time from the moment on in which upstream is asked."""
    context = RequestContext()
    pieces = Pieces(client(piece(b"a"), piece(b"b"), piece(b"c"), pause=0.02), 5, context)
    assert taken(new_loop, pieces, 2) == [(b"a", True), (b"b", True)]
    waited = context.client_wait
    assert waited >= 0.03
    context.is_forwarded = True
    assert taken(new_loop, pieces) == [(b"c", True)]
    assert context.client_wait == waited


@on_each_loop
def test_a_silent_client(new_loop: NewLoop) -> None:
    """It is answered 408, and the silence was its own."""
    context = RequestContext()
    with pytest.raises(Fault, match="Timed out") as caught:
        taken(new_loop, Pieces(client(), 0.05, context))
    assert caught.value.status == 408
    assert context.client_wait >= 0.04


@on_each_loop
@pytest.mark.parametrize("pause", [0.0, 0.01])
def test_a_client_that_left(new_loop: NewLoop, pause: float) -> None:
    """There is no next piece."""
    with pytest.raises(ClientGone):
        taken(new_loop, Pieces(client({"type": "http.disconnect"}, pause=pause), 5, RequestContext()))


@on_each_loop
def test_a_task_that_is_cancelled_while_it_waits(new_loop: NewLoop) -> None:
    """It is no silence of the client."""

    async def work() -> None:
        waiting = asyncio.ensure_future(Pieces(client(), 5, RequestContext()).next())
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(work())
