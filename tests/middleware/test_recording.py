"""What the store is told of answers that pass, and what it is asked for requests: over real sockets."""

import gzip
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from proxy.drivers.asgi import PortableMiddleware
from proxy.events import StoreFailed
from proxy.http.base_url import base_url
from proxy.middleware.recording import RecordingMiddleware
from proxy.responses.history.recording import Replays, names_of
from proxy.responses.policy import Policy
from proxy.store.service import StoreService, Terms
from proxy.upstream.client import Http1Client
from proxy.upstream.reverse_proxy import ReverseProxy
from tests.drivers.test_asgi import post, report
from tests.support.raw_client import RawClient, exchange, request
from tests.support.scripts import Gate, answer, cut_after, event_stream, json_answer, refusal
from tests.support.serving import PATIENCE, serving
from tests.support.shelf import Shelf
from tests.support.upstream_server import ScriptedUpstream

USER = {"role": "user", "content": "hello"}
SAID = {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}
NEXT = {"role": "user", "content": "and?"}
RESPONSE = {"id": "resp_1", "status": "completed", "output": [SAID]}
FIRST = {"model": "gpt-5", "input": [USER]}
SECOND = {"model": "gpt-5", "input": [NEXT], "previous_response_id": "resp_1"}
ME = (b"Authorization", b"Bearer me")
YOU = (b"Authorization", b"Bearer you")
COMPLETED = {"type": "response.completed", "response": RESPONSE}
DELTA = {"type": "response.output_text.delta", "delta": "hi"}
HISTORY = [USER, {key: value for key, value in SAID.items() if key != "id"}, NEXT]


@pytest.fixture
def shelf() -> Shelf:
    """A store."""
    return Shelf()


@contextmanager
def product(url: str, shelf: Shelf, policy: Policy | None = None, **options: Any) -> Iterator[int]:
    """The product with a store; the value is its port."""
    upstream = base_url(url)
    notebook = shelf.notebook
    policy = policy or Policy(mode="strip", recalls=True)
    service = StoreService(shelf, notebook, Terms(**options))
    portable = PortableMiddleware(
        ReverseProxy(Http1Client(upstream), upstream, notebook), policy, observer=notebook, service=service
    )
    with serving(RecordingMiddleware(portable, service, portable.recording)) as port:
        yield port


def until(holds: Callable[[], Any]) -> None:
    """Wait for something that is about to be."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


def ask(port: int, method: bytes, path: bytes, *fields: tuple[bytes, bytes]) -> int:
    """The status of a request without a body."""
    return exchange(port, request(method, path, [*fields])).status


ANSWERS = {
    "json": json_answer(RESPONSE),
    "gzip": answer(
        200,
        gzip.compress(json.dumps(RESPONSE).encode()),
        [(b"Content-Type", b"application/json"), (b"Content-Encoding", b"gzip")],
    ),
    "events": event_stream([{"type": "response.created", "response": {"id": "resp_1"}}, DELTA, COMPLETED]),
    "zipped events": answer(
        200,
        gzip.compress(b"data: " + json.dumps(COMPLETED).encode() + b"\n\n"),
        [(b"Content-Type", b"text/event-stream"), (b"Content-Encoding", b"gzip")],
    ),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_conversation_goes_on(upstream: ScriptedUpstream, shelf: Shelf, kind: str) -> None:
    """What one turn brought about stands in front of the next one, however the answer came."""
    upstream.will_answer(ANSWERS[kind], json_answer({**RESPONSE, "id": "resp_2"}))
    with product(upstream.url, shelf) as port:
        first = post(port, FIRST, ME)
        second = post(port, SECOND, ME)
    assert b"resp_1" in (gzip.decompress(first.body) if "zip" in kind else first.body)
    assert upstream.received[1].json() == {"model": "gpt-5", "input": HISTORY}
    told = report(second)
    assert (told["action"], told["fidelity"], told["store"]) == ("rewritten", "lossless", "hit")
    assert "store" not in report(first)
    assert [id_ for _, id_ in shelf.responses] == ["resp_1", "resp_2"]
    assert [len(response.items) for response in shelf.responses.values()] == [2, 2]


def test_another_credential(upstream: ScriptedUpstream, shelf: Shelf) -> None:
    """A stranger's ids resolve for nobody else."""
    upstream.will_answer(json_answer(RESPONSE), json_answer({}), json_answer({}))
    with product(upstream.url, shelf) as port:
        post(port, FIRST, ME)
        for fields in ([YOU], []):
            told = report(post(port, SECOND, *fields))
            assert (told["fidelity"], told["store"]) == ("exact", "miss")
    assert upstream.received[1].json() == SECOND


