"""Clients that leave: upstream's connection is closed immediately, and half a request never looks like a whole one."""

import asyncio
import socket

import pytest
from starlette.types import Message

from proxy.events import Observers
from proxy.http.base_url import base_url
from proxy.http.context import RequestContext
from proxy.upstream import upload
from proxy.upstream.client import Http1Client
from proxy.upstream.reverse_proxy import ReverseProxy
from proxy.upstream.upload import Upload, Watches
from tests.support.raw_client import request
from tests.support.scripts import UNTIL_CLOSED, Gate, answer, chunk, event_stream, head, script
from tests.support.upstream_server import ScriptedUpstream
from tests.upstream.conftest import Proxied, Start


def test_a_client_that_leaves_before_the_answer_ends_the_request(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """The connection closes while upstream still computes, so that it can stop."""
    upstream.will_answer(script(UNTIL_CLOSED))
    with proxied.connect() as client:
        client.send(request(b"POST", b"/v1/responses", body=b"{}"))
        upstream.wait_received().wait_body(b"{}")
    upstream.received[0].wait_closed()
    assert proxied.causes == []


@pytest.mark.parametrize("abrupt", [False, True])
def test_a_client_that_leaves_amid_the_answer_ends_it(
    proxied: Proxied, upstream: ScriptedUpstream, abrupt: bool
) -> None:
    """A stream whose client has disconnected is closed, also while upstream is silent."""
    upstream.will_answer(event_stream([b"data: 1\n\n", UNTIL_CLOSED]))
    with proxied.connect() as client:
        client.send(request(b"POST", b"/v1/responses", body=b"{}"))
        client.until(b"data: 1\n\n")
        if abrupt:
            client.reset()
    upstream.received[0].wait_closed()
    assert proxied.causes == []


def test_a_client_that_leaves_amid_a_flood_ends_it(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """A disconnect is noticed also while upstream sends faster than the client reads.

    Before, the answer was relayed to its end: a cancellation of anyio waits for a pause, and there was none.
    """

    def flood(connection: socket.socket) -> None:
        while True:
            connection.sendall(bytes(1_000_000))

    upstream.will_answer(script(head(200), flood))
    with proxied.connect() as client:
        client.send(request(b"GET", b"/x"))
        client.exactly(5_000_000)
    upstream.received[0].wait_closed()


def test_a_server_that_stops_is_not_taken_for_a_client_that_leaves(upstream: ScriptedUpstream) -> None:
    """A cancellation for any other reason is not swallowed."""
    upstream.will_answer(script(UNTIL_CLOSED))
    origin = base_url(upstream.url)
    app = ReverseProxy(Http1Client(origin), origin, Observers())
    scope = {"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b"", "headers": []}
    messages: list[Message] = [{"type": "http.request"}]

    async def receive() -> Message:
        if not messages:
            await asyncio.sleep(60)
        return messages.pop()

    async def send(message: Message) -> None:
        raise AssertionError(message)

    async def main() -> None:
        task = asyncio.create_task(app(scope, receive, send))
        await asyncio.to_thread(upstream.wait_received)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_client_that_leaves_does_not_disturb_the_next(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """The rest of an answer given up never reaches another client."""
    upstream.will_answer(event_stream([b"data: 1\n\n", UNTIL_CLOSED]), answer(200, b"mine"))
    with proxied.connect() as client:
        client.send(request(b"GET", b"/x"))
        client.until(b"data: 1\n\n")
    upstream.received[0].wait_closed()
    assert proxied.exchange(request(b"GET", b"/y")).body == b"mine"


@pytest.mark.parametrize("chunked", [True, False])
def test_half_a_request_is_never_sent_as_a_whole(proxied: Proxied, upstream: ScriptedUpstream, chunked: bool) -> None:
    """A client that leaves amid its body leaves upstream with a body that visibly lacks its end."""
    upstream.will_answer(answer())
    framing = (b"Transfer-Encoding", b"chunked") if chunked else (b"Content-Length", b"10")
    with proxied.connect() as client:
        client.send(request(b"POST", b"/x", [framing]) + (chunk(b"half") if chunked else b"half"))
        upstream.wait_received().wait_body(b"half")
    upstream.received[0].wait_closed()
    assert not upstream.received[0].whole


def test_a_client_may_close_when_it_has_its_answer(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """An answer read to its end frees its connection to upstream, however the client leaves."""
    upstream.will_answer(answer(200, b"1"), answer(200, b"2"))
    with proxied.connect() as client:
        client.send(request(b"GET", b"/x"))
        client.answer()
        client.reset()
    assert proxied.exchange(request(b"GET", b"/y")).body == b"2"
    assert upstream.connections == 1


def test_a_client_that_sends_on_is_answered_in_order(proxied: Proxied, upstream: ScriptedUpstream) -> None:
    """Bytes that follow a request are no sign of leaving: the next request waits for its turn."""
    gate = Gate()
    upstream.will_answer(script(head(200, [(b"Content-Length", b"1")]), gate, b"1"), answer(200, b"2"))
    with proxied.connect() as client:
        client.send(request(b"POST", b"/x", body=b"a") + request(b"POST", b"/y", body=b"b"))
        gate.wait_reached()
        gate.open()
        assert [client.answer().body, client.answer().body] == [b"1", b"2"]


def test_a_client_that_leaves_while_it_waits_for_a_connection_leaves_its_place(
    start: Start, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that is cancelled while it waits for a connection takes none from the others."""
    monkeypatch.setattr(upload, "WATCH_DELAY", 0)
    gate = Gate()
    upstream.will_answer(script(gate, *answer(200, b"1")[1:]), answer(200, b"2"))
    proxied = start(path="/base", connections=1)

    def settled() -> None:
        """Everything sent before has been read when the proxy itself answers this."""
        assert proxied.exchange(request(b"GET", b"/../")).status == 400

    with proxied.connect() as first, proxied.connect() as second:
        first.send(request(b"GET", b"/1"))
        gate.wait_reached()
        with proxied.connect() as gone:
            gone.send(request(b"GET", b"/gone"))
            settled()
        settled()
        second.send(request(b"GET", b"/2"))
        gate.open()
        assert (first.answer().body, second.answer().body) == (b"1", b"2")
    assert [received.target for received in upstream.received] == [b"/base/1", b"/base/2"]


def test_one_timer_watches_for_all_clients() -> None:
    """A client that is not answered soon is watched, one that is answered is not; in any loop that runs."""
    watches = Watches()

    async def upload(received: list[str], name: str, watched: asyncio.Event) -> Upload:
        async def receive() -> Message:
            received.append(name)
            if received.count(name) > 1:
                watched.set()
                await asyncio.Event().wait()
            return {"type": "http.request", "body": b"{}"}

        arrived = Upload(receive, 60, RequestContext(), watches)
        assert await arrived.body() == b"{}"
        return arrived

    async def main() -> list[str]:
        received: list[str] = []
        watched = asyncio.Event()
        (await upload(received, "answered", watched)).disarm()
        waiting = await upload(received, "waiting", watched)
        await watched.wait()
        waiting.disarm()
        (await upload(received, "last", watched)).disarm()  # the loop ends before the timer fires
        assert watches._new | watches._due == set()
        return received

    assert asyncio.run(main()) == ["answered", "waiting", "waiting", "last"]
    assert asyncio.run(main()) == ["answered", "waiting", "waiting", "last"]
