"""Upstream behind an outbound proxy: CONNECT, credentials, TLS of either and of both, and proxies that fail."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from proxy.http.base_url import OutboundProxy, base_url
from proxy.settings.outbound_proxy import outbound_proxy
from proxy.upstream.client import Http1Client
from proxy.upstream.interface import Deadlines, Request
from proxy.upstream.tls import client_context
from proxy.upstream.tunnel import MAX_HEAD, connect_request
from tests.support.certificates import Authority
from tests.support.connect_proxy import ConnectProxy
from tests.support.raw_client import RawAnswer, request
from tests.support.scripts import END, RESET, UNTIL_CLOSED, Gate, Step, answer, event_stream, json_answer, script
from tests.support.upstream_server import ScriptedUpstream
from tests.upstream.conftest import MakeClient, Proxied, Start
from tests.upstream.test_faults import is_fault

OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"
POST = request(b"POST", b"/x", [(b"Authorization", b"Bearer sk-1")], b'{"a": 1}')


@pytest.fixture
def make_client() -> MakeClient:
    """The client, whose proxy each test names."""
    return Http1Client


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A certificate authority for one test."""
    return Authority(tmp_path)


@pytest.fixture
def outbound() -> Iterator[ScriptedUpstream]:
    """An outbound proxy that answers CONNECT by a script."""
    with ScriptedUpstream() as server:
        yield server


@pytest.fixture
def through(start: Start) -> Callable[..., Proxied]:
    """Start Unpinned before `upstream`, which is reached through the proxy at a URL."""

    def started(proxy: str, upstream: str, **settings: Any) -> Proxied:
        return start(url=upstream, proxy=outbound_proxy(proxy), **settings)

    return started


def refused(got: RawAnswer, code: str, detail: str) -> bool:
    """Whether the answer is our own fault, with `detail` in its message, and says that a retry is safe."""
    error = json.loads(got.body)["error"]
    return (error["code"], detail in error["message"], got.values(b"x-should-retry")) == (code, True, [b"true"])


def test_credentials_are_for_the_proxy_alone(through: Callable[..., Proxied], upstream: ScriptedUpstream) -> None:
    """The proxy gets CONNECT with Basic credentials, upstream the request as it would be without a proxy."""
    upstream.will_answer(answer(200, b"here"))
    with ConnectProxy(credentials="user:pass word") as proxy:
        url = proxy.url.replace(" ", "%20")
        assert through(url, upstream.url).exchange(POST).body == b"here"
    host = f"127.0.0.1:{upstream.port}"
    lines = [f"CONNECT {host} HTTP/1.1", f"Host: {host}", "Proxy-Authorization: Basic dXNlcjpwYXNzIHdvcmQ=", "", ""]
    assert proxy.heads == ["\r\n".join(lines).encode()]
    assert {name.lower() for name, _ in upstream.received[0].fields} == {b"host", b"authorization", b"content-length"}


def test_a_tunnel_serves_many_requests(through: Callable[..., Proxied], upstream: ScriptedUpstream) -> None:
    """A tunnel is kept like any other connection; without credentials none are sent."""
    upstream.will_answer(json_answer({"n": 1}), json_answer({"n": 2}))
    with ConnectProxy() as proxy:
        proxied = through(proxy.url, upstream.url)
        assert [proxied.exchange(POST).body for _ in range(2)] == [b'{"n": 1}', b'{"n": 2}']
    assert (len(proxy.heads), b"authorization" in proxy.heads[0].lower()) == (1, False)


def test_wrong_credentials(through: Callable[..., Proxied], upstream: ScriptedUpstream) -> None:
    """A proxy's 407 is a fault of its own; its page is not relayed, and upstream gets nothing."""
    with ConnectProxy(credentials="user:right") as proxy:
        proxied = through(proxy.url.replace("right", "wrong"), upstream.url)
        got = proxied.exchange(POST)
    assert refused(got, "upstream_proxy_refused", "(status 407)")
    assert (proxied.causes, upstream.wire) == (["upstream_proxy_refused"], b"")


@pytest.mark.parametrize("status", [301, 403, 502])
def test_a_refusal(through: Callable[..., Proxied], outbound: ScriptedUpstream, status: int) -> None:
    """Any status but 2xx is a refusal, reported by its number; its body may be endless, and is not read."""
    head = b"HTTP/1.1 %d No\r\nTransfer-Encoding: chunked\r\n\r\n" % status
    outbound.will_answer(script(head, b"5\r\nsorry\r\n", UNTIL_CLOSED))
    got = through(outbound.url, "http://upstream.test").exchange(POST)
    assert refused(got, "upstream_proxy_refused", f"(status {status})")
    assert b"sorry" not in got.body
    outbound.received[0].wait_closed()
    assert b"sk-1" not in outbound.wire


