"""Upstream answers before it has the whole request."""

from tests.support.raw_client import request
from tests.support.scripts import END, READ_BODY, UNTIL_CLOSED, Gate, answer, chunk, event_stream, head, script
from tests.support.upstream_server import ScriptedUpstream
from tests.upstream.conftest import Proxied, Start


def test_an_early_refusal_reaches_a_client_that_still_uploads(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """413 arrives while the client is amid its body, and the rest of the body goes nowhere."""
    upstream.will_answer([answer(413, b"too long")[1], UNTIL_CLOSED])
    with proxied.connect() as client:
        client.send(request(b"POST", b"/x", [(b"Content-Length", b"1000000")]) + b"beginning")
        assert client.answer().body == b"too long"
    upstream.received[0].wait_closed()


def test_an_early_refusal_reaches_a_client_whose_upload_stalls(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """429 arrives although upstream takes nothing of the body."""
    gate = Gate()
    upstream.will_answer([gate, answer(429, b"slow down")[1], UNTIL_CLOSED])
    size = 64 * 1024 * 1024
    with proxied.connect() as client:
        client.send(request(b"POST", b"/x", [(b"Content-Length", b"%d" % size)]))
        client.send_until_stalled(bytes(size))
        gate.open()
        assert client.answer().body == b"slow down"
    upstream.received[0].wait_closed()


def test_an_early_refusal_that_closes_reaches_the_client(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """Most servers close when they refuse a body; the refusal is read before that is noticed."""
    gate = Gate()
    upstream.will_answer([gate, answer(413, b"too long")[1], END])
    with proxied.connect() as client:
        client.send(request(b"POST", b"/x", [(b"Content-Length", b"1000000")]) + b"beginning")
        gate.wait_reached()
        gate.open()
        upstream.received[0].wait_over()
        client.send(bytes(1000))
        assert client.answer().body == b"too long"


def test_an_answer_may_stream_while_the_request_does(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """Both bodies may be on their way at the same time."""
    upstream.will_answer(event_stream([b"data: 1\n\n", READ_BODY, b"data: 2\n\n"]))
    with proxied.connect() as client:
        client.send(request(b"POST", b"/x", [(b"Transfer-Encoding", b"chunked")]) + chunk(b"beginning"))
        client.until(b"data: 1\n\n")
        client.send(chunk(b"end") + chunk(b""))
        client.until(b"data: 2\n\n")
        client.until(b"0\r\n\r\n")
    assert upstream.received[0].body == b"beginningend"


def test_a_connection_is_used_again_after_an_answer_that_came_early(
    proxied: Proxied, upstream: ScriptedUpstream
) -> None:
    """An answer that outruns a request, both of which come to their end, spoils nothing."""
    whole = answer(200, b"early")[1]
    assert isinstance(whole, bytes)
    upstream.will_answer([whole[:-1], READ_BODY, whole[-1:]], answer(200, b"next"))
    with proxied.connect() as client:
        client.send(request(b"POST", b"/x", [(b"Content-Length", b"4")]) + b"ab")
        client.head()
        client.send(b"cd")
        assert client.exactly(5) == b"early"
    assert proxied.exchange(request(b"GET", b"/y")).body == b"next"
    assert upstream.connections == 1


def test_a_client_that_expects_to_be_invited_is_not_asked_for_a_refused_body(
    proxied: Proxied, upstream: ScriptedUpstream
) -> None:
    """Upstream's refusal comes instead of 100 Continue, and the body is never sent."""
    upstream.will_answer([answer(417, b"no")[1], UNTIL_CLOSED])
    with proxied.connect() as client:
        client.send(request(b"POST", b"/x", [(b"Expect", b"100-continue"), (b"Content-Length", b"4")]))
        got = client.head()
        assert (got.status, client.exactly(2)) == (417, b"no")
    upstream.received[0].wait_closed()
    assert upstream.received[0].body == b""


def test_a_refusal_instead_of_an_invitation_may_take_its_time(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """The body stays unsent also while the rest of the refusal is still to come."""
    gate = Gate()
    upstream.will_answer([head(417, [(b"Content-Length", b"2")]), gate, b"no", UNTIL_CLOSED])
    with proxied.connect() as client:
        client.send(request(b"POST", b"/x", [(b"Expect", b"100-continue"), (b"Content-Length", b"4")]))
        assert client.head().status == 417
        gate.open()
        assert client.exactly(2) == b"no"
    upstream.received[0].wait_closed()
    assert upstream.received[0].body == b""


def test_a_client_that_expects_to_be_invited_waits_for_upstreams_word(
    proxied: Proxied, upstream: ScriptedUpstream
) -> None:
    """100 Continue comes from upstream, not from the proxy, and then the body goes on its way."""
    gate = Gate()
    upstream.will_answer([gate, head(100), READ_BODY, answer(200, b"thanks")[1]])
    with proxied.connect() as client:
        client.send(request(b"POST", b"/x", [(b"Expect", b"100-continue"), (b"Content-Length", b"4")]))
        gate.wait_reached()
        assert not client.readable_within(0.2)
        gate.open()
        assert client.head().status == 100
        client.send(b"body")
        assert client.answer().body == b"thanks"


def test_an_invitation_that_never_comes_is_not_waited_for(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """Servers that do not know Expect get the body after a moment."""
    upstream.will_answer(answer(200, b"thanks"))
    with proxied.connect() as client:
        client.send(request(b"POST", b"/x", [(b"Expect", b"100-continue"), (b"Content-Length", b"4")]))
        assert client.head().status == 100
        client.send(b"body")
        assert client.answer().body == b"thanks"


def test_an_early_answer_is_cut_when_the_client_falls_silent(start: Start, upstream: ScriptedUpstream) -> None:
    """A client that stops amid its body does not keep upstream waiting, although it has the beginning of an answer."""
    upstream.will_answer([head(200, [(b"Content-Length", b"2")]), UNTIL_CLOSED])
    with start(upload_idle_timeout=0.2).connect() as client:
        client.send(request(b"POST", b"/x", [(b"Content-Length", b"4")]) + b"ab")
        assert client.head().status == 200
        assert client.rest() == b""
    upstream.received[0].wait_closed()


def test_garbage_is_recognised_at_once(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """What cannot become an answer any more is not waited for."""
    upstream.will_answer(script(b"SSH-2.0-OpenSSH_9.2\r\n", UNTIL_CLOSED))
    assert proxied.exchange(request(b"GET", b"/x")).status == 502
    upstream.received[0].wait_closed()