def test_an_application_with_several_keys(upstream: ScriptedUpstream, shelf: Shelf) -> None:
    """Keys that the operator has joined share what they know."""
    upstream.will_answer(json_answer(RESPONSE), json_answer({}))
    with product(upstream.url, shelf, scope="shop") as port:
        post(port, FIRST, ME)
        assert report(post(port, SECOND, YOU))["store"] == "hit"
    assert upstream.received[1].json()["input"] == HISTORY


def test_nobody(upstream: ScriptedUpstream, shelf: Shelf) -> None:
    """What comes without a credential is not remembered."""
    upstream.will_answer(json_answer(RESPONSE))
    with product(upstream.url, shelf) as port:
        post(port, FIRST)
    assert shelf.told == 0


@pytest.mark.parametrize(("all_", "told"), [(False, 0), (True, 1)])
@pytest.mark.parametrize("says", ["the client", "upstream"])
def test_not_to_be_stored(upstream: ScriptedUpstream, shelf: Shelf, says: str, all_: bool, told: int) -> None:
    """`store: false` is respected, whoever says it, unless the operator says otherwise."""
    upstream.will_answer(json_answer({**RESPONSE, "store": says != "upstream"}))
    with product(upstream.url, shelf, Policy(mode="strip", recalls=True, remembers_all=all_)) as port:
        post(port, {**FIRST, "store": says != "the client"}, ME)
    assert shelf.told == told


@pytest.mark.parametrize(
    "script",
    [
        refusal(400, "no"),
        json_answer({"error": {}}),
        json_answer(RESPONSE, 404),
        json_answer({**RESPONSE, "status": "in_progress"}),
        answer(200, b"no gzip", [(b"Content-Encoding", b"gzip")]),
        answer(200, b"x", [(b"Content-Encoding", b"unknown")]),
        event_stream([DELTA]),
        cut_after(event_stream([DELTA])),
    ],
)
def test_no_response(upstream: ScriptedUpstream, shelf: Shelf, script: Any) -> None:
    """What is no response that can be continued is relayed, and not remembered."""
    upstream.will_answer(script)
    with product(upstream.url, shelf) as port, RawClient(port) as client:
        client.send(request(b"POST", b"/v1/responses", [ME, (b"Connection", b"close")], json.dumps(FIRST).encode()))
        client.rest()
    assert shelf.told == 0
    assert not any(isinstance(event, StoreFailed) for event in shelf.notebook.events)


@pytest.mark.parametrize(("status", "left"), [(200, 0), (404, 0), (401, 1), (500, 1)])
def test_deleted_responses_are_forgotten(upstream: ScriptedUpstream, shelf: Shelf, status: int, left: int) -> None:
    """A deletion forgets, also where upstream does not know the response, but not on anybody's word."""
    upstream.will_answer(json_answer(RESPONSE), json_answer({}, status))
    with product(upstream.url, shelf) as port:
        post(port, FIRST, ME)
        ask(port, b"DELETE", b"/v1/responses/resp_1", YOU if status == 401 else ME)
    assert len(shelf.responses) == left


