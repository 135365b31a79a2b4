"""Everything that can go wrong between the proxy and upstream, and the fault that the client gets."""

import json
import logging

import pytest

from proxy.events import UpstreamFailed
from proxy.http.faults import HOP
from tests.support.broken_answers import NO_HTTP
from tests.support.raw_client import RawAnswer, request
from tests.support.scripts import END, READ_BODY, RESET, UNTIL_CLOSED, Act, Gate, answer, event_stream, head, script
from tests.support.upstream_server import ScriptedUpstream
from tests.upstream.conftest import Proxied, Start, directly


def is_fault(got: RawAnswer, code: str) -> bool:
    """Whether the answer is the fault called `code`, in OpenAI's shape."""
    row = HOP[code]
    error = {"message": row.message, "type": row.kind, "param": None, "code": code}
    fields = [(name, value) for name, value in got.fields if name not in (b"content-type", b"content-length")]
    return (got.status, json.loads(got.body), fields) == (row.status, {"error": error}, list(row.fields))


@directly
def test_a_refused_connection_may_be_tried_again(start: Start, upstream: ScriptedUpstream) -> None:
    """Nothing listens: 502, with the field by which SDKs know that a retry is safe."""
    proxied = start()
    upstream.close()
    got = proxied.exchange(request(b"POST", b"/x", body=b"{}"))
    assert is_fault(got, "upstream_unreachable")
    assert got.values(b"x-should-retry") == [b"true"]
    assert proxied.events == [("req-000000000001", UpstreamFailed("upstream_unreachable"))]


@directly
def test_a_connection_that_is_not_made_in_time_is_given_up(start: Start, deaf: str) -> None:
    """Upstream's host does not answer: 504 after the connect deadline, and a retry is safe."""
    assert is_fault(start(url=deaf, connect=0.2).exchange(request(b"GET", b"/x")), "upstream_connect_timeout")


@pytest.mark.parametrize("step", [END, RESET])
def test_a_connection_that_closes_without_an_answer_is_a_502(
    proxied: Proxied, upstream: ScriptedUpstream, step: Act
) -> None:
    """Upstream may have seen the request, so it is not retried, and the SDKs are not invited to retry it."""
    upstream.will_answer(script(step))
    got = proxied.exchange(request(b"POST", b"/x", body=b"{}"))
    assert is_fault(got, "upstream_disconnected")
    assert (got.values(b"x-should-retry"), len(upstream.received)) == ([], 1)


@pytest.mark.parametrize("wire", NO_HTTP.values(), ids=NO_HTTP)
def test_an_answer_that_is_no_http_is_a_502(proxied: Proxied, upstream: ScriptedUpstream, wire: bytes) -> None:
    """Garbage, and framing that could be read in two ways, never reach a client; the connection is not used again."""
    upstream.will_answer(script(wire, UNTIL_CLOSED), answer(200, b"mine"))
    assert is_fault(proxied.exchange(request(b"GET", b"/x")), "upstream_invalid_answer")
    upstream.received[0].wait_closed()
    assert proxied.exchange(request(b"GET", b"/x")).body == b"mine"


