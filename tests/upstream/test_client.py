"""Our own client by itself: what it refuses to write, and deadlines that move."""

import asyncio
import errno
import socket
import sys
import time
from collections.abc import AsyncIterator

import pytest

from proxy.http.base_url import base_url
from proxy.http.faults import Fault
from proxy.http.headers import Fields
from proxy.upstream import dialing
from proxy.upstream.answer import IncomingAnswer
from proxy.upstream.client import Http1Client, _upload
from proxy.upstream.deadline import NEVER, Deadline
from proxy.upstream.interface import Deadlines, Request
from proxy.upstream.parser import AnswerParser
from tests.support.scripts import END, READ_BODY, UNTIL_CLOSED, Gate, answer, head, script
from tests.support.upstream_server import ScriptedUpstream
from tests.upstream.test_pool import whole

HOST = (b"host", b"a.test")


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    """A body in these pieces."""
    for chunk in chunks:
        yield chunk


def sent(upstream: ScriptedUpstream, request: Request, deadlines: Deadlines = Deadlines()) -> bytes:  # noqa: B008
    """The body of the answer to `request`."""

    async def main() -> bytes:
        client = Http1Client(base_url(upstream.url), deadlines)
        try:
            return await whole(client, request)
        finally:
            await client.close()

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("target", "fields"),
    [
        (b"/a b", []),
        (b"", []),
        (b"/a\r\nX: 1", []),
        (b"/", [(b"x", b"a\r\nevil: 1")]),
        (b"/", [(b"x", b"a\nevil: 1")]),
        (b"/", [(b"x", b"a\rb")]),
        (b"/", [(b"x", b"a\0b")]),
        (b"/", [(b"x\r\nevil", b"a")]),
    ],
)
def test_what_could_be_read_as_more_than_one_request_is_not_written(
    upstream: ScriptedUpstream, target: bytes, fields: Fields
) -> None:
    """Nothing in a target or a field can begin a line of its own, through any server or middleware."""
    with pytest.raises(Fault) as caught:
        sent(upstream, Request(b"GET", target, [HOST, *fields], b""))
    assert (caught.value.code, upstream.received) == ("invalid_fields", [])


@pytest.mark.parametrize("body", [b"abc", b"abcde"])
def test_a_body_of_another_length_than_announced_is_not_written(upstream: ScriptedUpstream, body: bytes) -> None:
    """A body that is shorter or longer than its Content-Length never leaves."""
    with pytest.raises(Fault) as caught:
        sent(upstream, Request(b"POST", b"/", [HOST, (b"content-length", b"4")], body))
    assert (caught.value.code, upstream.received) == ("incomplete_body", [])


def test_a_body_without_an_announced_length_is_not_written(upstream: ScriptedUpstream) -> None:
    """Without framing a body would be taken for the next request."""
    with pytest.raises(Fault) as caught:
        sent(upstream, Request(b"POST", b"/", [HOST], b"GET / HTTP/1.1\r\n\r\n"))
    assert caught.value.code == "incomplete_body"


@pytest.mark.parametrize("chunks", [[b"ab", b"c"], [b"ab", b"cde"]])
def test_a_streamed_body_of_another_length_is_not_completed(upstream: ScriptedUpstream, chunks: list[bytes]) -> None:
    """What is sent of a body that turns out too short or too long is never a whole one."""
    upstream.will_answer(answer())
    with pytest.raises(Fault) as caught:
        sent(upstream, Request(b"POST", b"/", [HOST, (b"content-length", b"4")], pieces(*chunks)))
    assert caught.value.code == "incomplete_body"
    upstream.wait_received().wait_closed()
    assert not upstream.received[0].whole


@pytest.mark.parametrize("chunked", [True, False])
def test_empty_pieces_end_nothing(upstream: ScriptedUpstream, chunked: bool) -> None:
    """An empty piece of a body is not its end."""
    upstream.will_answer(answer(200, b"thanks"))
    framing = (b"transfer-encoding", b"chunked") if chunked else (b"content-length", b"4")
    assert sent(upstream, Request(b"POST", b"/", [HOST, framing], pieces(b"", b"ab", b"", b"cd", b""))) == b"thanks"
    assert upstream.received[0].body == b"abcd"


