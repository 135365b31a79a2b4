"""One ceiling on the bytes of bodies that are held."""

import gzip
import json
from collections.abc import Iterator

import pytest

from proxy.drivers.memory import MemoryBudget, Reservation
from proxy.http.faults import Fault
from tests.support.product import unpinned
from tests.support.raw_client import RawClient, exchange, request
from tests.support.scripts import READ_BODY, Gate, answer, script
from tests.support.upstream_server import ScriptedUpstream

KIB = 1024


def test_what_is_reserved_is_given_back() -> None:
    """A reservation grows and shrinks, and gives back all it has, once."""
    budget = MemoryBudget(100)
    one, other = Reservation(budget), Reservation(budget)
    one.grow(60)
    other.grow(40)
    one.shrink(10)
    assert budget.held == 90
    one.release()
    one.release()
    assert budget.held == 40


def test_beyond_the_ceiling() -> None:
    """A reservation beyond the ceiling is refused as a whole, so that the client may retry."""
    budget = MemoryBudget(100)
    one = Reservation(budget)
    one.grow(60)
    with pytest.raises(Fault) as refused:
        Reservation(budget).grow(41)
    assert (refused.value.status, refused.value.code, budget.held) == (503, "out_of_memory", 60)
    assert (b"x-should-retry", b"true") in refused.value.fields


@pytest.fixture
def budget() -> MemoryBudget:
    """Room for one body of 300 KiB and the work on it."""
    return MemoryBudget(2048 * KIB)


@pytest.fixture
def port(upstream: ScriptedUpstream, budget: MemoryBudget) -> Iterator[int]:
    """The product with this budget."""
    with unpinned(upstream.url, memory=budget) as port:
        yield port


def post(port: int, body: bytes, *fields: tuple[bytes, bytes]) -> tuple[int, str]:
    """The status, and the code of a fault."""
    got = exchange(port, request(b"POST", b"/v1/responses", fields, body))
    return got.status, json.loads(got.body)["error"]["code"] if got.status >= 400 else ""


def large(size: int) -> bytes:
    """A body of about so many bytes, with an id to remove."""
    return b'{"input":[{"role":"assistant","id":"msg_1","content":"%b"},{"role":"user","content":"x"}]}' % (b"x" * size)


def test_a_request_that_does_not_fit(port: int, upstream: ScriptedUpstream, budget: MemoryBudget) -> None:
    """A body larger than what is left is refused with 503 before upstream is asked, and the next one is served."""
    upstream.will_always_answer(answer(200))
    assert post(port, large(3000 * KIB)) == (503, "out_of_memory")
    assert upstream.received == []
    assert post(port, large(100 * KIB))[0] == 200
    assert budget.held == 0


def test_what_a_coded_body_becomes_counts(port: int, upstream: ScriptedUpstream, budget: MemoryBudget) -> None:
    """A few bytes that decode to more than is left are refused, whatever their own size is."""
    upstream.will_always_answer(answer(200))
    coded = gzip.compress(large(3000 * KIB))
    assert len(coded) < 10 * KIB
    assert post(port, coded, (b"Content-Encoding", b"gzip")) == (503, "out_of_memory")
    assert post(port, gzip.compress(large(50 * KIB)), (b"Content-Encoding", b"gzip"))[0] == 200
    assert budget.held == 0


def test_nothing_is_held_while_an_answer_streams(port: int, upstream: ScriptedUpstream, budget: MemoryBudget) -> None:
    """From the beginning of the answer on, a request holds no bytes, however long the answer lasts."""
    gate = Gate()
    head, *rest = answer(200)[1:]
    upstream.will_always_answer(script(READ_BODY, head, gate, *rest))
    with RawClient(port) as client:
        client.send(request(b"POST", b"/v1/responses", [], large(100 * KIB)))
        client.until(b"200")
        assert budget.held == 0
        gate.open()
        assert client


def test_a_client_that_leaves_gives_back(port: int, upstream: ScriptedUpstream, budget: MemoryBudget) -> None:
    """An upload that is broken off gives back what it had reserved."""
    upstream.will_always_answer(answer(200))
    with RawClient(port) as client:
        client.send(b"POST /v1/responses HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{")
    assert post(port, large(KIB))[0] == 200
    while budget.held:  # the other connection's end may arrive later
        assert post(port, large(KIB))[0] == 200