def test_a_head_that_never_ends_is_a_502(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """A head of more than a hundred kilobytes is no answer."""
    upstream.will_answer(script(b"HTTP/1.1 200 OK\r\n" + b"X: 1234567890\r\n" * 20_000, UNTIL_CLOSED))
    assert is_fault(proxied.exchange(request(b"GET", b"/x")), "upstream_invalid_answer")


def test_a_head_cut_short_is_a_502(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """An answer whose head is incomplete is no answer."""
    upstream.will_answer(script(b"HTTP/1.1 200 OK\r\nContent-Le", END))
    assert is_fault(proxied.exchange(request(b"GET", b"/x")), "upstream_disconnected")


@pytest.mark.parametrize("interim", [b"", head(100), b"HTTP/1.1 200 OK\r\nX"])
def test_an_answer_that_does_not_begin_in_time_is_a_504(
    start: Start, upstream: ScriptedUpstream, interim: bytes
) -> None:
    """Until the answer's head is complete the first-byte deadline runs; then the connection is closed."""
    upstream.will_answer(script(interim, UNTIL_CLOSED))
    got = start(first_byte=0.2).exchange(request(b"POST", b"/x", body=b"{}"))
    assert is_fault(got, "upstream_first_byte_timeout")
    upstream.received[0].wait_closed()


def test_the_first_byte_deadline_does_not_run_while_the_client_uploads(
    start: Start, upstream: ScriptedUpstream
) -> None:
    """A slow upload is not held against upstream."""
    upstream.will_answer(answer(200, b"thanks"))
    proxied = start(first_byte=0.2)
    with proxied.connect() as client:
        client.send(request(b"POST", b"/x", [(b"Content-Length", b"6")]))
        for piece in (b"ab", b"cd"):
            client.send(piece)
            upstream.wait_received().wait_body(piece)
            assert not client.readable_within(0.3)
        client.send(b"ef")
        assert client.answer().body == b"thanks"


def test_silence_within_an_answer_cuts_it(start: Start, upstream: ScriptedUpstream) -> None:
    """When upstream falls silent for too long, the client gets a visibly cut answer, and the operator a reason."""
    upstream.will_answer(event_stream([b"data: 1\n\n", UNTIL_CLOSED]))
    proxied = start(idle=0.2)
    got = proxied.exchange(request(b"POST", b"/x", body=b"{}"))
    assert (got.body, got.complete, proxied.causes) == (b"data: 1\n\n", False, ["upstream_idle_timeout"])
    upstream.received[0].wait_closed()


def test_the_first_byte_deadline_ends_with_the_head(start: Start, upstream: ScriptedUpstream) -> None:
    """A long answer is not measured by how soon it had to begin."""
    gate = Gate()
    upstream.will_answer(script(head(200, [(b"Content-Length", b"2")]), gate, b"ok"))
    with start(first_byte=0.2).connect() as client:
        client.send(request(b"GET", b"/x"))
        assert client.head().status == 200
        assert not client.readable_within(0.3)
        gate.open()
        assert client.exactly(2) == b"ok"


def test_an_upload_that_upstream_does_not_take_is_a_504(start: Start, upstream: ScriptedUpstream) -> None:
    """Upstream accepts the connection and reads nothing: the request is given up."""
    gate = Gate()
    upstream.will_answer(script(gate, READ_BODY))
    proxied = start(idle=0.3)
    size = 64 * 1024 * 1024
    with proxied.connect() as client:
        client.send(request(b"POST", b"/x", [(b"Content-Length", b"%d" % size)]))
        client.send_until_stalled(bytes(size))
        got = client.answer()
    gate.open()
    assert is_fault(got, "upstream_upload_timeout")


def test_a_client_that_falls_silent_amid_its_body_is_told_so(start: Start, upstream: ScriptedUpstream) -> None:
    """408, and neither the request nor the connection is used any further."""
    upstream.will_answer(answer())
    with start(upload_idle_timeout=0.2).connect() as client:
        client.send(request(b"POST", b"/x", [(b"Content-Length", b"10")]) + b"half")
        assert is_fault(client.answer(), "client_upload_timeout")
        assert client.rest() == b""
    upstream.received[0].wait_closed()
    assert not upstream.received[0].whole


def test_waiting_for_a_connection_ends_with_a_503(start: Start, upstream: ScriptedUpstream) -> None:
    """When all connections are in use for too long, the client gets 503 with Retry-After."""
    gate = Gate()
    upstream.will_answer(script(gate, *answer(200, b"1")[1:]), answer(200, b"2"))
    proxied = start(connections=1, connect=0.2)
    with proxied.connect() as first:
        first.send(request(b"GET", b"/1"))
        gate.wait_reached()
        got = proxied.exchange(request(b"GET", b"/2"))
        assert is_fault(got, "upstream_pool_timeout")
        assert (got.values(b"retry-after"), len(upstream.received)) == ([b"1"], 1)
        gate.open()
        assert first.answer().body == b"1"
    assert proxied.exchange(request(b"GET", b"/3")).body == b"2"


def test_no_fault_leaves_a_trace_in_the_log(
    proxied: Proxied, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """Cut, gone or broken: the server's log has no traceback and nothing of what was sent."""
    caplog.set_level(logging.DEBUG)
    upstream.will_answer(event_stream([b"data: secret\n\n", END]), script(b"secret\r\n", END), script(END))
    for _ in range(3):
        proxied.exchange(request(b"POST", b"/secret", [(b"Authorization", b"Bearer secret")], b"secret"))
    assert len(proxied.causes) == 3
    text = "\n".join(caplog.handler.format(record) for record in caplog.records if record.name != "uvicorn.access")
    assert "Traceback" not in text
    assert "secret" not in text