@pytest.mark.parametrize(
    "steps",
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", UNTIL_CLOSED),
        (b"HTTP/2.0 200 OK\r\n\r\n", UNTIL_CLOSED),
        (b"HTTP/1.1 999 No\r\n\r\n", UNTIL_CLOSED),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * (MAX_HEAD // 6 + 1), UNTIL_CLOSED),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * (MAX_HEAD // 6 + 1) + b"\r\n", UNTIL_CLOSED),
        (b"HTTP/1.1 200 OK\r\n", END),
        (END,),
        (RESET,),
    ],
    ids=["other protocol", "other version", "no status", "endless", "too long", "cut", "closed", "reset"],
)
def test_no_answer(through: Callable[..., Proxied], outbound: ScriptedUpstream, steps: tuple[Step, ...]) -> None:
    """What is no answer to CONNECT is a 502 as soon as that is certain."""
    outbound.will_answer(script(*steps))
    got = through(outbound.url, "http://upstream.test").exchange(POST)
    assert is_fault(got, "upstream_proxy_invalid_answer")


def test_silence(through: Callable[..., Proxied], outbound: ScriptedUpstream, deaf: str) -> None:
    """A proxy that does not accept, or does not answer CONNECT, is given up after CONNECT_TIMEOUT."""
    outbound.will_answer(script(b"HTTP/1.1 2", UNTIL_CLOSED))
    for url in (deaf, outbound.url):
        assert is_fault(through(url, "http://upstream.test", connect=0.3).exchange(POST), "upstream_proxy_timeout")
    outbound.received[0].wait_closed()


def test_nothing_listens(through: Callable[..., Proxied], outbound: ScriptedUpstream) -> None:
    """A proxy that cannot be reached is a fault of its own."""
    outbound.close()
    assert is_fault(through(outbound.url, "http://upstream.test").exchange(POST), "upstream_proxy_unreachable")