@pytest.mark.parametrize("body", [b"", b"abcd"])
def test_a_whole_body_may_be_chunked(upstream: ScriptedUpstream, body: bytes) -> None:
    """A chunked body is forwarded chunked, also when it has arrived already."""
    upstream.will_answer(answer(200, b"thanks"))
    assert sent(upstream, Request(b"POST", b"/", [HOST, (b"transfer-encoding", b"chunked")], body)) == b"thanks"
    assert (upstream.received[0].body, upstream.received[0].wire[-5:]) == (body, b"0\r\n\r\n")


@pytest.mark.parametrize("error", [OSError(errno.ENOMEM, "no memory"), socket.gaierror(socket.EAI_MEMORY, "no memory")])
def test_missing_memory_is_not_upstreams_fault(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    """Where this machine has no memory for a connection, nothing is said of upstream, which was not reached."""

    async def addresses(*_: object) -> None:
        raise error

    monkeypatch.setattr(dialing, "_addresses", addresses)
    with pytest.raises(MemoryError):
        sent(upstream, Request(b"GET", b"/", [HOST], b""))
    assert upstream.received == []


def test_a_connection_lost_for_want_of_memory_says_so(upstream: ScriptedUpstream) -> None:
    """A connection that breaks because there was no memory to read into was not closed by upstream."""
    gate = Gate()
    upstream.will_answer(script(gate, *answer()))

    async def main() -> None:
        client = Http1Client(base_url(upstream.url))
        asking = asyncio.create_task(client.send(Request(b"GET", b"/", [HOST], b"")))
        await asyncio.to_thread(gate.wait_reached)
        (connection,) = client.pool._open
        connection.connection_lost(MemoryError())
        with pytest.raises(MemoryError):
            await asking
        await client.close()

    asyncio.run(main())
    gate.open()


class Poor(AnswerParser):
    """A parser without memory for a field."""

    def on_header(self, *_: bytes) -> None:
        """There is none."""
        raise MemoryError


def test_an_answer_that_cannot_be_kept_is_not_invalid() -> None:
    """Where there is no memory for an answer, nothing is said of the answer."""
    with pytest.raises(MemoryError):
        Poor().feed(memoryview(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"))


SIZE = 32 * 1024 * 1024
LARGE = Request(b"POST", b"/", [HOST, (b"content-length", b"%d" % SIZE)], bytes(SIZE))


def sip(connection: socket.socket) -> None:
    """Take a little at a time, for longer than any deadline."""
    for _ in range(10):
        left = SIZE // 12
        while left > 0:
            left -= len(connection.recv(65_536))
        time.sleep(0.1)


def test_a_large_body_that_is_taken_slowly_is_not_late(upstream: ScriptedUpstream) -> None:
    """As long as upstream takes something of a body, it is waited for."""
    upstream.will_answer([sip, END])
    with pytest.raises(Fault) as caught:
        sent(upstream, LARGE, Deadlines(idle=0.5))
    assert caught.value.code == "upstream_disconnected"


# Fixed in 3.12.9 and 3.13.2; the product runs under uvloop, which never had it.
@pytest.mark.skipif(
    (3, 12) <= sys.version_info < (3, 12, 9) or (3, 13) <= sys.version_info < (3, 13, 2),
    reason="asyncio of this Python does not stop a writer (python/cpython#127655)",
)
def test_a_large_body_that_is_not_taken_is_given_up(upstream: ScriptedUpstream) -> None:
    """A whole body that upstream stops taking ends with a fault of its own."""
    gate = Gate()
    upstream.will_answer(script(gate, READ_BODY))
    with pytest.raises(Fault) as caught:
        sent(upstream, LARGE, Deadlines(idle=0.2))
    gate.open()
    assert caught.value.code == "upstream_upload_timeout"


def test_an_answer_that_is_there_is_read_before_more_is_written(upstream: ScriptedUpstream) -> None:
    """An upstream that refuses and closes would break the next write, and its refusal would be lost with it."""
    gate = Gate()
    upstream.will_answer([gate, answer(413, b"too long")[1], END])

    async def body() -> AsyncIterator[bytes]:
        yield b"ab"
        gate.wait_reached()
        gate.open()
        upstream.received[0].wait_over()  # the whole loop waits, so that nothing is read meanwhile
        yield b"cd"

    request = Request(b"POST", b"/", [HOST, (b"content-length", b"4")], body())
    assert sent(upstream, request) == b"too long"


@pytest.mark.parametrize("early", [False, True])
def test_a_refused_body_is_not_even_begun(upstream: ScriptedUpstream, early: bool) -> None:
    """A body that waits for its invitation is dropped when a final answer comes, before or while it waits."""
    upstream.will_answer([head(417, [(b"content-length", b"2")]), UNTIL_CLOSED])
    framing = [HOST, (b"expect", b"100-continue"), (b"content-length", b"4")]

    asked: list[str] = []

    async def body() -> AsyncIterator[bytes]:
        asked.append("for the body")
        yield b"body"

    async def main() -> None:
        client = Http1Client(base_url(upstream.url))
        if early:
            connection = await client.pool.connection()
            incoming = connection.begin([b"GET / HTTP/1.1\r\n\r\n"], head_request=False, sent=False)
            await incoming.begun()
            await _upload(connection, incoming, Request(b"POST", b"/", framing, body()), 4)
            incoming.drop()
        else:
            answered = await client.send(Request(b"POST", b"/", framing, body()))
            assert isinstance(answered, IncomingAnswer)
            assert answered.upload is not None
            await answered.upload
            await answered.close()
        await client.close()

    asyncio.run(main())
    assert asked == []


@pytest.mark.parametrize("ended", [False, True])
def test_the_first_failure_counts(ended: bool) -> None:
    """An answer that has come to its end does not fail any more, and one that has failed does not fail otherwise."""

    async def main() -> None:
        incoming = IncomingAnswer(Mute(), asyncio.get_running_loop(), 10)
        incoming.add(b"so far")
        if ended:
            incoming.end()
        incoming.fail(ValueError("first"))
        incoming.fail(ValueError("second"))
        assert await incoming.read() == (b"so far", not ended)
        if not ended:
            with pytest.raises(ValueError, match="first"):
                await incoming.read()

    asyncio.run(main())


class Mute:
    """A source of nothing."""

    def pause(self) -> None:
        """Send nothing."""

    def resume(self) -> None:
        """Send nothing."""

    def abandon(self) -> None:
        """Send nothing."""


def missed_by(plan: "list[tuple[float, str]]", wait: float) -> list[str]:
    """What is reported as missed when these deadlines follow each other immediately."""
    missed: list[str] = []

    async def main() -> None:
        deadline = Deadline(asyncio.get_running_loop(), missed.append)
        for seconds, code in plan:
            deadline.expect(seconds, code)
        await asyncio.sleep(wait)
        deadline.cancel()

    asyncio.run(main())
    return missed


@pytest.mark.parametrize(
    ("plan", "missed"),
    [
        ([(0.01, "a")], ["a"]),
        ([(60.0, "a"), (0.01, "b")], ["b"]),
        ([(0.01, "a"), (0.02, "b")], ["b"]),
        ([(0.01, "a"), (60.0, "b")], []),
        ([(0.01, "a"), (NEVER, "")], []),
        ([(NEVER, "")], []),
    ],
)
def test_only_the_last_deadline_counts(plan: list[tuple[float, str]], missed: list[str]) -> None:
    """A deadline replaces the one before, whether it is earlier or later; it is missed once."""
    assert missed_by(plan, 0.2) == missed