def test_in_the_background(upstream: ScriptedUpstream, shelf: Shelf) -> None:
    """A response in the background is remembered whole when it is looked at, by whichever process."""
    queued = {**RESPONSE, "status": "queued", "background": True, "output": []}
    done = {**RESPONSE, "background": True}
    upstream.will_answer(json_answer(queued), json_answer(queued), json_answer(done), json_answer({}))
    with product(upstream.url, shelf) as port:
        post(port, {**FIRST, "background": True}, ME)
    with product(upstream.url, shelf) as port:
        ask(port, b"GET", b"/v1/responses/resp_1", ME)
        assert shelf.told == 1
        ask(port, b"GET", b"/v1/responses/resp_1", ME)
        assert report(post(port, SECOND, ME))["store"] == "hit"
    assert upstream.received[3].json()["input"] == HISTORY


def test_a_stream_of_the_background(upstream: ScriptedUpstream, shelf: Shelf) -> None:
    """A stream that breaks off here and is read to its end elsewhere is one response."""
    created = {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "background": True}}
    completed = {**COMPLETED, "response": {**RESPONSE, "background": True}}
    upstream.will_answer(cut_after(event_stream([created, DELTA])), event_stream([completed]), json_answer({}))
    with product(upstream.url, shelf) as port:
        with RawClient(port) as client:
            body = json.dumps({**FIRST, "background": True, "stream": True}).encode()
            client.send(request(b"POST", b"/v1/responses", [ME], body))
            client.until(b"delta")
        ask(port, b"GET", b"/v1/responses/resp_1?stream=true", ME)
        assert report(post(port, SECOND, ME))["store"] == "hit"
    assert upstream.received[2].json()["input"] == HISTORY


def test_looking_at_what_is_known(upstream: ScriptedUpstream, shelf: Shelf) -> None:
    """A response that was not made in the background is not remembered again when it is looked at."""
    upstream.will_answer(json_answer(RESPONSE), json_answer(RESPONSE), json_answer({}))
    with product(upstream.url, shelf) as port:
        post(port, FIRST, ME)
        ask(port, b"GET", b"/v1/responses/resp_1", ME)
        ask(port, b"GET", b"/v1/models", ME)
    assert shelf.told == 1


def test_nothing_is_held_back(upstream: ScriptedUpstream, shelf: Shelf) -> None:
    """Each event is with the client before the next one is made, the last one as well, and the bytes are upstream's."""
    gates = [Gate(), Gate()]
    upstream.will_answer(event_stream([DELTA, gates[0], COMPLETED, gates[1]]))
    with product(upstream.url, shelf) as port, RawClient(port) as client:
        client.send(request(b"POST", b"/v1/responses", [ME], json.dumps(FIRST).encode()))
        client.until(b"text.delta")
        gates[0].open()
        client.until(b"response.completed")
        until(lambda: shelf.responses)
        gates[1].open()
        client.until(b"0\r\n\r\n")


def test_a_store_that_is_down(upstream: ScriptedUpstream, shelf: Shelf) -> None:
    """Requests are answered as they are without a store, and the report says why."""
    upstream.will_answer(json_answer(RESPONSE), json_answer({}))
    with product(upstream.url, shelf) as port:
        post(port, FIRST, ME)
        until(lambda: shelf.responses)
        shelf.broken = True
        told = report(post(port, SECOND, ME))
    assert (told["fidelity"], told["store"]) == ("exact", "down")
    assert upstream.received[1].json() == SECOND