def test_the_head_may_come_in_pieces(through: Callable[..., Proxied], outbound: ScriptedUpstream) -> None:
    """Interim answers are skipped, and the head may arrive in any pieces; then the connection is upstream's."""
    gates = [Gate(), Gate()]
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1."
    last = answer(200, b"here")[1]
    outbound.will_answer([interim, gates[0], b"0 200 Fine\r\nVia: x\r\n\r", gates[1], b"\n"], [last])
    with through(outbound.url, "http://upstream.test").connect() as client:
        client.send(POST)
        for gate in gates:
            gate.wait_reached()
            gate.open()
        assert client.answer().body == b"here"
    assert [got.target for got in outbound.received] == [b"upstream.test:80", b"/x"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_bytes_after_the_head(through: Callable[..., Proxied], outbound: ScriptedUpstream, scheme: str) -> None:
    """Bytes after the head belong to the tunnel, where nothing may come unasked: they never answer a request."""
    outbound.will_always_answer(script(OPEN + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", UNTIL_CLOSED))
    got = through(outbound.url, f"{scheme}://upstream.test").exchange(POST)
    assert is_fault(got, "upstream_unreachable")
    assert b"sk-1" not in outbound.wire


@pytest.mark.parametrize(
    ("step", "code"),
    [(END, "upstream_unreachable"), (UNTIL_CLOSED, "upstream_connect_timeout")],
    ids=["end", "silence"],
)
def test_a_tunnel_without_upstream(
    through: Callable[..., Proxied], outbound: ScriptedUpstream, step: Step, code: str
) -> None:
    """A tunnel that ends or is silent within TLS's handshake is upstream's fault, in the time of one connection."""
    outbound.will_answer(script(OPEN, step))
    assert is_fault(through(outbound.url, "https://upstream.test", connect=0.5).exchange(POST), code)


@pytest.mark.parametrize("secured", ["upstream", "proxy", "both"])
def test_tls(through: Callable[..., Proxied], authority: Authority, secured: str) -> None:
    """TLS to upstream, to the proxy and within each other passes large bodies both ways, and streams as they come."""
    gate, body = Gate(), bytes(range(256)) * 4_000
    inner = authority.server_context("localhost") if secured != "proxy" else None
    outer = authority.server_context("127.0.0.1") if secured != "upstream" else None
    with ScriptedUpstream(tls=inner) as upstream, ConnectProxy(credentials="u:p", tls=outer) as proxy:
        upstream.will_answer(answer(200, body), event_stream([b"data: 1\n\n", gate, b"data: 2\n\n", UNTIL_CLOSED]))
        url = f"{base_url(upstream.url).scheme}://localhost:{upstream.port}"
        proxied = through(proxy.url, url, tls=client_context(authority.ca_file))
        assert proxied.exchange(request(b"POST", b"/x", body=body)).body == body
        with proxied.connect() as client:
            client.send(POST)
            client.until(b"data: 1\n\n")
            gate.open()
            client.until(b"data: 2\n\n")
        upstream.received[1].wait_closed()
        assert upstream.received[0].body == body
        assert proxy.targets == [f"localhost:{upstream.port}"]


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_tls_in_tls_on_each_loop(authority: Authority, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Both event loops can negotiate TLS within TLS."""

    async def work(upstream: ScriptedUpstream, proxy: ConnectProxy) -> bytes:
        where = base_url(f"https://localhost:{upstream.port}")
        client = Http1Client(where, tls=client_context(authority.ca_file), proxy=outbound_proxy(proxy.url))
        answer = await client.send(Request(b"GET", b"/", [(b"host", b"localhost")], b""))
        chunks, more = [], True
        while more:
            chunk, more = await answer.read()
            chunks.append(chunk)
        await client.close()
        return b"".join(chunks)

    inner, outer = authority.server_context("localhost"), authority.server_context("127.0.0.1")
    with ScriptedUpstream(tls=inner) as upstream, ConnectProxy(tls=outer) as proxy:
        upstream.will_answer(answer(200, bytes(300_000)))
        with asyncio.Runner(loop_factory=new_loop) as runner:
            assert runner.run(work(upstream, proxy)) == bytes(300_000)


def test_a_proxy_that_does_not_verify(through: Callable[..., Proxied], authority: Authority) -> None:
    """A proxy with a certificate that the trust store does not know gets neither credentials nor CONNECT."""
    with ConnectProxy(credentials="u:p", tls=authority.server_context("127.0.0.1")) as proxy:
        assert is_fault(through(proxy.url, "http://upstream.test").exchange(POST), "upstream_proxy_tls_failed")
    assert proxy.heads == []


def test_an_upstream_that_does_not_verify(through: Callable[..., Proxied], authority: Authority) -> None:
    """Upstream's certificate is verified behind a proxy as well, under upstream's name."""
    with ScriptedUpstream(tls=authority.server_context("localhost")) as upstream, ConnectProxy() as proxy:
        got = through(proxy.url, upstream.url, tls=client_context(authority.ca_file)).exchange(POST)
        assert is_fault(got, "upstream_tls_failed")
        assert upstream.received == []


def test_a_client_that_leaves_closes_the_tunnel(through: Callable[..., Proxied], outbound: ScriptedUpstream) -> None:
    """A client that gives up while CONNECT is not answered leaves no connection to the proxy behind."""
    outbound.will_answer(script(UNTIL_CLOSED))
    with through(outbound.url, "http://upstream.test").connect() as client:
        client.send(POST)
        outbound.wait_received()
    outbound.received[0].wait_closed()


def test_no_address(through: Callable[..., Proxied]) -> None:
    """A proxy whose name does not resolve is unreachable."""
    assert is_fault(
        through("http://proxy.invalid", "http://upstream.test").exchange(POST), "upstream_proxy_unreachable"
    )


def test_connect_names_a_host_and_a_port() -> None:
    """An IPv6 address has brackets, and the port is always there."""
    head = connect_request(OutboundProxy("http", "p", 80), base_url("https://[::1]/v1"))
    assert head == b"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n"


def test_patience_is_for_all_steps_together() -> None:
    """The proxy's time is taken off upstream's: a slow answer to CONNECT leaves less for TLS."""

    async def work(outbound: ScriptedUpstream) -> float:
        client = Http1Client(
            base_url("https://upstream.test"), Deadlines(connect=0.6), proxy=outbound_proxy(outbound.url)
        )
        loop = asyncio.get_running_loop()
        began = loop.time()
        sending = asyncio.create_task(client.send(Request(b"GET", b"/", [], b"")))
        await asyncio.to_thread(gate.wait_reached)
        await asyncio.sleep(0.4)
        gate.open()
        await asyncio.wait([sending])
        assert getattr(sending.exception(), "code", "") == "upstream_connect_timeout"
        return loop.time() - began

    gate = Gate()
    with ScriptedUpstream() as outbound:
        outbound.will_answer([gate, OPEN, UNTIL_CLOSED])
        assert asyncio.run(work(outbound)) < 0.95


def test_the_credentials_are_not_shown() -> None:
    """Neither the text nor the representation of a proxy has its credentials."""
    proxy = outbound_proxy("https://user:hunter2@[::1]:3128")
    assert str(proxy) == "https://[::1]:3128"
    assert "Basic" not in repr(proxy)
