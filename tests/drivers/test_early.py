"""Refusals inside a stream: what is held and for how long, what is tried again, and what the client sees of it."""

import gzip
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from proxy.drivers.asgi import PortableMiddleware
from proxy.drivers.attempt import HeldStream
from proxy.drivers.memory import MemoryBudget
from proxy.events import LeftOutByUpstream, Recovered, Refused, Unrecovered
from proxy.http.base_url import base_url
from proxy.http.metadata import Metadata
from proxy.middleware.server_errors import ServerErrorsMiddleware
from proxy.responses import early
from proxy.responses.policy import Policy
from proxy.upstream.client import Http1Client
from proxy.upstream.interface import Deadlines
from proxy.upstream.reverse_proxy import ReverseProxy
from tests.support.product import Notebook, unpinned
from tests.support.raw_client import PATIENCE, RawAnswer, RawClient, exchange, request
from tests.support.scripts import (
    END,
    RESET,
    UNTIL_CLOSED,
    Act,
    Gate,
    Script,
    answer,
    chunk,
    event,
    event_stream,
    head,
    json_answer,
    refusal,
    script,
)
from tests.support.serving import serving
from tests.support.upstream_server import ScriptedUpstream

Json = dict[str, Any]
USER = {"role": "user", "content": "hello"}
SAID = {"type": "message", "role": "assistant", "id": "msg_1", "content": "hi"}
BARE = {"type": "reasoning", "id": "rs_1", "summary": []}
SEALED = {"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}
STREAM = (b"Content-Type", b"text/event-stream")
CHUNKED = (b"Transfer-Encoding", b"chunked")
FIRST = (b"X-Request-Id", b"first")

MISSING = {"type": "invalid_request_error", "code": None, "message": "Item with id 'rs_1' not found.", "param": "input"}
CREATED = {"type": "response.created", "sequence_number": 0, "response": {"id": "resp_0", "error": None}}
IN_PROGRESS = {**CREATED, "type": "response.in_progress"}
DELTA = {"type": "response.output_text.delta", "delta": "hello"}
COMPLETED = {"type": "response.completed", "response": {"id": "resp_2"}}
FAILED = {"type": "response.failed", "response": {"id": "resp_0", "error": MISSING}}
ERROR = {"type": "error", "status": 404, "error": MISSING}
ANSWERED = event_stream([CREATED, DELTA, COMPLETED], [(b"X-Request-Id", b"second")])
LAST = b"\r\n" + chunk(b"")
COMMENT = b": OPENROUTER PROCESSING\n\n"

SHAPES: dict[str, list[Any]] = {
    "flat": [{"type": "error", "code": None, "message": MISSING["message"], "param": "input"}],
    "nested, as a WebSocket says it": [ERROR],
    "response.error": [{"type": "response.error", "error": MISSING}],
    "response.failed": [FAILED],
    "after created": [CREATED, FAILED],
    "after created and in progress": [CREATED, IN_PROGRESS, FAILED],
    "error and failed": [CREATED, ERROR, FAILED],
    "bare, behind comments": [
        COMMENT,
        b'data: {"error": {"code": 400, "message": "Item with id \'rs_1\' not found."}}\n\n',
    ],
    "bare, with an end": [b'data: {"error": "Item with id \'rs_1\' not found."}\n\n', b"data: [DONE]\n\n"],
}


def conversation(*items: Json, **more: Any) -> bytes:
    """A streaming request with these items, or with a few that have ids."""
    body = json.dumps({"model": "gpt-5", "input": items or (USER, BARE, SAID, USER), "stream": True, **more}).encode()
    return request(b"POST", b"/v1/responses", [(b"Authorization", b"Bearer k")], body)


def body_of(played: Script) -> bytes:
    """The body of a chunked answer, each chunk a step of its own."""
    steps = [step for step in played if isinstance(step, bytes)][1:]
    return b"".join(step.partition(b"\r\n")[2].removesuffix(b"\r\n") for step in steps)


def told(received: RawAnswer, name: str) -> str:
    """A field of the report."""
    values = received.values(b"x-unpinned-" + name.encode())
    return values[0].decode() if values else ""


@contextmanager
def recovering(upstream: ScriptedUpstream, notebook: Notebook | None = None, **policy: Any) -> Iterator[int]:
    """The product in `recover` mode."""
    with unpinned(upstream.url, Policy(**{"mode": "recover", **policy}), notebook) as port:
        yield port


@pytest.mark.parametrize("shape", SHAPES)
def test_a_stream_that_refuses_is_tried_again(upstream: ScriptedUpstream, shape: str) -> None:
    """Whatever the shape, the client sees one clean stream: the second one, with its head, reported like any other."""
    upstream.will_answer(event_stream(SHAPES[shape], [FIRST]), ANSWERED)
    notebook = Notebook()
    with recovering(upstream, notebook) as port:
        received = exchange(port, conversation())
    assert (received.status, received.body, received.complete) == (200, body_of(ANSWERED), True)
    assert received.values(b"x-request-id") == [b"second"]
    assert told(received, "action") == "recovered"
    assert told(received, "attempts") == "2"
    assert told(received, "removed") == "reasoning=1, item_id=1"
    status = 404 if ERROR in SHAPES[shape] else 400
    assert [one for one in notebook.events if isinstance(one, Refused | Recovered)] == [
        Refused(status, "item", "portable"),
        Recovered("portable", 2),
    ]
    assert "id" not in upstream.received[1].json()["input"][1]


@pytest.mark.parametrize("shape", SHAPES)
def test_refused_to_the_end(upstream: ScriptedUpstream, shape: str) -> None:
    """Refused again and again, the client gets the first stream, byte for byte, with its head."""
    first = event_stream(SHAPES[shape], [FIRST, (b"Set-Cookie", b"a=1")])
    others = [event_stream(SHAPES[shape]), refusal(400, "Something else")]
    upstream.will_answer(first, *others)
    notebook = Notebook()
    with recovering(upstream, notebook, keep_last=0) as port:
        received = exchange(port, conversation(USER, BARE, SAID, USER, BARE, SAID, USER))
    assert (received.status, received.body, received.complete) == (200, body_of(first), True)
    assert (received.values(b"x-request-id"), received.values(b"set-cookie")) == ([b"first"], [b"a=1"])
    assert told(received, "action") == "unrecovered"
    assert int(told(received, "attempts")) == len(upstream.received) > 1
    assert notebook.events[-1] == Unrecovered("item", len(upstream.received))


@pytest.mark.parametrize("ending", ["\n\n", "\r\n\r\n", "\r\r"])
@pytest.mark.parametrize("line", ["event: error\ndata: {}", "data:{}", "\ufeffdata: {}", "id: 1\nretry: 5\ndata: {}"])
@pytest.mark.parametrize("step", [1, 1000])
def test_any_way_to_write_an_event(upstream: ScriptedUpstream, line: str, ending: str, step: int) -> None:
    """An event is read as the standard says, whole or one byte at a time."""
    data = json.dumps(ERROR, indent=1).replace("\n", "\ndata: ")
    written = (line.replace("{}", data) + "\n\n").replace("\n", ending[: len(ending) // 2]).encode()
    pieces = [written[n : n + step] for n in range(0, len(written), step)]
    upstream.will_answer(event_stream(pieces), ANSWERED)
    with recovering(upstream) as port:
        assert exchange(port, conversation()).body == body_of(ANSWERED)


@pytest.mark.parametrize(
    "events",
    [
        [DELTA, ERROR],
        [CREATED, {"type": "response.output_item.added", "item": SAID}, FAILED],
        [b"data: no JSON\n\n", ERROR],
        [b'data: {"type": "response.created", \n\n', ERROR],
        [{"type": "error", "status": 429, "error": {**MISSING, "code": "rate_limit_exceeded"}}],
        [{"type": "error", "status": 503, "error": MISSING}],
        [{"type": "response.failed", "response": {"error": {"code": "server_error", "message": "Try again."}}}],
        [{"type": "error", "error": {"code": "invalid_prompt", "message": "Flagged."}}],
        [CREATED],
        [COMMENT],
        [],
    ],
)
def test_what_commits(upstream: ScriptedUpstream, events: list[Any]) -> None:
    """Output, what cannot be read, every error that is not ours, and the end: relayed as it came, asked for once."""
    upstream.will_answer(event_stream(events, [FIRST]))
    with recovering(upstream) as port:
        received = exchange(port, conversation())
    assert (received.status, received.body, received.complete) == (200, b"".join(map(event, events)), True)
    assert told(received, "action") == "passthrough"
    assert len(upstream.received) == 1


@pytest.mark.parametrize("status", [201, 204])
def test_another_status_is_relayed(upstream: ScriptedUpstream, status: int) -> None:
    """What is no 200 is no stream that is looked into, whatever its type."""
    upstream.will_answer(answer(status, b"" if status == 204 else event(ERROR), [STREAM]))
    with recovering(upstream) as port:
        received = exchange(port, conversation())
    assert (received.status, received.complete) == (status, True)
    assert len(upstream.received) == 1


def test_head_is_relayed(upstream: ScriptedUpstream) -> None:
    """HEAD is no request that is rewritten."""
    upstream.will_answer(script(head(200, [STREAM])))
    with recovering(upstream) as port, RawClient(port) as client:
        client.send(request(b"HEAD", b"/v1/responses"))
        assert client.head().status == 200
    assert len(upstream.received) == 1


@pytest.mark.parametrize("coding", [b"gzip", b"br"])
def test_a_coded_stream_is_relayed(upstream: ScriptedUpstream, coding: bytes) -> None:
    """A stream with a content coding is not looked into."""
    body = gzip.compress(event(ERROR))
    upstream.will_answer(answer(200, body, [STREAM, (b"Content-Encoding", coding)]))
    with recovering(upstream) as port:
        assert exchange(port, conversation()).body == body
    assert len(upstream.received) == 1


def test_json_with_an_error_is_relayed(upstream: ScriptedUpstream) -> None:
    """A 200 as JSON is an answer, whatever it says."""
    upstream.will_answer(json_answer({"error": MISSING}))
    with recovering(upstream) as port:
        assert json.loads(exchange(port, conversation()).body) == {"error": MISSING}
    assert len(upstream.received) == 1


@pytest.mark.parametrize(
    ("target", "policy"),
    [
        (b"/v1/responses", {"early": False}),
        (b"/v1/responses", {"mode": "observe"}),
        (b"/v1/responses", {"max_recoveries": 0}),
        (b"/v1/responses/compact", {}),
        (b"/v1/chat/completions", {}),
    ],
)
def test_what_is_not_looked_at(upstream: ScriptedUpstream, target: bytes, policy: Json) -> None:
    """Switched off, in `observe` mode, without recoveries and on other routes, streams pass as they arrive."""
    gate = Gate()
    upstream.will_answer(event_stream([CREATED, gate, ERROR]))
    with recovering(upstream, **policy) as port, RawClient(port) as client:
        client.send(conversation().replace(b"/v1/responses", target, 1))
        client.until(event(CREATED))
        gate.open()
        assert event(ERROR) in client.until(LAST)
    assert len(upstream.received) == 1


def test_pieces_stay_pieces(upstream: ScriptedUpstream) -> None:
    """What was held goes to the client in the pieces in which it came."""
    gate = Gate()
    upstream.will_answer(event_stream([COMMENT, gate, CREATED, DELTA]))
    with recovering(upstream) as port, RawClient(port) as client:
        client.send(conversation())
        gate.wait_reached()
        assert not client.readable_within(0.1)
        gate.open()
        client.head()
        assert client.until(LAST).startswith(chunk(COMMENT))


@pytest.mark.parametrize("size", [10, 1_000, 10_000])
def test_a_refusal_behind_a_long_event_is_found(size: int) -> None:
    """However long the events are that say nothing, one that refuses behind them is found in the same piece."""
    created = {**CREATED, "response": {"id": "resp_0", "instructions": "x" * size}}
    held = HeldStream(200, Metadata([STREAM]), None, commits_first=False)
    assert held.verdict(event(created)) == "hold"
    found = held.verdict(event(created) + event(ERROR) + event(DELTA))
    assert isinstance(found, early.EarlyRefusal)
    assert found.status == 404


def test_the_first_event_waits_half_a_second_at_most(upstream: ScriptedUpstream) -> None:
    """A created response is relayed after half a second; an error that comes later is relayed, too."""
    gate = Gate()
    upstream.will_answer(event_stream([CREATED, gate, ERROR]))
    with recovering(upstream) as port, RawClient(port) as client:
        began = time.monotonic()
        client.send(conversation())
        client.head()
        client.until(event(CREATED))
        assert time.monotonic() - began >= early.AFTER_FIRST_EVENT * 0.9
        gate.open()
        assert client.until(LAST) == b"\r\n" + chunk(event(ERROR)) + chunk(b"")
    assert len(upstream.received) == 1


def test_events_after_a_commit_by_time_go_straight_on(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a commit by time each event is relayed when it comes, in order."""
    monkeypatch.setattr(early, "AFTER_FIRST_EVENT", 0.05)
    gates = [Gate(), Gate()]
    upstream.will_answer(event_stream([CREATED, gates[0], DELTA, gates[1], COMPLETED]))
    with recovering(upstream) as port, RawClient(port) as client:
        client.send(conversation())
        client.head()
        for sent, gate in zip((CREATED, DELTA), gates, strict=True):
            client.until(event(sent))
            gate.open()
        assert event(COMPLETED) in client.until(LAST)


def test_comments_alone_are_held_for_a_while(upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream of comments is relayed after some seconds; that is counted from its head."""
    monkeypatch.setattr(early, "WITHOUT_EVENT", 0.2)
    gate = Gate()
    upstream.will_answer(event_stream([COMMENT, gate, ERROR]))
    with recovering(upstream) as port, RawClient(port) as client:
        client.send(conversation())
        client.head()
        client.until(COMMENT)
        gate.open()
        assert event(ERROR) in client.until(LAST)
    assert len(upstream.received) == 1


def test_no_more_is_held_than_64_kib(upstream: ScriptedUpstream) -> None:
    """A stream that is undecided after 64 KiB is relayed."""
    gate = Gate()
    long = {**CREATED, "pad": "x" * early.MOST}
    upstream.will_answer(event_stream([long, gate, ERROR]))
    with recovering(upstream) as port, RawClient(port) as client:
        client.send(conversation())
        client.head()
        client.until(b'"}\n\n')
        gate.open()
        assert event(ERROR) in client.until(LAST)


def test_nothing_is_held_that_memory_does_not_have(upstream: ScriptedUpstream) -> None:
    """Where UNPINNED_MAX_MEMORY is used up a stream passes as it arrives."""
    asked = conversation(USER)
    memory = MemoryBudget(len(asked))
    gate = Gate()
    upstream.will_answer(event_stream([{**CREATED, "pad": "x" * 1000}, gate, ERROR]))
    with unpinned(upstream.url, Policy(mode="recover"), memory=memory) as port, RawClient(port) as client:
        client.send(asked)
        client.head()
        client.until(b'"}\n\n')
        gate.open()
        client.until(LAST)


def test_a_response_in_the_background_is_created_without_delay(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that wants the id of a response in the background gets it with the first event."""
    monkeypatch.setattr(early, "AFTER_FIRST_EVENT", 60.0)
    gate = Gate()
    upstream.will_answer(event_stream([CREATED, gate, COMPLETED]))
    with recovering(upstream) as port, RawClient(port) as client:
        client.send(conversation(background=True))
        client.head()
        client.until(event(CREATED))
        gate.open()
        client.until(LAST)


@pytest.mark.parametrize("step", [END, RESET])
@pytest.mark.parametrize("events", [[], [COMMENT], [CREATED], [event(CREATED)[:-5]], [CREATED, ERROR]])
def test_broken_off_while_held(upstream: ScriptedUpstream, events: list[Any], step: Act) -> None:
    """The client gets what arrived, visibly cut, and upstream no second request: the first may have been answered."""
    upstream.will_answer([*event_stream(events, [FIRST])[:-1], step])
    with recovering(upstream) as port:
        received = exchange(port, conversation())
    assert (received.status, received.body, received.complete) == (200, b"".join(map(event, events)), False)
    assert received.values(b"x-request-id") == [b"first"]
    assert len(upstream.received) == 1


@pytest.mark.parametrize("events", [[], [COMMENT], [event(CREATED)[:-5]]])
def test_silent_while_held(upstream: ScriptedUpstream, events: list[Any]) -> None:
    """An upstream that says no more is given up at its deadline: what arrived is relayed, and visibly cut."""
    upstream.will_answer([*event_stream(events, [FIRST])[:-1], UNTIL_CLOSED])
    base = base_url(upstream.url)
    hop = ReverseProxy(Http1Client(base, Deadlines(PATIENCE, PATIENCE, idle=0.2)), base, Notebook())
    with serving(PortableMiddleware(hop, Policy(mode="recover"))) as port:
        received = exchange(port, conversation())
    assert (received.status, received.body, received.complete) == (200, b"".join(map(event, events)), False)
    assert len(upstream.received) == 1


class _Raising:
    """An app that begins to answer, and then raises."""

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": event(CREATED), "more_body": True})
        raise RuntimeError("on purpose")


def test_an_app_that_raises_while_held() -> None:
    """An error of the app behind does not hide what upstream has answered: it is relayed, visibly cut."""
    app = ServerErrorsMiddleware(PortableMiddleware(_Raising(), Policy(mode="recover")))
    with serving(app) as port:
        received = exchange(port, conversation())
    assert (received.status, received.body, received.complete) == (200, event(CREATED), False)


@pytest.mark.parametrize("first", [COMMENT, ERROR], ids=["it waits", "a refusal ends"])
def test_a_client_that_leaves_while_the_stream_is_held(upstream: ScriptedUpstream, first: bytes) -> None:
    """Upstream's connection is closed, and nothing is sent again, also where upstream has refused and goes on."""
    gate = Gate()
    upstream.will_answer([*event_stream([first, gate])[:-1], UNTIL_CLOSED])
    with recovering(upstream) as port:
        with RawClient(port) as client:
            client.send(conversation())
            gate.wait_reached()
        gate.open()
        upstream.received[0].wait_closed()
    assert len(upstream.received) == 1


def test_a_refusal_without_an_end(upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that refuses and does not end is cut after a second, its connection not used again."""
    monkeypatch.setattr(early, "UNTIL_END", 0.1)
    upstream.will_answer([*event_stream([CREATED, ERROR])[:-1], UNTIL_CLOSED], ANSWERED)
    with recovering(upstream) as port:
        received = exchange(port, conversation())
    assert received.body == body_of(ANSWERED)
    upstream.received[0].wait_closed()
    assert len({one.connection for one in upstream.received}) == 2


def test_a_refusal_that_goes_on_and_on(upstream: ScriptedUpstream) -> None:
    """What follows a refusal is not held beyond 64 KiB; the next attempt does not wait for it."""
    upstream.will_answer([*event_stream([ERROR, b":" * early.MOST])[:-1], UNTIL_CLOSED], ANSWERED)
    with recovering(upstream) as port:
        assert exchange(port, conversation()).body == body_of(ANSWERED)
    upstream.received[0].wait_closed()


def test_a_refusal_that_was_cut_and_is_relayed(upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first stream, when it was cut here and is relayed after all, does not look whole."""
    monkeypatch.setattr(early, "UNTIL_END", 0.1)
    upstream.will_answer([*event_stream([ERROR])[:-1], UNTIL_CLOSED], refusal(400, "Something else"))
    with recovering(upstream) as port:
        received = exchange(port, conversation())
    assert (received.status, received.body, received.complete) == (200, event(ERROR), False)
    assert told(received, "action") == "unrecovered"


def test_a_refusal_whose_connection_is_whole_is_used_again(upstream: ScriptedUpstream) -> None:
    """A stream that refuses and ends leaves its connection to the next attempt."""
    upstream.will_answer(event_stream([ERROR]), ANSWERED)
    with recovering(upstream) as port:
        exchange(port, conversation())
    assert len({one.connection for one in upstream.received}) == 1


def test_a_refusal_with_a_status_follows(upstream: ScriptedUpstream) -> None:
    """A second attempt's 4xx is judged like any other; a third is answered."""
    gone = refusal(404, {"message": "Item with id 'msg_1' not found.", "param": "input"})
    upstream.will_answer(event_stream([ERROR]), gone, ANSWERED)
    with recovering(upstream) as port:
        received = exchange(port, conversation(USER, SAID, USER, BARE, SAID, USER))
    assert (received.body, told(received, "attempts")) == (body_of(ANSWERED), "3")


def test_a_refusal_in_a_stream_follows(upstream: ScriptedUpstream) -> None:
    """After a 404 the second attempt's stream is held by the same rules; not ours, the first refusal is relayed."""
    first = refusal(404, MISSING)
    upstream.will_answer(first, event_stream([{"type": "error", "message": "Something else.", "code": None}]))
    with recovering(upstream) as port:
        received = exchange(port, conversation())
    assert (received.status, json.loads(received.body)["error"]["message"]) == (404, MISSING["message"])
    assert told(received, "action") == "unrecovered"


@pytest.mark.parametrize("code", ["server_error", "rate_limit_exceeded"])
def test_another_failure_on_the_way(upstream: ScriptedUpstream, code: str) -> None:
    """A later attempt's stream that fails as any stream may is what the client gets, reported as not recovered."""
    failed = event_stream([CREATED, {"type": "response.failed", "response": {"error": {"code": code, "message": "m"}}}])
    upstream.will_answer(event_stream([ERROR]), failed)
    with recovering(upstream) as port:
        received = exchange(port, conversation())
    assert (received.status, received.body) == (200, body_of(failed))
    assert (told(received, "action"), told(received, "attempts")) == ("unrecovered", "2")


def test_the_last_attempts_stream_refuses(upstream: ScriptedUpstream) -> None:
    """The last attempt that is allowed is held, too: refused, the first stream is relayed."""
    first = event_stream([ERROR], [FIRST])
    upstream.will_answer(first, event_stream([FAILED]))
    with recovering(upstream, max_recoveries=1) as port:
        received = exchange(port, conversation())
    assert received.values(b"x-request-id") == [b"first"]
    assert received.body == body_of(first)


def test_what_was_left_out_is_said_in_front(upstream: ScriptedUpstream) -> None:
    """What a created response says that upstream left out stands in the report, and is told once."""
    told_of = {"id": "resp_1", "input_transformations": [{"reason": "model_mismatch"}]}
    events = [{"type": "response.created", "response": told_of}, DELTA, {**COMPLETED, "response": told_of}]
    upstream.will_answer(event_stream(events))
    notebook = Notebook()
    with recovering(upstream, notebook) as port:
        received = exchange(port, conversation(USER, SEALED, SAID, USER))
    assert told(received, "upstream-removed") == "model_mismatch=1"
    assert sum(isinstance(one, LeftOutByUpstream) for one in notebook.events) == 1


def test_a_large_request_is_recovered(upstream: ScriptedUpstream) -> None:
    """A request that is read beside the event loop is recovered like any other."""
    upstream.will_answer(event_stream([ERROR]), ANSWERED)
    with recovering(upstream) as port:
        received = exchange(port, conversation({"role": "user", "content": "x" * 6_000_000}, BARE, SAID, USER))
    assert received.body == body_of(ANSWERED)


def test_a_long_refusal_is_judged(upstream: ScriptedUpstream) -> None:
    """A refusal of many words is read beside the event loop, and recovered from."""
    long = {"type": "error", "error": {**MISSING, "message": f"{MISSING['message']} {'x' * 5000}"}}
    upstream.will_answer(event_stream([long]), ANSWERED)
    with recovering(upstream) as port:
        assert exchange(port, conversation()).body == body_of(ANSWERED)
