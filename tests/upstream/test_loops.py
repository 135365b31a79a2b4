"""Upstream that leads back to the proxy: the request does not go round."""

import json
import socket

import pytest

from tests.support.process import running
from tests.support.product import unpinned
from tests.support.raw_client import exchange, request
from tests.support.scripts import answer
from tests.support.upstream_server import ScriptedUpstream


def hop(number: int) -> bytes:
    """The Via field that another process adds."""
    return b"1.1 unpinned-%016x" % number


@pytest.mark.parametrize(("method", "path"), [(b"GET", b"/v1/models"), (b"POST", b"/v1/responses")])
def test_a_request_that_has_passed_here_is_refused(upstream: ScriptedUpstream, method: bytes, path: bytes) -> None:
    """A request with the Via field of this process is answered 508, in OpenAI's shape, and goes no further."""
    upstream.will_always_answer(answer(200, b"ok"))
    with unpinned(upstream.url) as port:
        assert exchange(port, request(b"GET", b"/v1/models")).status == 200
        [own] = upstream.received[0].hops
        got = exchange(port, request(method, path, [(b"Via", b"1.1 edge, " + own)], b'{"input": "x"}'))
    assert (got.status, json.loads(got.body)["error"]["code"]) == (508, "loop_detected")
    assert not got.values(b"x-should-retry")
    assert len(upstream.received) == 1


@pytest.mark.parametrize(("others", "status"), [(0, 200), (1, 200), (7, 200), (8, 508), (20, 508)])
def test_other_processes_may_stand_in_front(upstream: ScriptedUpstream, others: int, status: int) -> None:
    """A request passes through up to eight processes; one that has met more is going round behind a load balancer."""
    upstream.will_always_answer(answer(200, b"ok"))
    hops = [(b"Via", hop(number)) for number in range(others)]
    with unpinned(upstream.url) as port:
        assert exchange(port, request(b"GET", b"/v1/models", hops)).status == status
    assert [seen.hops[:-1] for seen in upstream.received] == ([[value for _, value in hops]] if status == 200 else [])


def test_foreign_via_fields_travel_on(upstream: ScriptedUpstream) -> None:
    """What proxies before have added stays as it is, and the own field stands behind it."""
    upstream.will_always_answer(answer(200, b"ok"))
    with unpinned(upstream.url) as port:
        exchange(port, request(b"GET", b"/v1/models", [(b"Via", b"1.1 a, 2 b (unpinned-1)")]))
    first, own = upstream.received[0].hops
    assert first == b"1.1 a, 2 b (unpinned-1)"
    assert own.startswith(b"1.1 unpinned-")


def test_two_that_lead_to_each_other() -> None:
    """Two processes, each the other's upstream, answer a request once it comes back; no request goes round for long."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    with (
        running("--upstream", f"http://127.0.0.1:{port}") as first,
        running("--upstream", f"http://127.0.0.1:{first.port}", "--listen", f"127.0.0.1:{port}") as second,
    ):
        for process in (second, first):
            got = exchange(process.port, request(b"POST", b"/v1/responses", [], b'{"input": "x"}'))
            assert (got.status, json.loads(got.body)["error"]["code"]) == (508, "loop_detected")


def test_two_in_a_row(upstream: ScriptedUpstream) -> None:
    """A process whose upstream is another one is no loop: the request arrives, made portable once."""
    upstream.will_always_answer(answer(200, b"ok"))
    with running("--upstream", upstream.url) as inner, running("--upstream", f"http://127.0.0.1:{inner.port}") as outer:
        body = b'{"input":[{"role":"user","content":"x","id":"msg_1"}]}'
        got = exchange(outer.port, request(b"POST", b"/v1/responses", [], body))
    assert (got.status, got.body) == (200, b"ok")
    assert got.values(b"x-unpinned-action") == [b"rewritten"]
    [seen] = upstream.received
    assert seen.body == body.replace(b',"id":"msg_1"', b"")
    assert len(seen.hops) == 2
