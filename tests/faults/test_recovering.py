"""Upstream refuses, and fails while the request is recovered: the last failure is reported, or the first refusal.

Never more attempts than allowed, never more memory than a refusal may take, whatever is sent for one.
"""

import gzip
import socket
import zlib
from collections.abc import Callable
from functools import partial

import pytest

from tests.faults.conftest import BARE, SAID, USER, Product, conversation, is_fault, product
from tests.support import memory
from tests.support.raw_client import RawAnswer
from tests.support.scripts import (
    END,
    RESET,
    UNTIL_CLOSED,
    Act,
    Gate,
    Script,
    answer,
    chunk,
    head,
    json_answer,
    refusal,
    script,
)
from tests.support.upstream_server import Received

MOST = 4
"""Attempts: the first, and UNPINNED_MAX_RECOVERIES more."""
MIB = 1024 * 1024
NOT_FOUND = refusal(404, {"message": "Item with id 'rs_1' not found.", "param": "input"}, [(b"X-Request-Id", b"first")])
CHUNKED = (b"Transfer-Encoding", b"chunked")


def body_of(played: Script) -> bytes:
    """The body of an answer in one piece."""
    last = played[-1]
    assert isinstance(last, bytes)
    return last.partition(b"\r\n\r\n")[2]


def is_first_refusal(got: RawAnswer, first: Script = NOT_FOUND) -> bool:
    """Whether an answer is the first refusal, byte for byte, and says that recovery failed."""
    same = (got.status, got.body, got.complete) == (404, body_of(first), True)
    said = got.values(b"x-unpinned-action") == [b"unrecovered"]
    return same and said and got.values(b"x-request-id") == [b"first"]


def differ(attempts: list[Received]) -> bool:
    """Whether no request was sent twice, and only the first had all that was asked."""
    bodies = [attempt.body for attempt in attempts]
    return len(set(bodies)) == len(bodies)


