"""A response that upstream does not know is answered from the store, or its refusal says where it was made."""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from proxy.drivers.asgi import PortableMiddleware
from proxy.drivers.memory import MemoryBudget
from proxy.drivers.offload import Offload
from proxy.http.base_url import base_url
from proxy.middleware import retrieval
from proxy.middleware.recording import RecordingMiddleware
from proxy.middleware.retrieval import RetrievalMiddleware
from proxy.responses.policy import Policy
from proxy.store.service import StoreService, Terms
from proxy.upstream.client import Http1Client
from proxy.upstream.reverse_proxy import ReverseProxy
from tests.drivers.test_asgi import post, report
from tests.middleware.test_recording import FIRST, ME, RESPONSE, SAID, YOU, until
from tests.support.raw_client import RawClient, exchange, request
from tests.support.scripts import Gate, answer, cut_after, json_answer
from tests.support.serving import serving
from tests.support.shelf import Shelf
from tests.support.upstream_server import ScriptedUpstream

GONE = {"error": {"message": "Response with id 'resp_1' not found.", "type": "invalid_request_error", "code": None}}
PATH = b"/v1/responses/resp_1"
WAITING = {**RESPONSE, "status": "queued", "background": True, "output": []}


@pytest.fixture
def shelf() -> Shelf:
    """A store."""
    return Shelf()


@contextmanager
def product(
    url: str, shelf: Shelf, *, memory: int = 1 << 30, says: bool = True, observes: bool = False
) -> Iterator[int]:
    """The product with a store, at a place called eu; the value is its port."""
    upstream, notebook = base_url(url), shelf.notebook
    service = StoreService(shelf, notebook, Terms(place="eu"))
    portable = PortableMiddleware(
        ReverseProxy(Http1Client(upstream), upstream, notebook),
        Policy(recalls=True),
        observer=notebook,
        service=service,
        report=says,
    )
    found = RetrievalMiddleware(
        portable, service, memory=MemoryBudget(memory), offload=Offload(), report=says, observes=observes
    )
    with serving(RecordingMiddleware(found, service, portable.recording)) as port:
        yield port


def ask(port: int, method: bytes = b"GET", path: bytes = PATH, *fields: tuple[bytes, bytes]) -> Any:
    """The answer to a request without a body."""
    return exchange(port, request(method, path, [*(fields or (ME,))]))


def test_upstream_comes_first(upstream: ScriptedUpstream, shelf: Shelf) -> None:
    """Where upstream knows it, or refuses for another reason, its own answer passes and nothing is looked up."""
    other = json_answer({"error": {"message": "Invalid URL (GET /v1/responses/resp_1)"}}, 404)
    upstream.will_answer(json_answer(RESPONSE), json_answer({**RESPONSE, "x": 1}), other, json_answer(GONE, 400))
    with product(upstream.url, shelf) as port:
        post(port, FIRST, ME)
        answers = [ask(port) for _ in range(3)]
    assert [got.status for got in answers] == [200, 404, 400]
    assert json.loads(answers[0].body)["x"] == 1
    assert {report(got)["action"] for got in answers} == {"passthrough"}
    assert shelf.asked == 0


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_it_is_answered_from_the_store(upstream: ScriptedUpstream, shelf: Shelf, coding: str) -> None:
    """A finished response is answered as it was then, in place of a refusal in any coding, and recorded no second time.

    Of the refusal's fields those stay that are not about its body.
    """
    body = json.dumps(GONE).encode()
    fields = [(b"Content-Type", b"application/json"), (b"x-request-id", b"req_up")]
    refusal = answer(404, body, fields)
    if coding == "gzip":
        refusal = answer(404, gzip.compress(body), [*fields, (b"Content-Encoding", b"gzip")])
    upstream.will_answer(json_answer(RESPONSE), refusal)
    with product(upstream.url, shelf) as port:
        post(port, FIRST, ME)
        got = ask(port)
        told = shelf.told
    assert (got.status, json.loads(got.body)) == (200, RESPONSE)
    assert got.values(b"content-type") == [b"application/json"]
    assert (got.values(b"content-encoding"), got.values(b"x-request-id")) == ([], [b"req_up"])
    assert (report(got)["action"], report(got)["store"], told) == ("stored", "hit", 1)
    assert "hint" not in report(got)


ASKED = [
    (b"GET", PATH + b"/input_items"),
    (b"GET", PATH + b"?stream=true&starting_after=2"),
    (b"POST", PATH + b"/cancel"),
    (b"DELETE", PATH),
]


@pytest.mark.parametrize(("method", "path"), ASKED)
def test_what_only_its_maker_can_do(upstream: ScriptedUpstream, shelf: Shelf, method: bytes, path: bytes) -> None:
    """The refusal is relayed byte for byte, with a field that says where the response was made."""
    upstream.will_answer(json_answer(RESPONSE), json_answer(GONE, 404))
    with product(upstream.url, shelf) as port:
        post(port, FIRST, ME)
        got = ask(port, method, path)
        forgotten = shelf.forgotten
    assert (got.status, json.loads(got.body)) == (404, GONE)
    assert got.values(b"x-unpinned-hint") == [b"made-at=eu"]
    assert forgotten[:1] == (["resp_1"] if method == b"DELETE" else [])


def test_observing_changes_nothing(upstream: ScriptedUpstream, shelf: Shelf) -> None:
    """In `observe` mode the refusal passes, and says where the response was made."""
    upstream.will_answer(json_answer(RESPONSE), json_answer(GONE, 404))
    with product(upstream.url, shelf, observes=True) as port:
        post(port, FIRST, ME)
        got = ask(port)
    assert (got.status, json.loads(got.body), got.values(b"x-unpinned-hint")) == (404, GONE, [b"made-at=eu"])


