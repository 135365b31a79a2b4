"""A client leaves: whatever is done for it ends, upstream hears of it, and half a request is never sent as a whole.

Upstream is silent and every deadline an hour: what is closed here was closed because the client left.
"""

import time
from collections.abc import Iterator

import pytest

from tests.faults.conftest import KINDS, Product, product
from tests.support import memory
from tests.support.raw_client import PATIENCE, RawClient, request
from tests.support.scripts import (
    READ_BODY,
    UNTIL_CLOSED,
    Flood,
    Gate,
    answer,
    chunk,
    event_stream,
    head,
    refusal,
    script,
)

FIRST = b"data: 1\n\n"
RESPONSES, FILES = b"/v1/responses", b"/v1/files"


@pytest.fixture(scope="module")
def _shared() -> Iterator[Product]:
    with product("--mode", "recover") as made:
        yield made


@pytest.fixture
def made(_shared: Product) -> Iterator[Product]:
    """The product, for one test; it answers others afterwards."""
    with _shared.one_test() as made:
        yield made


def leave(client: RawClient, *, abruptly: bool) -> None:
    """Close the connection, with a word or without."""
    if abruptly:
        client.reset()
    else:
        client.close()


either_way = pytest.mark.parametrize("abruptly", [False, True], ids=["FIN", "RST"])
every_kind = pytest.mark.parametrize("raw", KINDS.values(), ids=KINDS)


@either_way
@every_kind
def test_while_upstream_thinks(made: Product, raw: bytes, abruptly: bool) -> None:
    """Upstream's connection is closed while it still thinks, and the request is not sent again."""
    made.upstream.will_answer(script(UNTIL_CLOSED))
    with made.connect() as client:
        client.send(raw)
        received = made.upstream.wait_received(made.seen + 1)
        leave(client, abruptly=abruptly)
        received.wait_closed()
    assert len(made.attempts) == 1


@either_way
@every_kind
def test_amid_the_stream(made: Product, raw: bytes, abruptly: bool) -> None:
    """A stream that nobody reads any more is given up, while upstream is silent."""
    made.upstream.will_answer(event_stream([FIRST, UNTIL_CLOSED]))
    with made.connect() as client:
        client.send(raw)
        client.until(FIRST)
        leave(client, abruptly=abruptly)
        made.attempts[0].wait_closed()
    assert len(made.attempts) == 1


@either_way
def test_amid_a_flood(made: Product, abruptly: bool) -> None:
    """A client that reads nothing, and then leaves, frees an upstream that could send no more."""
    flood = Flood(64 * 1024 * 1024)
    made.upstream.will_answer(script(head(200, [(b"Content-Length", b"%d" % flood.size)]), flood, UNTIL_CLOSED))
    with made.connect() as client:
        client.send(KINDS["relayed"])
        client.head()
        assert flood.wait_stalled() < flood.size
        leave(client, abruptly=abruptly)
        made.attempts[0].wait_over()


@either_way
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_amid_an_upload(made: Product, framing: str, abruptly: bool) -> None:
    """What is streamed upstream breaks off where the client did: its framing says that it is not whole."""
    made.upstream.will_answer([READ_BODY])
    field = (b"Content-Length", b"10") if framing == "length" else (b"Transfer-Encoding", b"chunked")
    with made.connect() as client:
        client.send(request(b"POST", FILES, [field]) + (b"half" if framing == "length" else chunk(b"half")))
        made.upstream.wait_received(made.seen + 1).wait_body(b"half")
        leave(client, abruptly=abruptly)
        made.attempts[0].wait_closed()
    assert (made.attempts[0].body, made.attempts[0].whole) == (b"half", False)


@either_way
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_amid_a_body_that_is_rewritten(made: Product, framing: str, abruptly: bool) -> None:
    """Of a body that has to be read as a whole nothing is sent before it is there, and so nothing at all."""
    whole = b'{"model": "gpt-5", "input": "hi"}'
    field = (b"Content-Length", b"%d" % (len(whole) + 1))
    half = whole
    if framing == "chunks":
        field, half = (b"Transfer-Encoding", b"chunked"), chunk(whole)
    before = len(made.answered())
    with made.connect() as client:
        client.send(request(b"POST", RESPONSES, [field, (b"Expect", b"100-continue")]))
        client.until(b"100 Continue\r\n\r\n")  # the proxy waits for the body
        client.send(half)
        leave(client, abruptly=abruptly)
    made.process.wait_logged(lambda _: len(made.answered()) > before)
    assert made.attempts == []


def test_while_a_refusal_is_recovered(made: Product) -> None:
    """A client that leaves during the second attempt ends that, and there is no third."""
    lost = refusal(404, {"message": "Item with id 'rs_1' not found.", "param": "input"})
    made.upstream.will_answer(lost, script(UNTIL_CLOSED))
    with made.connect() as client:
        client.send(KINDS["rewritten"])
        received = made.upstream.wait_received(made.seen + 2)
    received.wait_closed()
    assert len(made.attempts) == 2


def test_who_leaves_does_not_disturb_who_stays(made: Product) -> None:
    """Of two streams one loses its client; the other goes on to its end."""
    gate = Gate()
    made.upstream.will_answer(event_stream([FIRST, gate, b"data: 2\n\n"]), event_stream([FIRST, UNTIL_CLOSED]))
    with made.connect() as stays, made.connect() as leaves:
        stays.send(KINDS["relayed"])
        stays.until(FIRST)
        leaves.send(KINDS["relayed"])
        leaves.until(FIRST)
        leaves.reset()
        made.attempts[1].wait_closed()
        gate.open()
        assert stays.until(b"0\r\n\r\n").count(b"data: 2\n\n") == 1


def test_nothing_stays_behind() -> None:
    """When a hundred clients have left amid everything, the process has as few descriptors as before."""
    with product() as made, made.one_test():
        made.upstream.will_always_answer(event_stream([FIRST, UNTIL_CLOSED]))
        made.ask(KINDS["without a body"], answer(200, b"", [(b"Connection", b"close")]))
        before = memory.descriptors(made.process.pid)
        for number in range(100):
            with made.connect() as client:
                client.send(KINDS["relayed"][: -(number % 2) or None])
                if number % 4 == 0:
                    client.until(FIRST)
                leave(client, abruptly=number % 3 == 0)
        until = time.monotonic() + PATIENCE
        while memory.descriptors(made.process.pid) > before:
            assert time.monotonic() < until, "descriptors stay open"
            time.sleep(0.01)
