"""Where an answer ends, and which connections may be used again, against an upstream that misbehaves."""

import pytest

from proxy.upstream.parser import MAX_HEAD
from tests.support.raw_client import request
from tests.support.scripts import END, UNTIL_CLOSED, Gate, Script, answer, chunk, head, script
from tests.support.upstream_server import ScriptedUpstream
from tests.upstream.conftest import Proxied, Start, directly

CHUNKED = (b"Transfer-Encoding", b"chunked")


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        pytest.param([head(200, [CHUNKED]) + b'2;a=b;c="d"\r\nab\r\n0;e\r\n\r\n'], b"ab", id="extensions"),
        pytest.param([head(200, [CHUNKED]) + b"2\r\nab\r\n0\r\nX-T: 1\r\n\r\n"], b"ab", id="trailers"),
        pytest.param([head(200, [CHUNKED]), b"0002\r", b"\na", b"b\r\n", b"0\r\n", b"\r\n"], b"ab", id="in pieces"),
        pytest.param([b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nab"], b"ab", id="no reason"),
        pytest.param([bytes([octet]) for octet in head(200, [(b"Content-Length", b"1")]) + b"a"], b"a", id="dribbled"),
        pytest.param([b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab", END], b"ab", id="HTTP/1.0"),
        pytest.param([b"HTTP/1.0 200 OK\r\n\r\nab", END], b"ab", id="HTTP/1.0, until the end"),
        pytest.param([head(200, [CHUNKED]) + chunk(b""), END], b"", id="empty"),
    ],
)
def test_every_framing_ends_where_it_says(
    proxied: Proxied, upstream: ScriptedUpstream, wire: Script, body: bytes
) -> None:
    """However upstream frames a whole answer, the client gets a whole answer, without trailers."""
    upstream.will_answer(script(*wire))
    got = proxied.exchange(request(b"GET", b"/x"))
    assert (got.status, got.body, got.complete) == (200, body, True)
    assert got.values(b"x-t") == []


@pytest.mark.parametrize(
    "left_over",
    [answer(200, b"evil")[1], b"HTTP/1.1 200 OK\r\nContent-Le", b"garbage\r\n\r\n", b"H"],
)
@pytest.mark.parametrize(
    "whole",
    [answer(200, b"mine")[1], head(200, [CHUNKED]) + chunk(b"mine") + chunk(b"")],
)
def test_what_is_left_over_reaches_nobody(
    proxied: Proxied, upstream: ScriptedUpstream, whole: bytes, left_over: bytes
) -> None:
    """Bytes after the end of an answer are never taken for the answer to another request: its connection is closed."""
    upstream.will_answer(script(whole + left_over, UNTIL_CLOSED), answer(200, b"next"))
    assert proxied.exchange(request(b"GET", b"/x")).body == b"mine"
    assert proxied.exchange(request(b"GET", b"/y")).body == b"next"
    upstream.received[0].wait_closed()
    assert upstream.connections == 2


@pytest.mark.parametrize("status", [204, 304, 200])
def test_a_body_that_should_not_be_there_reaches_nobody(
    proxied: Proxied, upstream: ScriptedUpstream, status: int
) -> None:
    """A body after 204, after 304, or in answer to HEAD, is not relayed and not taken for the next answer."""
    evil = answer(200, b"evil")[1]
    assert isinstance(evil, bytes)
    fields = [(b"Content-Length", b"%d" % len(evil))] if status == 200 else []
    upstream.will_answer(script(head(status, fields) + evil, UNTIL_CLOSED), answer(200, b"next"))
    assert proxied.exchange(request(b"HEAD" if status == 200 else b"GET", b"/x")).status == status
    assert proxied.exchange(request(b"GET", b"/y")).body == b"next"
    upstream.received[0].wait_closed()


def test_bytes_that_come_while_nothing_was_asked_close_the_connection(
    proxied: Proxied, upstream: ScriptedUpstream
) -> None:
    """An idle connection on which upstream speaks up is not used again."""
    before = Gate()
    mine, evil = answer(200, b"mine")[1], answer(408, b"evil")[1]
    upstream.will_answer(script(mine, before, evil, UNTIL_CLOSED), answer(200, b"next"))
    with proxied.connect() as client:
        client.send(request(b"GET", b"/x"))
        assert client.answer().body == b"mine"
        before.open()
        upstream.received[0].wait_closed()
        client.send(request(b"GET", b"/y"))
        assert client.answer().body == b"next"


@pytest.mark.parametrize("announced", [b"close", b"Keep-Alive, CLOSE"])
def test_a_connection_whose_end_is_announced_is_not_used_again(
    proxied: Proxied, upstream: ScriptedUpstream, announced: bytes
) -> None:
    """`Connection: close` is believed, also where upstream leaves the connection open."""
    upstream.will_answer(script(*answer(200, b"1", [(b"Connection", announced)])[1:], UNTIL_CLOSED), answer(200, b"2"))
    assert [proxied.exchange(request(b"GET", b"/x")).body for _ in range(2)] == [b"1", b"2"]
    upstream.received[0].wait_closed()


# Through a proxy the close arrives later than upstream makes it, and the next request may be on its way by then.
@directly
def test_a_connection_that_upstream_closed_meanwhile_is_not_used_again(
    proxied: Proxied, upstream: ScriptedUpstream
) -> None:
    """A connection that was closed while idle costs no request."""
    upstream.will_answer(*(script(*answer(200, b"%d" % number)[1:], END) for number in range(20)))
    for number in range(20):
        assert proxied.exchange(request(b"POST", b"/x", body=b"{}")).body == b"%d" % number
        upstream.received[number].wait_over()


def test_idle_connections_are_closed_in_time(start: Start, upstream: ScriptedUpstream) -> None:
    """An idle connection is given up before upstream would do so."""
    upstream.will_answer(script(*answer(200, b"1")[1:], UNTIL_CLOSED), answer(200, b"2"))
    proxied = start(keepalive_expiry=0.1)
    with proxied.connect() as client:
        client.send(request(b"GET", b"/x"))
        client.answer()
        assert not client.readable_within(0.3)
        client.send(request(b"GET", b"/y"))
        assert client.answer().body == b"2"
    upstream.received[0].wait_closed()


def test_our_own_fields_are_not_upstreams(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """Fields called `x-unpinned-…` that upstream sends are dropped: a client reads the first, and would believe it."""
    upstream.will_answer(answer(200, fields=[(b"X-Unpinned-Action", b"passthrough"), (b"X-Other", b"1")]))
    got = proxied.exchange(request(b"GET", b"/"))
    assert (got.values(b"x-unpinned-action"), got.values(b"x-other")) == ([], [b"1"])


@pytest.mark.parametrize(("count", "status"), [(100, 200), (101, 502)])
def test_interim_answers_come_to_an_end(proxied: Proxied, upstream: ScriptedUpstream, count: int, status: int) -> None:
    """A hundred interim answers are skipped; more are no answer, so that an endless row of them keeps nothing busy."""
    upstream.will_answer(script(b"HTTP/1.1 100 Continue\r\n\r\n" * count, *answer(200)[1:]))
    assert proxied.exchange(request(b"GET", b"/")).status == status


def test_a_length_of_thousands_of_digits(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """A Content-Length that is longer than any body's is no valid answer, and no fault of ours."""
    upstream.will_answer(script(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"0" * 5000 + b"2\r\n\r\nhi"))
    assert proxied.exchange(request(b"GET", b"/")).status == 502


def endless(upstream: ScriptedUpstream, proxied: Proxied, beginning: bytes, rest: bytes) -> bool | int:
    """The status of an answer that goes on with `rest` for ever; whether its body is whole where that is a 200."""
    upstream.will_answer(script(beginning, rest * (3 * MAX_HEAD // len(rest)), UNTIL_CLOSED))
    with proxied.connect() as client:
        client.send(request(b"GET", b"/"))
        got = client.answer()
    return got.complete if got.status == 200 else got.status


def test_heads_trailers_and_extensions_come_to_an_end(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """What is neither a piece of a body nor ever complete is no valid answer, or cuts one, after 128 KiB."""
    assert endless(upstream, proxied, b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n") == 502
    chunked = head(200, [CHUNKED]) + b"2\r\nab\r\n"
    assert endless(upstream, proxied, chunked + b"0\r\n", b"X: 1\r\n") is False
    assert endless(upstream, proxied, chunked + b"2;", b"a") is False