@pytest.mark.parametrize("began", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 404 Not"])
@pytest.mark.parametrize("step", [END, RESET])
def test_a_recovery_that_breaks_off(recovering: Product, began: bytes, step: Act) -> None:
    """A connection that breaks during a later attempt is a 502: the request may have been answered to nobody."""
    got = recovering.ask(conversation(), NOT_FOUND, script(*[began] * bool(began), step))
    assert is_fault(got, "upstream_disconnected")
    assert got.values(b"x-should-retry") == []
    assert len(recovering.attempts) == 2


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_recovery_that_fails_otherwise(recovering: Product, status: int) -> None:
    """A 429 or a 5xx during a later attempt is the client's, as it came, and nothing more is tried."""
    fields = [(b"Retry-After", b"7"), (b"X-Should-Retry", b"true"), (b"X-Request-Id", b"second")]
    got = recovering.ask(conversation(), NOT_FOUND, answer(status, b"later", fields))
    assert (got.status, got.body) == (status, b"later")
    assert [(name.title(), value) for name, value in got.fields if (name.title(), value) in fields] == fields
    assert len(recovering.attempts) == 2


@pytest.mark.parametrize("step", [END, RESET])
def test_a_recovered_stream_that_breaks(recovering: Product, step: Act) -> None:
    """A stream that began after a recovery is committed: cut, it is a cut stream, and not tried again."""
    gate = Gate()
    recovering.upstream.will_answer(NOT_FOUND, script(head(200, [CHUNKED]) + chunk(b"data: 1\n\n"), gate, step))
    with recovering.connect() as client:
        client.send(conversation())
        got = client.head()
        client.until(b"data: 1\n\n")
        gate.open()
        assert not client.rest().endswith(b"0\r\n\r\n")
    assert (got.status, got.values(b"x-unpinned-action")) == (200, [b"recovered"])
    assert len(recovering.attempts) == 2


@pytest.mark.parametrize("step", [END, RESET])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_refusal_that_breaks(recovering: Product, framing: str, step: Act) -> None:
    """A refusal without its end is neither judged, not even where all of its text is there, nor made to look whole."""
    body = body_of(NOT_FOUND)
    begun = head(404, [CHUNKED]) + chunk(body)
    if framing == "length":
        begun = head(404, [(b"Content-Length", b"%d" % (len(body) + 1))]) + body
    got = recovering.ask(conversation(), script(begun, step))
    assert (got.status, got.complete, got.body) == (404, False, body)
    assert len(recovering.attempts) == 1


def test_refused_to_the_end() -> None:
    """Refused again and again, for any reason of ours, the client gets the first refusal; the attempts are few."""
    turns = [item for n in range(10) for item in (USER, {**BARE, "id": f"rs_{n}"}, {**SAID, "id": f"msg_{n}"})]
    others = [refusal(404, {"message": f"Item with id 'msg_{n}' not found.", "param": "input"}) for n in range(9)]
    with product("--mode", "recover") as made:
        got = made.ask(conversation(*turns, USER), NOT_FOUND, *others)
        assert is_first_refusal(got)
        assert 3 <= len(made.attempts) <= MOST
        assert differ(made.attempts)


# gzip writes the time into its head: the same refusal has the same bytes only where that is left out.
CODINGS: dict[str, Callable[[bytes], bytes]] = {"gzip": partial(gzip.compress, mtime=0), "deflate": zlib.compress}


@pytest.mark.parametrize("coding", CODINGS)
def test_coded_refusals(recovering: Product, coding: str) -> None:
    """A coded refusal is judged by what it says; when it is the one that is relayed, it goes as it came."""

    def coded(played: Script) -> Script:
        fields = [(b"Content-Encoding", coding.encode()), (b"X-Request-Id", b"first")]
        return answer(404, CODINGS[coding](body_of(played)), fields)

    got = recovering.ask(conversation(), coded(NOT_FOUND), json_answer({"id": "resp_2"}))
    assert (got.status, got.values(b"x-unpinned-attempts")) == (200, [b"2"])
    got = recovering.ask(conversation(USER, {**BARE, "id": "rs_2"}, SAID, USER), coded(NOT_FOUND), answer(400, b"no"))
    assert is_first_refusal(got, coded(NOT_FOUND))
    assert got.values(b"content-encoding") == [coding.encode()]
    assert len(recovering.attempts) == 4


def flood(connection: socket.socket) -> None:
    """200 MB of a refusal."""
    for _ in range(200):
        connection.sendall(bytes(MIB))


ENDLESS = script(head(404, [(b"Content-Length", b"%d" % (200 * MIB))]), flood)
BOMB = gzip.compress(b'{"error":{"message":"' + bytes(200 * MIB), 1)


def test_a_refusal_of_200_megabytes(recovering: Product) -> None:
    """A first refusal of any size passes through: all of it arrives, hardly any of it is held."""
    pid = recovering.process.pid
    recovering.upstream.will_answer(ENDLESS)
    memory.forget_peak(pid)
    before = memory.resident(pid)
    with recovering.connect() as client:
        client.send(conversation())
        assert client.head().status == 404
        for _ in range(200):
            assert client.exactly(MIB) == bytes(MIB)
    assert memory.peak(pid) - before < 16 * MIB
    assert len(recovering.attempts) == 1


def test_a_later_refusal_of_200_megabytes(recovering: Product) -> None:
    """A later refusal is read as far as it may be held; then its connection is closed, and the first one is relayed."""
    pid = recovering.process.pid
    memory.forget_peak(pid)
    before = memory.resident(pid)
    got = recovering.ask(conversation(), NOT_FOUND, [*ENDLESS, UNTIL_CLOSED])
    assert is_first_refusal(got)
    recovering.attempts[1].wait_over()
    assert memory.peak(pid) - before < 16 * MIB
    assert len(recovering.attempts) == 2


@pytest.mark.parametrize("later", [False, True])
def test_a_refusal_that_is_a_bomb(recovering: Product, later: bool) -> None:
    """A few kilobytes that would be 200 MB are not unpacked: such a refusal cannot be judged, and is relayed."""
    pid = recovering.process.pid
    memory.forget_peak(pid)
    before = memory.resident(pid)
    bomb = answer(404, BOMB, [(b"Content-Encoding", b"gzip")])
    got = recovering.ask(conversation(), *([NOT_FOUND, bomb] if later else [bomb]))
    assert got.body == (body_of(NOT_FOUND) if later else BOMB)
    assert memory.peak(pid) - before < 16 * MIB
    assert len(recovering.attempts) == 1 + later


def test_a_refusal_that_never_ends(recovering: Product) -> None:
    """While a refusal is held, a client that leaves ends it: nobody reads on for nobody."""
    gate = Gate()
    recovering.upstream.will_answer(script(head(404, [CHUNKED]) + chunk(b"{"), gate, UNTIL_CLOSED))
    with recovering.connect() as client:
        client.send(conversation())
        gate.wait_reached()
        gate.open()
        assert not client.readable_within(0.2)
    recovering.attempts[0].wait_closed()
    assert len(recovering.attempts) == 1


def test_who_has_left_is_not_recovered_for(recovering: Product) -> None:
    """A client that leaves before it is refused costs upstream no second attempt."""
    locked = {"message": "Another process is currently operating on this conversation.", "code": "conversation_locked"}
    gate, before = Gate(), len(recovering.answered())
    recovering.upstream.will_answer(script(gate, *refusal(409, locked)[1:]))
    with recovering.connect() as client:
        client.send(conversation(USER))
        gate.wait_reached()
    gate.open()
    recovering.process.wait_logged(lambda _: len(recovering.answered()) > before)
    assert len(recovering.attempts) == 1
