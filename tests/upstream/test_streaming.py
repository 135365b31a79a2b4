"""Bodies while they are on their way: nothing is held back, nothing piles up, and an end is an end."""

import pytest

from tests.support.raw_client import request
from tests.support.scripts import (
    END,
    READ_BODY,
    RESET,
    UNTIL_CLOSED,
    Flood,
    Gate,
    Script,
    answer,
    chunk,
    cut_after,
    event,
    event_stream,
    head,
    json_answer,
    script,
)  # fmt: skip
from tests.support.upstream_server import ScriptedUpstream
from tests.upstream.conftest import Proxied


def test_each_event_arrives_before_the_next_is_sent(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """An event is in the client's hands while upstream still thinks about the next."""
    gates = [Gate(), Gate(), Gate()]
    upstream.will_answer(event_stream([b"data: 0\n\n", gates[0], b"data: 1\n\n", gates[1], b"data: 2\n\n", gates[2]]))
    with proxied.connect() as client:
        client.send(request(b"POST", b"/v1/responses", body=b"{}"))
        got = client.head()
        assert got.values(b"x-accel-buffering") == [b"no"]
        for number, gate in enumerate(gates):
            assert client.until(b"\n\n\r\n").endswith(b"\r\ndata: %d\n\n\r\n" % number)
            gate.open()
        assert client.until(b"\r\n\r\n") == b"0\r\n\r\n"


def test_the_head_arrives_before_the_body(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """Status and fields do not wait for a first chunk."""
    gate = Gate()
    upstream.will_answer(script(head(200, [(b"Content-Length", b"2")]), gate, b"ok"))
    with proxied.connect() as client:
        client.send(request(b"GET", b"/x"))
        assert client.head().status == 200
        gate.open()
        assert client.exactly(2) == b"ok"


@pytest.mark.parametrize("chunked", [True, False])
def test_an_upload_arrives_while_it_is_sent(proxied: Proxied, upstream: ScriptedUpstream, chunked: bool) -> None:
    """The first bytes of a body reach upstream before the client sends the last."""
    upstream.will_answer(answer(200, b"thanks"))
    framing = (b"Transfer-Encoding", b"chunked") if chunked else (b"Content-Length", b"10")
    with proxied.connect() as client:
        client.send(request(b"POST", b"/x", [framing]))
        for piece in (b"first", b"other"):
            client.send(chunk(piece) if chunked else piece)
            upstream.wait_received().wait_body(piece)
        client.send(chunk(b"") if chunked else b"")
        assert client.answer().body == b"thanks"


def test_a_stalled_upstream_stalls_the_upload(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """A client cannot fill the proxy's memory: while upstream takes nothing, nothing more is read."""
    gate = Gate()
    upstream.will_answer(script(gate, READ_BODY, *answer(200, b"thanks")[1:]))
    size = 128 * 1024 * 1024  # more than twice what the kernel's buffers take on two or three connections
    with proxied.connect() as client:
        client.send(request(b"POST", b"/x", [(b"Content-Length", b"%d" % size)]))
        sent = client.send_until_stalled(bytes(size))
        gate.wait_reached()
        assert 0 < sent < size // 2
        gate.open()
        client.send(bytes(size - sent))
        assert client.answer().body == b"thanks"
    assert len(upstream.received[0].body) == size


def test_a_stalled_client_stalls_upstream(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """Upstream cannot fill the proxy's memory: while the client takes nothing, nothing more is read."""
    size = 64 * 1024 * 1024
    flood = Flood(size)
    upstream.will_answer(script(head(200, [(b"Content-Length", b"%d" % size)]), flood))
    with proxied.connect() as client:
        client.send(request(b"GET", b"/x"))
        client.head()
        assert 0 < flood.wait_stalled() < size // 2
        assert len(client.exactly(size)) == size


def _cuts() -> list[object]:
    events = [event({"type": "response.created"}), event({"type": "response.completed"})]
    return [
        pytest.param(cut_after(json_answer({"a": 1})), id="length"),
        pytest.param(cut_after(json_answer({"a": 1}), RESET), id="length, reset"),
        pytest.param([*event_stream(events)[:-1], END], id="chunked, between chunks"),
        pytest.param(cut_after(event_stream(events)), id="chunked, in the last"),
        pytest.param([*event_stream(events)[:-1], b"zz\r\n", UNTIL_CLOSED], id="chunked, not a size"),
    ]


@pytest.mark.parametrize("broken", _cuts())
def test_a_cut_answer_is_visibly_cut(proxied: Proxied, upstream: ScriptedUpstream, broken: Script) -> None:
    """When upstream breaks off, the client gets the bytes so far and an end that cannot be taken for a whole answer."""
    upstream.will_answer(broken)
    got = proxied.exchange(request(b"POST", b"/x", body=b"{}"))
    assert (got.status, got.complete) == (200, False)
    assert proxied.causes == ["upstream_cut"]


def test_an_answer_delimited_by_its_end_is_whole(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """Without a length, upstream's end of the connection is the end of the answer, and arrives as one."""
    upstream.will_answer(script(head(200), b"all there is", END))
    got = proxied.exchange(request(b"GET", b"/x"))
    assert (got.body, got.complete) == (b"all there is", True)
