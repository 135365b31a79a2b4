"""The pool of connections, and what is left of it when requests are cancelled anywhere."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any

import pytest

from proxy.http.base_url import base_url
from proxy.http.faults import Fault
from proxy.upstream.client import Http1Client
from proxy.upstream.connection import Connection
from proxy.upstream.interface import Deadlines, Limits, Request
from tests.support.scripts import UNTIL_CLOSED, answer, event_stream, script
from tests.support.upstream_server import ScriptedUpstream

GET = Request(b"GET", b"/", [(b"host", b"a.test")], b"")


async def whole(client: Http1Client, request: Request = GET) -> bytes:
    """The body of the answer to `request`."""
    received = await client.send(request)
    try:
        body, more = b"", True
        while more:
            piece, more = await received.read()
            body += piece
        return body
    finally:
        await received.close()


async def emptied(client: Http1Client) -> None:
    """Wait until every connection is closed."""
    while client.pool.taken:  # noqa: ASYNC110 - the pool has no event for a closed connection
        await asyncio.sleep(0.01)


async def heard(upstream: ScriptedUpstream) -> None:
    """Wait until upstream has a request, without blocking the loop."""
    await asyncio.to_thread(upstream.wait_received)


def run(upstream: ScriptedUpstream, work: Callable[[Http1Client], Awaitable[None]], **limits: Any) -> None:
    """Do `work` with a client of `upstream`; no test here is about its deadlines, so that they are long."""

    async def main() -> None:
        client = Http1Client(base_url(upstream.url), Deadlines(connect=20.0), Limits(**limits))
        try:
            await work(client)
        finally:
            await client.close()

    asyncio.run(main())


def test_the_connection_used_last_is_used_first(upstream: ScriptedUpstream) -> None:
    """Few connections stay warm and the others expire."""
    upstream.will_answer(*(answer(200, b"x") for _ in range(6)))

    async def work(client: Http1Client) -> None:
        await asyncio.gather(whole(client), whole(client), whole(client))
        for _ in range(3):
            await whole(client)

    run(upstream, work)
    assert upstream.connections == 3
    assert len({received.connection for received in upstream.received[3:]}) == 1


def test_a_free_connection_is_handed_to_the_longest_waiting_request(upstream: ScriptedUpstream) -> None:
    """Requests beyond the limit take their turns on the connections there are."""
    upstream.will_answer(*(answer(200, b"%d" % number) for number in range(20)))

    async def work(client: Http1Client) -> None:
        bodies = await asyncio.gather(*(whole(client) for _ in range(20)))
        assert bodies == [b"%d" % number for number in range(20)]

    run(upstream, work, connections=1)
    assert upstream.connections == 1


def test_a_closed_connection_makes_room_for_who_waits(upstream: ScriptedUpstream) -> None:
    """Where connections cannot be kept, a waiting request makes a new one."""
    upstream.will_answer(*(answer(200, b"x", [(b"Connection", b"close")]) for _ in range(5)))

    async def work(client: Http1Client) -> None:
        assert await asyncio.gather(*(whole(client) for _ in range(5))) == [b"x"] * 5
        await emptied(client)

    run(upstream, work, connections=1)
    assert upstream.connections == 5


def test_a_connection_handed_over_in_its_last_moment_is_not_used(upstream: ScriptedUpstream) -> None:
    """A connection that expired while it was handed over is replaced."""
    upstream.will_answer(*(answer(200, b"x") for _ in range(3)))

    async def work(client: Http1Client) -> None:
        assert await asyncio.gather(*(whole(client) for _ in range(3))) == [b"x"] * 3

    run(upstream, work, connections=1, keepalive_expiry=-1.0)
    assert upstream.connections == 3


def test_idle_connections_are_closed_when_their_time_is_over(upstream: ScriptedUpstream) -> None:
    """Idle connections are closed also when no request needs one."""
    upstream.will_answer(*(answer(200, b"x") for _ in range(3)))

    async def work(client: Http1Client) -> None:
        await asyncio.gather(whole(client), whole(client))
        await asyncio.sleep(0.05)
        await whole(client)
        await emptied(client)

    run(upstream, work, keepalive_expiry=0.08)


def test_a_connection_closed_by_upstream_leaves_the_pool(upstream: ScriptedUpstream) -> None:
    """An idle connection that upstream closes releases its slot immediately."""
    upstream.will_answer(answer(200, b"x"))

    async def work(client: Http1Client) -> None:
        await whole(client)
        assert client.pool.taken == 1
        upstream.close()
        await emptied(client)
        with pytest.raises(Fault, match="No connection"):
            await whole(client)
        assert client.pool.taken == 0

    run(upstream, work)


def test_a_connection_that_has_lived_long_is_not_used_again(upstream: ScriptedUpstream) -> None:
    """A name is resolved again now and then, however busy its connections are."""
    upstream.will_answer(*(answer(200, b"x") for _ in range(3)))

    async def work(client: Http1Client) -> None:
        await asyncio.gather(whole(client), whole(client))
        client.pool._idle[-1].made_at = float("-inf")
        await whole(client)

    run(upstream, work)
    assert upstream.received[2].connection in (1, 2)


def test_a_request_that_gives_up_in_the_moment_of_being_served_is_skipped(upstream: ScriptedUpstream) -> None:
    """A slot goes to the first request that still waits."""
    upstream.will_answer(script(UNTIL_CLOSED), answer(200, b"second"))

    async def work(client: Http1Client) -> None:
        tasks = [asyncio.create_task(whole(client)) for _ in range(3)]
        await heard(upstream)
        tasks[1].cancel()
        client.pool.taken += 1
        client.pool._release()  # as when a third connection closes
        await tasks[2]
        await client.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [Fault, asyncio.CancelledError, bytes]

    run(upstream, work, connections=1)


def test_closing_the_client_cuts_what_is_under_way(upstream: ScriptedUpstream) -> None:
    """Requests in progress end with a fault when the connections are closed, and the slots come back."""
    upstream.will_answer(script(UNTIL_CLOSED), event_stream([b"data: 1\n\n", UNTIL_CLOSED]))

    async def work(client: Http1Client) -> None:
        waiting = asyncio.create_task(whole(client))
        await heard(upstream)
        begun = await client.send(GET)
        await client.close()
        for ended in (waiting, begun.read(), begun.read()):
            with contextlib.suppress(Fault):
                await ended
        with pytest.raises(Fault, match="within its response"):
            await begun.read()
        with pytest.raises(Fault, match="before it answered"):
            await waiting
        await emptied(client)

    run(upstream, work)


def test_a_connection_that_closes_before_it_is_used_is_none(upstream: ScriptedUpstream) -> None:
    """What closes between the handshake and the request has not seen the request, and takes no slot."""

    async def work(client: Http1Client) -> None:
        dial = client.pool._connect

        async def lost() -> Connection:
            connection = await dial()
            connection.abandon()
            while not connection.closed:  # noqa: ASYNC110 - there is no callback yet
                await asyncio.sleep(0)
            return connection

        async def closing() -> Connection:
            connection = await dial()
            connection.abandon()
            return connection

        for connect in (lost, closing):
            client.pool._connect = connect
            with pytest.raises(Fault, match="nothing was sent"):
                await whole(client)
            await emptied(client)

    run(upstream, work)


class Stepped:
    """Awaits `work`, and cancels the task at its `number`th pause: as it begins, or when what it waits for has come."""

    def __init__(self, work: Awaitable[Any], number: int, *, late: bool) -> None:
        self.work = work
        self.left = number
        self.late = late

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self.work.__await__()
        error: BaseException | None = None
        while True:
            try:
                pause = steps.send(None) if error is None else steps.throw(error)
            except StopIteration as end:
                return end.value
            self._disturb(pause)
            error = None
            try:
                yield pause
            except BaseException as thrown:  # noqa: BLE001 - it is the work's own affair
                error = thrown

    def _disturb(self, pause: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        cancel = task.cancel
        if self.left == 0 and self.late and pause is not None:
            pause.add_done_callback(lambda _: cancel())
        elif self.left == 0:
            asyncio.get_running_loop().call_soon(cancel)
        self.left -= 1


async def dripping() -> AsyncIterator[bytes]:
    """A body that comes in pieces."""
    for piece in (b"ab", b"cd"):
        await asyncio.sleep(0)
        yield piece


def uploading() -> Request:
    """A request with such a body."""
    return Request(b"POST", b"/", [(b"host", b"a.test"), (b"transfer-encoding", b"chunked")], dripping())


STATES = [
    set(state) for size in range(5) for state in itertools.combinations(("warm", "upload", "busy", "closing"), size)
]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("state", STATES, ids=lambda state: "+".join(sorted(state)) or "plain")
def test_no_slot_is_lost_wherever_a_request_is_cancelled(
    upstream: ScriptedUpstream, state: set[str], late: bool
) -> None:
    """Cancelled at any pause, while it connects, waits, sends or reads, a request leaves its slot to others."""
    fields = [(b"Connection", b"close")] if "closing" in state else []
    upstream.will_always_answer(event_stream([b"data: 1\n\n", b"data: 2\n\n"], fields))
    body = b"data: 1\n\ndata: 2\n\n"
    number, disturbed = 0, True

    async def work(client: Http1Client) -> None:
        nonlocal disturbed
        if "warm" in state:
            assert await whole(client) == body
        before = [asyncio.create_task(whole(client))] if "busy" in state else []
        stepped = Stepped(whole(client, uploading() if "upload" in state else GET), number, late=late)
        task = asyncio.ensure_future(stepped)
        after = [asyncio.create_task(whole(client))] if "busy" in state else []
        with contextlib.suppress(asyncio.CancelledError):
            assert await task == body
        assert await asyncio.gather(*before, *after) == [body] * len(before + after)
        assert await whole(client) == body
        await asyncio.sleep(0.001)
        assert client.pool.taken <= 1
        disturbed = stepped.left < 0

    while disturbed:
        run(upstream, work, connections=1)
        number += 1
    assert number > 1