def test_what_cannot_be_read_is_relayed(
    upstream: ScriptedUpstream, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours in reading an answer costs the client nothing."""

    def broken(*_: object) -> None:
        raise KeyError

    monkeypatch.setattr("proxy.drivers.recorder.remembered", broken)
    gate = Gate()
    upstream.will_answer(event_stream([COMPLETED, gate, DELTA]))
    with product(upstream.url, shelf) as port, RawClient(port) as client:
        client.send(request(b"POST", b"/v1/responses", [ME], json.dumps(FIRST).encode()))
        client.until(b"response.completed")
        until(lambda: StoreFailed("read") in shelf.notebook.events)
        gate.open()
        client.until(b"text.delta")
        client.until(b"0\r\n\r\n")
    assert shelf.told == 0


def test_when_upstream_does_not_know(upstream: ScriptedUpstream, shelf: Shelf) -> None:
    """In `recover` mode the store is asked after the refusal, and the turn goes on that conversation."""
    error = {"message": "Previous response with id 'resp_1' not found.", "code": "previous_response_not_found"}
    upstream.will_answer(json_answer(RESPONSE), refusal(400, error), json_answer({**RESPONSE, "id": "resp_2"}))
    with product(upstream.url, shelf, Policy(mode="recover", recalls=True)) as port:
        post(port, FIRST, ME)
        told = report(post(port, SECOND, ME))
    assert (told["action"], told["fidelity"], told["store"]) == ("recovered", "lossless", "hit")
    assert upstream.received[2].json()["input"] == HISTORY
    assert [response.previous for response in shelf.responses.values()] == [None, "resp_1"]


def test_large_conversations(upstream: ScriptedUpstream, shelf: Shelf) -> None:
    """A body and a history that are worked on beside the loop are treated no differently."""
    large = {"role": "user", "content": "x" * 500_000}
    upstream.will_answer(*[json_answer({**RESPONSE, "id": f"resp_{number}"}) for number in (1, 2, 3)])
    with product(upstream.url, shelf) as port:
        post(port, {**FIRST, "input": [large]}, ME)
        post(port, SECOND, ME)
        post(port, {**SECOND, "previous_response_id": "resp_2", "input": [large]}, ME)
    assert upstream.received[2].json()["input"] == [large, HISTORY[1], NEXT, HISTORY[1], large]
    assert [response.previous for response in shelf.responses.values()] == [None, "resp_1", "resp_2"]


def test_large_refusals(upstream: ScriptedUpstream, shelf: Shelf) -> None:
    """So are refusals of large bodies."""
    large = {"role": "user", "content": "x" * 500_000}
    error = {"message": "Previous response with id 'resp_1' not found.", "code": "previous_response_not_found"}
    upstream.will_answer(json_answer(RESPONSE), refusal(400, error), json_answer({}))
    with product(upstream.url, shelf, Policy(mode="recover", recalls=True)) as port:
        post(port, FIRST, ME)
        assert report(post(port, {**SECOND, "input": [large]}, ME))["store"] == "hit"
    assert upstream.received[2].json()["input"] == [*HISTORY[:2], large]


def test_a_conversation_that_is_sent_along(upstream: ScriptedUpstream, shelf: Shelf) -> None:
    """Each turn of it costs its new items."""
    upstream.will_answer(*[json_answer({**RESPONSE, "id": f"resp_{number}"}) for number in range(4)])
    items: list[Any] = []
    with product(upstream.url, shelf) as port:
        for number in range(4):
            items.append({"role": "user", "content": str(number)})
            post(port, {"model": "m", "input": items}, ME)
            items.append(SAID)
            until(lambda: len(shelf.responses) == number + 1)  # noqa: B023 -- called at once
    assert [len(response.items) for response in shelf.responses.values()] == [2, 2, 2, 2]


def test_what_was_deleted_is_continued_by_nothing(upstream: ScriptedUpstream, shelf: Shelf) -> None:
    """A conversation whose last response was deleted is listed anew when it is sent along."""
    upstream.will_answer(json_answer(RESPONSE), json_answer({}), json_answer({**RESPONSE, "id": "resp_2"}))
    with product(upstream.url, shelf) as port:
        post(port, FIRST, ME)
        ask(port, b"DELETE", b"/v1/responses/resp_1", ME)
        post(port, {"model": "m", "input": [USER, SAID, NEXT]}, ME)
    assert [(response.previous, len(response.items)) for response in shelf.responses.values()] == [(None, 4)]


def test_the_end(upstream: ScriptedUpstream, shelf: Shelf) -> None:
    """Told to end, the product writes what is left before it lets go of the store."""
    shelf.slow = 0.05
    upstream.will_answer(*[json_answer({**RESPONSE, "id": f"resp_{number}"}) for number in range(5)])
    with product(upstream.url, shelf) as port:
        for _ in range(5):
            post(port, FIRST, ME)
    assert len(shelf.responses) == 5
    assert shelf.closed


def test_large_streams(upstream: ScriptedUpstream, shelf: Shelf) -> None:
    """What was asked with a large body is found out beside the stream, and remembered at its end; or not at all."""
    large = {"role": "user", "content": "x" * 500_000}
    events = [{"type": "response.created", "response": {**RESPONSE, "status": "in_progress"}}]
    events += [{"type": "response.completed", "response": RESPONSE}]
    upstream.will_answer(event_stream(events), event_stream(events), json_answer({}))
    with product(upstream.url, shelf) as port:
        post(port, {**FIRST, "input": [large], "stream": True, "store": False}, ME)
        post(port, {**FIRST, "input": [large], "stream": True}, ME)
        until(lambda: shelf.told)
        assert report(post(port, SECOND, ME))["store"] == "hit"
    assert shelf.told == 1
    assert upstream.received[2].json()["input"] == [large, HISTORY[1], NEXT]


@pytest.mark.parametrize("size", [1, 500_000])
def test_what_cannot_be_found_out(
    upstream: ScriptedUpstream, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """An answer goes on whole though it cannot be found out what was asked, and is not remembered."""

    def broken(*_: Any) -> Any:
        raise RuntimeError

    monkeypatch.setattr(Replays, "shortened", broken)
    large = {"role": "user", "content": "x" * size}
    script = event_stream([DELTA, COMPLETED])
    upstream.will_answer(script)
    with product(upstream.url, shelf) as port:
        answered = post(port, {**FIRST, "input": [large], "stream": True}, ME)
        until(lambda: StoreFailed("read") in shelf.notebook.events)
    assert b"response.completed" in answered.body
    assert shelf.told == 0


@pytest.mark.parametrize("path", [b"/v1/responses/resp_1", b"/v1/responses/resp%5F1"])
def test_a_deletion_forgets_every_name(upstream: ScriptedUpstream, shelf: Shelf, path: bytes) -> None:
    """A deleted response is forgotten by its id, however the path writes it, and those of its request and answer."""
    upstream.will_always_answer(json_answer({}))
    with product(upstream.url, shelf) as port:
        ask(port, b"DELETE", path, ME)
    assert shelf.forgotten == [*names_of("resp_1")]


@pytest.mark.parametrize("path", [b"/v1/responses/request%20of%20resp_1", b"/v1/responses/a%2Fb", b"/v1/responses/%ff"])
def test_what_is_no_id_passes_unheard(upstream: ScriptedUpstream, shelf: Shelf, path: bytes) -> None:
    """A path whose last segment decodes to no id goes on untouched, and the store hears nothing of it."""
    upstream.will_always_answer(json_answer({}))
    with product(upstream.url, shelf) as port:
        ask(port, b"DELETE", path, ME)
    assert upstream.received[0].target == path
    assert shelf.forgotten == []


COMPACTED = {"id": "resp_9", "output": [{"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAA"}]}


@pytest.mark.parametrize(
    ("previous", "all_", "kept"), [("resp_1", False, True), (None, False, False), (None, True, True)]
)
def test_what_compact_stands_for(
    upstream: ScriptedUpstream, shelf: Shelf, previous: str | None, all_: bool, kept: bool
) -> None:
    """`/compact` cannot say `store: false`: what it compacts is kept where it continues what is stored, or all is."""
    upstream.will_answer(json_answer(RESPONSE), json_answer(COMPACTED))
    more = {"previous_response_id": previous} if previous else {}
    with product(upstream.url, shelf, Policy(recalls=True, remembers_all=all_)) as port:
        post(port, FIRST, ME)
        exchange(
            port,
            request(
                b"POST", b"/v1/responses/compact", [ME], json.dumps({"model": "m", "input": [NEXT], **more}).encode()
            ),
        )
        post(port, FIRST, ME)  # writes are in order
    names = {name for _, name in shelf.responses}
    assert ("before resp_9" in names) == kept
    assert "resp_9" not in names