def test_a_response_in_progress_is_polled_where_it_is_made(upstream: ScriptedUpstream, shelf: Shelf) -> None:
    """Until its maker has shown its end, the refusal says where; from then on it is answered."""
    done = {**RESPONSE, "background": True}
    refusal = json_answer(GONE, 404)
    upstream.will_answer(json_answer(WAITING), refusal, json_answer(done), refusal)
    with product(upstream.url, shelf) as port:
        post(port, {**FIRST, "background": True}, ME)
        first = ask(port)
        ask(port)
        second = ask(port)
    assert (first.status, first.values(b"x-unpinned-hint")) == (404, [b"made-at=eu"])
    assert (second.status, json.loads(second.body)) == (200, done)


def test_what_the_store_does_not_know(upstream: ScriptedUpstream, shelf: Shelf) -> None:
    """An unknown response, another's, and one that was asked not to be stored stay upstream's refusal."""
    refusal = json_answer(GONE, 404)
    upstream.will_answer(refusal, json_answer({**RESPONSE, "id": "resp_2", "store": False}), refusal)
    upstream.will_answer(json_answer(RESPONSE), refusal, refusal)
    with product(upstream.url, shelf) as port:
        unknown = ask(port)
        post(port, FIRST, ME)
        unstored = ask(port, b"GET", b"/v1/responses/resp_2")
        post(port, FIRST, ME)
        others = ask(port, b"GET", PATH, YOU)
        nobody = ask(port, b"GET", PATH, (b"x", b"y"))
    for got in (unknown, unstored, others, nobody):
        assert (got.status, json.loads(got.body), got.values(b"x-unpinned-hint")) == (404, GONE, [])
    assert [report(got).get("store") for got in (unknown, unstored, others, nobody)] == ["miss"] * 3 + [None]


def test_a_store_that_is_down(upstream: ScriptedUpstream, shelf: Shelf) -> None:
    """Where the store cannot be reached the refusal passes, and says so."""
    upstream.will_answer(json_answer(GONE, 404))
    shelf.broken = True
    with product(upstream.url, shelf) as port:
        got = ask(port)
    assert (got.status, json.loads(got.body), report(got)["store"]) == (404, GONE, "down")


def test_without_a_report(upstream: ScriptedUpstream, shelf: Shelf) -> None:
    """With the report switched off the response is found all the same, and no field is added."""
    upstream.will_answer(json_answer(RESPONSE), json_answer(GONE, 404), json_answer(GONE, 404))
    with product(upstream.url, shelf, says=False) as port:
        post(port, FIRST, ME)
        answers = ask(port), ask(port, *ASKED[0])
    assert [got.status for got in answers] == [200, 404]
    assert [report(got) for got in answers] == [{}, {}]


def test_what_does_not_fit_into_memory(upstream: ScriptedUpstream, shelf: Shelf) -> None:
    """A refusal, or a response, that the process has no room for is relayed as it is."""
    upstream.will_answer(json_answer(RESPONSE), json_answer(GONE, 404), json_answer(RESPONSE), json_answer(GONE, 404))
    for room in (10, len(json.dumps(GONE)) + 10):
        with product(upstream.url, shelf, memory=room) as port:
            post(port, FIRST, ME)
            got = ask(port)
        assert (got.status, json.loads(got.body)) == (404, GONE)


def test_a_refusal_that_is_too_long_passes(upstream: ScriptedUpstream, shelf: Shelf) -> None:
    """More than a mebibyte is given to the client as it arrives, unjudged."""
    long = json.dumps({**GONE, "x": "x" * (3 << 20)}).encode()
    upstream.will_answer(json_answer(RESPONSE), answer(404, long))
    with product(upstream.url, shelf) as port:
        post(port, FIRST, ME)
        got = ask(port)
    assert (got.status, got.body, shelf.asked) == (404, long, 0)


def test_a_refusal_that_breaks_off_is_visibly_cut(upstream: ScriptedUpstream, shelf: Shelf) -> None:
    """What arrived of it is given to the client, and the connection is cut."""
    upstream.will_answer(cut_after(json_answer(GONE, 404)))
    with product(upstream.url, shelf) as port, RawClient(port) as client:
        client.send(request(b"GET", PATH, [ME]))
        head, rest = client.head(), client.rest()
    assert (head.status, rest) == (404, json.dumps(GONE).encode()[:-1])


def test_a_refusal_that_stalls_passes(
    upstream: ScriptedUpstream, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal whose end does not come in time is given to the client as it arrives."""
    monkeypatch.setattr(retrieval, "JUDGED", 0.05)
    body = json.dumps(GONE).encode()
    gate = Gate()
    head = b"HTTP/1.1 404 Not Found\r\ncontent-length: %d\r\n\r\n" % len(body)
    upstream.will_answer([head + body[:5], gate, body[5:]])
    with product(upstream.url, shelf) as port, RawClient(port) as client:
        client.send(request(b"GET", PATH, [ME]))
        assert client.head().status == 404
        gate.open()
        assert client.exactly(len(body)) == body
    assert shelf.asked == 0


def test_a_large_response_is_put_together_elsewhere(upstream: ScriptedUpstream, shelf: Shelf) -> None:
    """A response with a megabyte besides its output comes back whole."""
    large = {**RESPONSE, "metadata": {"x": "x" * (1 << 20)}, "output": [SAID] * 50}
    upstream.will_answer(json_answer(large), json_answer(GONE, 404))
    with product(upstream.url, shelf) as port:
        post(port, FIRST, ME)
        until(lambda: shelf.answers)
        got = ask(port)
    assert (got.status, json.loads(got.body)) == (200, large)
