"""What crosses the wire when requests are made portable and refusals recovered, with a scripted upstream."""

import asyncio
import gc
import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard
from starlette.types import Message, Receive, Scope, Send

from proxy.drivers import attempt
from proxy.drivers.asgi import PortableMiddleware
from proxy.events import LeftOutByUpstream, LossyAnswer, Read, Recovered, Refused, StartedFresh, Unrecovered
from proxy.responses.attempts import Attempt
from proxy.responses.body.document import Document
from proxy.responses.exchange import Exchange
from proxy.responses.policy import Policy
from tests.support.product import Notebook, unpinned
from tests.support.raw_client import RawAnswer, RawClient, exchange, request
from tests.support.scripts import (
    END,
    READ_BODY,
    UNTIL_CLOSED,
    Gate,
    answer,
    chunk,
    cut_after,
    event_stream,
    head,
    json_answer,
    refusal,
    script,
)
from tests.support.upstream_server import ScriptedUpstream

TARGET = b"/v1/responses"
USER = {"role": "user", "content": "hello"}
ASSISTANT = {"type": "message", "role": "assistant", "id": "msg_1", "content": "hi"}
BARE = {"type": "reasoning", "id": "rs_1", "summary": []}
SEALED = {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "gAAAA"}
CONVERSATION = {"model": "gpt-5", "input": [USER, SEALED, ASSISTANT, USER]}
NOT_FOUND = refusal(404, {"message": "Item with id 'rs_1' not found.", "param": "input"})
RECOVER = Policy(mode="recover")
STRIP = Policy(mode="strip")


def post(port: int, payload: Any, *fields: tuple[bytes, bytes], target: bytes = TARGET) -> RawAnswer:
    """POST `payload`, as it is if it is bytes."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return exchange(port, request(b"POST", target, [(b"Content-Type", b"application/json"), *fields], body))


def report(received: RawAnswer) -> dict[str, str]:
    """The report's fields, without their prefix."""
    prefix = b"x-unpinned-"
    return {
        name.removeprefix(prefix).decode(): value.decode() for name, value in received.fields if name.startswith(prefix)
    }


def test_ids_do_not_leave(upstream: ScriptedUpstream) -> None:
    """In `strip` mode a replayed conversation reaches upstream without its ids, and the report counts them."""
    upstream.will_answer(json_answer({"id": "resp_1"}))
    with unpinned(upstream.url) as port:
        received = post(port, CONVERSATION)
    sealed = {key: value for key, value in SEALED.items() if key != "id"}
    said = {key: value for key, value in ASSISTANT.items() if key != "id"}
    assert upstream.received[0].json()["input"] == [USER, sealed, said, USER]
    assert received.body == b'{"id": "resp_1"}'
    assert report(received) == {"action": "rewritten", "fidelity": "lossless", "attempts": "1", "removed": "item_id=2"}


@pytest.mark.parametrize(
    "path", [b"/v1/responses", b"/responses", b"/openai/responses?api-version=2025-04-01", b"/x/v1/responses?beta=true"]
)
def test_the_route_is_known_by_its_end(upstream: ScriptedUpstream, path: bytes) -> None:
    """Any prefix and any query: what ends in /responses is rewritten, and the target goes out as it came."""
    upstream.will_answer(json_answer({}))
    with unpinned(upstream.url) as port:
        received = post(port, CONVERSATION, target=path)
    assert report(received)["action"] == "rewritten"
    assert upstream.received[0].target == path


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"gpt-5","input":"msg_1 is text"}',
        b'{ "input" : [ {"role":"user","content":"1e400 \\ud800"} ], "x": [18446744073709551616, 1e-400] }\n',
        b"[]",
        b'{"input":5}',
        b'{"input":["text",{}]}',
    ],
)
def test_the_same_bytes_where_nothing_changes(upstream: ScriptedUpstream, body: bytes) -> None:
    """A body in which nothing has to change reaches upstream as it came, byte for byte."""
    upstream.will_answer(json_answer({}))
    with unpinned(upstream.url) as port:
        received = post(port, body)
    assert upstream.received[0].wire == body
    assert report(received) == {"action": "passthrough", "fidelity": "exact", "attempts": "1"}


@pytest.mark.parametrize("body", [b"", b"not json", b'{"input":[', b"\xff\xfe"])
def test_what_is_no_json_passes_unread(upstream: ScriptedUpstream, body: bytes) -> None:
    """What is no JSON at all is upstream's to refuse, and the report says that it was not read."""
    upstream.will_answer(refusal(400, "We could not parse the JSON body of your request."))
    with unpinned(upstream.url) as port:
        received = post(port, body)
    assert upstream.received[0].wire == body
    assert (received.status, report(received)["action"]) == (400, "unread")


def test_other_requests_pass(upstream: ScriptedUpstream) -> None:
    """Any other request goes on as it came, and its answer as well."""
    upstream.will_answer(json_answer({"object": "list"}))
    with unpinned(upstream.url) as port:
        received = post(port, CONVERSATION, target=b"/v1/chat/completions")
    assert upstream.received[0].json() == CONVERSATION
    assert report(received) == {"action": "passthrough", "fidelity": "exact", "attempts": "1"}


def _deflate_raw(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


CODINGS = {
    b"gzip": gzip.compress,
    b"x-gzip": gzip.compress,
    b"deflate": zlib.compress,
    b"Deflate": _deflate_raw,
    b"br": brotli.compress,
    b"zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("coding", CODINGS)
def test_coded_bodies_are_understood(upstream: ScriptedUpstream, coding: bytes) -> None:
    """A coded body is rewritten and sent without its coding; where nothing changes it goes as it came."""
    upstream.will_answer(json_answer({}), json_answer({}))
    plain = CODINGS[coding](json.dumps({"input": [USER]}).encode())
    with unpinned(upstream.url) as port:
        post(port, CODINGS[coding](json.dumps(CONVERSATION).encode()), (b"Content-Encoding", coding))
        post(port, plain, (b"Content-Encoding", coding))
    changed, unchanged = upstream.received
    assert "id" not in changed.json()["input"][1]
    assert changed.values(b"content-encoding") == []
    assert changed.values(b"content-length") == [b"%d" % len(changed.body)]
    assert unchanged.wire == plain
    assert unchanged.values(b"content-encoding") == [coding]


@pytest.mark.parametrize("coding", [b"compress", b"gzip, br", b"aes128gcm"])
def test_an_unknown_coding_passes_unread(upstream: ScriptedUpstream, coding: bytes) -> None:
    """A body in a coding that is not known goes on untouched."""
    upstream.will_answer(json_answer({}))
    with unpinned(upstream.url) as port:
        received = post(port, b"\x00\x01\x02", (b"Content-Encoding", coding))
    assert upstream.received[0].wire == b"\x00\x01\x02"
    assert report(received)["action"] == "unread"


@pytest.mark.parametrize("coding", CODINGS)
def test_a_corrupt_coding_is_the_clients_mistake(upstream: ScriptedUpstream, coding: bytes) -> None:
    """A body that is not what its Content-Encoding says gets a 400 in OpenAI's shape, and nothing is sent."""
    broken = CODINGS[coding](json.dumps(CONVERSATION).encode())[:-5]
    with unpinned(upstream.url) as port:
        received = post(port, broken, (b"Content-Encoding", coding))
    assert received.status == 400
    assert json.loads(received.body)["error"]["code"] == "invalid_content_encoding"
    assert upstream.received == []


class TestTooLarge:
    """A body beyond MAX_BODY."""

    BODY = json.dumps({"input": [USER], "pad": "x" * 3000}).encode()
    CODED = gzip.compress(BODY)
    CHUNKED = chunk(BODY[:1500]) + chunk(BODY[1500:]) + chunk(b"")

    def ask(self, port: int, way: str) -> RawAnswer:
        """Send the body in one of three ways."""
        if way == "length":
            return post(port, self.BODY)
        if way == "decoded":
            return post(port, self.CODED, (b"Content-Encoding", b"gzip"))
        return exchange(port, request(b"POST", TARGET, [(b"Transfer-Encoding", b"chunked")]) + self.CHUNKED)

    @pytest.mark.parametrize("way", ["length", "decoded", "chunked"])
    def test_strip_refuses_it(self, upstream: ScriptedUpstream, way: str) -> None:
        """In `strip` mode it gets a 413, for its ids would leave unread."""
        with unpinned(upstream.url, STRIP, max_body=1000) as port:
            received = self.ask(port, way)
        assert received.status == 413
        assert json.loads(received.body)["error"]["code"] == "request_too_large"
        assert upstream.received == []

    @pytest.mark.parametrize("way", ["length", "decoded", "chunked"])
    def test_recover_streams_it(self, upstream: ScriptedUpstream, way: str) -> None:
        """In the other modes it goes on unread, whole."""
        upstream.will_answer(json_answer({}))
        with unpinned(upstream.url, RECOVER, max_body=1000) as port:
            received = self.ask(port, way)
        assert upstream.received[0].body == (self.CODED if way == "decoded" else self.BODY)
        assert report(received)["action"] == "unread"


def test_a_chunked_body_gets_a_length(upstream: ScriptedUpstream) -> None:
    """A body that was read whole is sent on with its length, whatever framing it came with."""
    upstream.will_answer(json_answer({}))
    body = b'{"input":"x"}'
    raw = (
        request(b"POST", TARGET, [(b"Transfer-Encoding", b"chunked")]) + chunk(body[:4]) + chunk(body[4:]) + chunk(b"")
    )
    with unpinned(upstream.url) as port:
        exchange(port, raw)
    assert upstream.received[0].values(b"transfer-encoding") == []
    assert upstream.received[0].wire == body


def test_an_expectation_is_met_here(upstream: ScriptedUpstream) -> None:
    """`Expect: 100-continue` is answered by whoever reads the body, and goes no further."""
    upstream.will_answer(json_answer({}))
    with unpinned(upstream.url) as port, RawClient(port) as client:
        client.send(request(b"POST", TARGET, [(b"Expect", b"100-continue"), (b"Content-Length", b"13")]))
        assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100")
        client.send(b'{"input":"x"}')
        assert client.answer().status == 200
    assert upstream.received[0].values(b"expect") == []


def test_recovers_from_a_missing_item(upstream: ScriptedUpstream) -> None:
    """One 404 for a stored item costs one retry and is never seen by the client."""
    upstream.will_answer(NOT_FOUND, json_answer({"id": "resp_2"}))
    notebook = Notebook()
    conversation = {"input": [USER, BARE, ASSISTANT, USER]}
    with unpinned(upstream.url, RECOVER, notebook) as port:
        received = post(port, conversation, (b"Idempotency-Key", b"once"))
    assert upstream.received[0].json() == conversation
    said = {key: value for key, value in ASSISTANT.items() if key != "id"}
    assert upstream.received[1].json()["input"] == [USER, said, USER]
    assert (received.status, received.body) == (200, b'{"id": "resp_2"}')
    assert report(received) == {
        "action": "recovered",
        "fidelity": "lossy",
        "attempts": "2",
        "removed": "reasoning=1, item_id=1",
    }
    assert [seen.values(b"idempotency-key") for seen in upstream.received] == [[b"once"], []]
    assert notebook.events == [
        Read(4, 2),
        Refused(404, "item", "portable"),
        Recovered("portable", 2),
        LossyAnswer(credential=_credential(notebook), reasons=("reasoning",)),
    ]


def _credential(notebook: Notebook) -> str:
    return next(event.credential for event in notebook.events if isinstance(event, LossyAnswer))


def test_a_failed_recovery_gives_the_first_refusal(upstream: ScriptedUpstream) -> None:
    """Refused again and again: the client gets the first refusal, byte for byte, with its fields."""
    first = refusal(404, "Item with id 'rs_1' not found.", [(b"X-Request-Id", b"first"), (b"Set-Cookie", b"a=1")])
    upstream.will_answer(first, refusal(404, "Item with id 'rs_2' not found."), refusal(400, "Something else"))
    notebook = Notebook()
    conversation = {"input": [USER, ASSISTANT, {"role": "user", "content": "2"}, BARE, ASSISTANT, USER]}
    with unpinned(upstream.url, Policy(mode="recover", keep_last=1), notebook) as port:
        received = post(port, conversation)
    last = first[-1]
    assert isinstance(last, bytes)
    assert received.body == last.partition(b"\r\n\r\n")[2]
    assert received.values(b"x-request-id") == [b"first"]
    assert report(received)["action"] == "unrecovered"
    assert report(received)["attempts"] == "3"
    assert notebook.events[-1] == Unrecovered("item", 3)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_other_failures_on_the_way_are_told(upstream: ScriptedUpstream, status: int) -> None:
    """A 429 or a 5xx in answer to a later attempt is what the client gets, and nothing more is tried."""
    upstream.will_answer(NOT_FOUND, answer(status, b"later", [(b"Retry-After", b"7")]))
    with unpinned(upstream.url, RECOVER) as port:
        received = post(port, {"input": [USER, BARE, ASSISTANT, USER]})
    assert (received.status, received.body, received.values(b"retry-after")) == (status, b"later", [b"7"])
    assert len(upstream.received) == 2


def test_a_broken_connection_on_the_way_is_told(upstream: ScriptedUpstream) -> None:
    """A connection that breaks during a later attempt is a 502 in OpenAI's shape."""
    upstream.will_answer(NOT_FOUND, [READ_BODY, END])
    with unpinned(upstream.url, RECOVER) as port:
        received = post(port, {"input": [USER, BARE, ASSISTANT, USER]})
    assert received.status == 502
    assert json.loads(received.body)["error"]["type"] == "upstream_error"


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503, 302, 204])
def test_what_is_not_ours_is_relayed(upstream: ScriptedUpstream, status: int) -> None:
    """Any other answer is relayed as it came, after one attempt."""
    body = b"" if status == 204 else b'{"error":{"message":"The model does not exist","code":"model_not_found"}}'
    upstream.will_answer(answer(status, body, [(b"Location", b"http://127.0.0.1/elsewhere")]))
    with unpinned(upstream.url, RECOVER) as port:
        received = post(port, CONVERSATION)
    assert (received.status, received.body) == (status, body)
    assert report(received) == {"action": "passthrough", "fidelity": "exact", "attempts": "1"}
    assert len(upstream.received) == 1


def test_a_coded_refusal_is_judged_and_relayed_as_it_came(upstream: ScriptedUpstream) -> None:
    """A gzip refusal is decoded for judging only."""
    coded = gzip.compress(json.dumps({"error": {"message": "Previous response with id 'resp_1' not found."}}).encode())
    fields = [(b"Content-Encoding", b"gzip"), (b"Content-Type", b"application/json")]
    upstream.will_answer(answer(400, coded, fields), json_answer({}), answer(400, coded, fields))
    delta = {
        "previous_response_id": "resp_1",
        "input": [{"type": "function_call_output", "call_id": "c", "output": "x"}],
    }
    with unpinned(upstream.url, RECOVER) as port:
        recovered = post(port, {"previous_response_id": "resp_1", "input": "hello"})
        relayed = post(port, delta)
    assert (recovered.status, len(upstream.received)) == (200, 3)
    assert (relayed.status, relayed.body) == (400, coded)
    assert report(relayed)["action"] == "unrecovered"


@pytest.mark.parametrize("fields", [[(b"Content-Encoding", b"gzip")], [(b"Content-Encoding", b"compress")]])
def test_a_refusal_that_cannot_be_read_is_relayed(
    upstream: ScriptedUpstream, fields: list[tuple[bytes, bytes]]
) -> None:
    """A refusal in a broken or unknown coding says nothing, and is relayed as it came."""
    upstream.will_answer(answer(404, b"Item with id 'rs_1' not found", fields))
    with unpinned(upstream.url, RECOVER) as port:
        received = post(port, {"input": [USER, BARE, ASSISTANT, USER]})
    assert received.body == b"Item with id 'rs_1' not found"


LONG = json.dumps({"error": {"message": "Item with id 'rs_1' not found." + " " * 1_200_000}}).encode()


def test_a_refusal_too_long_to_hold_is_relayed(upstream: ScriptedUpstream) -> None:
    """A refusal of more than a megabyte is streamed to the client unjudged."""
    upstream.will_answer(answer(404, LONG))
    with unpinned(upstream.url, RECOVER) as port:
        received = post(port, {"input": [USER, BARE, ASSISTANT, USER]})
    assert (received.status, received.body == LONG, len(upstream.received)) == (404, True, 1)


def test_a_later_refusal_too_long_to_hold_gives_the_first(upstream: ScriptedUpstream) -> None:
    """A later refusal of any length still gives the client the first one."""
    upstream.will_answer(NOT_FOUND, answer(400, b"x" * 1_200_000))
    with unpinned(upstream.url, RECOVER) as port:
        received = post(port, {"input": [USER, BARE, ASSISTANT, USER]})
    assert (received.status, b"rs_1" in received.body, len(received.body) < 500) == (404, True, True)


def test_a_refusal_cut_by_upstream_is_cut_for_the_client(upstream: ScriptedUpstream) -> None:
    """A refusal that breaks off is neither judged nor made to look whole."""
    upstream.will_answer(cut_after(NOT_FOUND))
    with unpinned(upstream.url, RECOVER) as port:
        received = post(port, {"input": [USER, BARE, ASSISTANT, USER]})
    assert (received.status, received.complete, len(upstream.received)) == (404, False, 1)


STALLED = head(404, [(b"Content-Type", b"application/json"), (b"Content-Length", b"5000")]) + b'{"error": '


def test_a_refusal_that_stalls_is_relayed(upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal that does not end is given up judging: what arrived is relayed, and what follows as it arrives."""
    monkeypatch.setattr(attempt, "JUDGED", 0.1)
    gate = Gate()
    rest = b'"x"}'.ljust(5000 - len(b'{"error": '))
    upstream.will_answer(script(READ_BODY, STALLED, gate, rest[:100], rest[100:]))
    with unpinned(upstream.url, RECOVER) as port, RawClient(port) as client:
        body = json.dumps({"input": [USER, BARE, ASSISTANT, USER]}).encode()
        client.send(request(b"POST", TARGET, [(b"Content-Type", b"application/json")], body))
        begun = client.until(b'{"error": ')
        gate.open()
        assert client.until(rest) == rest
    assert begun.startswith(b"HTTP/1.1 404 ")
    assert len(upstream.received) == 1


def test_a_later_refusal_that_stalls_gives_the_first(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a later refusal does not end, the client gets the first one, and upstream's connection is closed."""
    monkeypatch.setattr(attempt, "JUDGED", 0.1)
    upstream.will_answer(NOT_FOUND, script(READ_BODY, STALLED, UNTIL_CLOSED))
    with unpinned(upstream.url, RECOVER) as port:
        received = post(port, {"input": [USER, BARE, ASSISTANT, USER]})
        upstream.received[1].wait_closed()
    assert (received.status, received.complete, b"rs_1" in received.body) == (404, True, True)
    assert report(received)["action"] == "unrecovered"
    assert report(received)["attempts"] == "2"


def test_observe_changes_nothing(upstream: ScriptedUpstream) -> None:
    """In `observe` mode request and refusal pass as they are, and the report says what would have been done."""
    upstream.will_answer(NOT_FOUND)
    conversation = {"input": [USER, BARE, ASSISTANT, USER], "previous_response_id": "resp_1"}
    with unpinned(upstream.url, Policy(mode="observe")) as port:
        received = post(port, conversation)
    assert upstream.received[0].json() == conversation
    assert received.status == 404
    assert report(received) == {
        "action": "observed",
        "fidelity": "lossy",
        "attempts": "1",
        "removed": "previous_response_id=1, reasoning=1, item_id=1",
    }


def test_a_lesson_saves_the_second_trip_for_its_credential_only(upstream: ScriptedUpstream) -> None:
    """What one key was refused is not sent again with it; another key's requests go as they came."""
    upstream.will_answer(NOT_FOUND, json_answer({}), json_answer({}), json_answer({}))
    conversation = {"input": [USER, BARE, ASSISTANT, USER]}
    with unpinned(upstream.url, RECOVER) as port:
        for key in (b"Bearer one", b"Bearer one", b"Bearer two"):
            post(port, conversation, (b"Authorization", key))
    assert [len(seen.json()["input"]) for seen in upstream.received] == [4, 3, 3, 4]


def test_starting_fresh_is_told(upstream: ScriptedUpstream) -> None:
    """A request that goes on without its history in `strip` mode is lossy, and the observer is told."""
    upstream.will_answer(json_answer({}))
    notebook = Notebook()
    with unpinned(upstream.url, STRIP, notebook=notebook) as port:
        received = post(port, {"input": "and then?", "previous_response_id": "resp_1"})
    assert upstream.received[0].json() == {"input": "and then?"}
    assert report(received)["fidelity"] == "lossy"
    assert any(isinstance(event, StartedFresh) for event in notebook.events)


def test_an_answer_streams_after_a_recovery(upstream: ScriptedUpstream) -> None:
    """The answer to a recovered request streams like any other: each event arrives before the next is made."""
    gate = Gate()
    events = [{"type": "response.created"}, gate, {"type": "response.completed"}]
    upstream.will_answer(NOT_FOUND, event_stream(events))
    with unpinned(upstream.url, RECOVER) as port, RawClient(port) as client:
        body = json.dumps({"input": [USER, BARE, ASSISTANT, USER], "stream": True}).encode()
        client.send(request(b"POST", TARGET, body=body))
        first = client.head()
        assert b"response.created" in client.until(b"\n\n")
        gate.open()
        assert b"response.completed" in client.until(b"\n\n")
    assert first.values(b"x-unpinned-action") == [b"recovered"]
    assert first.values(b"x-accel-buffering") == [b"no"]


@pytest.fixture
def fresh_heap() -> Iterator[None]:
    """What other tests have left is not among the objects that are looked through."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("fresh_heap")
@pytest.mark.parametrize("policy", [STRIP, RECOVER], ids=["at once", "after a recovery"])
def test_nothing_of_the_request_is_held_while_its_answer_streams(upstream: ScriptedUpstream, policy: Policy) -> None:
    """Once the client has the first event, nothing is left of what was made of its request."""
    gate = Gate()
    stream = event_stream([{"type": "response.created"}, {"type": "response.output_text.delta"}, gate])
    upstream.will_answer(*([NOT_FOUND] if policy is RECOVER else []), stream)
    with unpinned(upstream.url, policy) as port, RawClient(port) as client:
        body = json.dumps({"input": [USER, BARE, ASSISTANT, USER], "stream": True}).encode()
        client.send(request(b"POST", TARGET, body=body))
        assert b"output_text" in client.until(b"output_text.delta")
        gate.wait_reached()
        gc.collect()
        held = [type(one).__name__ for one in gc.get_objects() if isinstance(one, (Exchange, Attempt, Document))]
        gate.open()
    assert held == []


def test_a_cut_stream_is_cut_for_the_client(upstream: ScriptedUpstream) -> None:
    """A stream that upstream breaks off ends visibly: complete events so far, and no last chunk."""
    start = head(200, [(b"Content-Type", b"text/event-stream"), (b"Transfer-Encoding", b"chunked")])
    upstream.will_answer(script(start, chunk(b"data: 1\n\n"), END))
    with unpinned(upstream.url) as port:
        received = post(port, CONVERSATION)
    assert (received.body, received.complete) == (b"data: 1\n\n", False)


def test_a_conversation_that_is_locked_is_asked_for_again(upstream: ScriptedUpstream) -> None:
    """A locked conversation gets the same bytes once more, and the second refusal is the end of it."""
    locked = refusal(
        400, {"message": "Another process is currently operating on this conversation.", "code": "conversation_locked"}
    )
    upstream.will_answer(locked, json_answer({}), locked, locked)
    body = json.dumps({"conversation": "conv_1", "input": [USER, ASSISTANT, USER]}).encode()
    with unpinned(upstream.url) as port:
        assert report(post(port, body)) == {"action": "recovered", "fidelity": "exact", "attempts": "2"}
        assert post(port, body).status == 400
    assert [seen.wire for seen in upstream.received] == [body] * 4


def test_a_client_that_leaves_amid_its_body_is_not_answered_for(upstream: ScriptedUpstream) -> None:
    """A half request is never sent as if it were whole."""
    upstream.will_answer(json_answer({}))
    with unpinned(upstream.url) as port:
        with RawClient(port) as client:
            client.send(request(b"POST", TARGET, [(b"Content-Length", b"100")]) + b'{"input":')
        assert post(port, {"input": "whole"}).status == 200
    assert [seen.json() for seen in upstream.received] == [{"input": "whole"}]


def test_a_client_that_leaves_closes_upstream(upstream: ScriptedUpstream) -> None:
    """A client that leaves while upstream is thinking ends the request upstream."""
    upstream.will_answer([READ_BODY, UNTIL_CLOSED])
    with unpinned(upstream.url) as port:
        with RawClient(port) as client:
            client.send(request(b"POST", TARGET, body=json.dumps(CONVERSATION).encode()))
            upstream.wait_received()
        assert upstream.received[0].closed.wait(20)


def test_a_client_that_falls_silent_amid_its_body_is_told(upstream: ScriptedUpstream) -> None:
    """A body that does not go on within UPLOAD_IDLE_TIMEOUT gets a 408."""
    with unpinned(upstream.url, upload_idle_timeout=0.05) as port:
        received = exchange(port, request(b"POST", TARGET, [(b"Content-Length", b"100")]) + b'{"input":')
    assert received.status == 408
    assert upstream.received == []


def test_the_report_can_be_switched_off(upstream: ScriptedUpstream) -> None:
    """Without the report an answer has upstream's fields alone."""
    upstream.will_answer(json_answer({}))
    with unpinned(upstream.url, report=False) as port:
        assert report(post(port, CONVERSATION)) == {}
    assert "id" not in upstream.received[0].json()["input"][1]


def test_digests_of_a_changed_body_go(upstream: ScriptedUpstream) -> None:
    """A digest of the body that came does not go out with another one."""
    upstream.will_answer(json_answer({}), json_answer({}))
    with unpinned(upstream.url) as port:
        post(port, CONVERSATION, (b"Content-Digest", b"sha-256=:x:"))
        post(port, {"input": "x"}, (b"Content-Digest", b"sha-256=:x:"))
    assert [seen.values(b"content-digest") for seen in upstream.received] == [[], [b"sha-256=:x:"]]


def test_a_client_that_leaves_during_the_pause_ends_it() -> None:
    """While the same bytes wait to be sent again, nothing but a disconnect is of interest; it ends the exchange."""
    asked: list[Scope] = []
    says: list[Message] = [
        {"type": "http.request", "body": b'{"conversation":"conv_1","input":"x"}'},
        {"type": "http.request"},
    ]

    async def locked(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        asked.append(scope)
        await send({"type": "http.response.start", "status": 400, "headers": []})
        await send({"type": "http.response.body", "body": b'{"error":{"code":"conversation_locked"}}'})

    async def receive() -> Message:
        return says.pop(0) if says else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/responses", "headers": []}
    asyncio.run(PortableMiddleware(locked)(scope, receive, send))
    assert len(asked) == 1


@pytest.mark.parametrize("target", [TARGET, b"/v1/embeddings"])
@pytest.mark.parametrize("framing", [b"length", b"chunked"])
def test_a_body_that_an_upgrade_hides_is_not_lost(upstream: ScriptedUpstream, target: bytes, framing: bytes) -> None:
    """A POST that offers h2c comes without its body; it is refused, not sent on empty."""
    upgrade = [(b"Connection", b"Upgrade, HTTP2-Settings"), (b"Upgrade", b"h2c"), (b"HTTP2-Settings", b"AAMAAABk")]
    body = b'{"input":"x"}'
    whole = request(b"POST", target, upgrade, body)
    chunked = request(b"POST", target, [*upgrade, (b"Transfer-Encoding", b"chunked")]) + chunk(body) + chunk(b"")
    with unpinned(upstream.url) as port:
        received = exchange(port, whole if framing == b"length" else chunked)
    assert (received.status, json.loads(received.body)["error"]["code"]) == (400, "incomplete_body")
    assert upstream.received == []


TOLD = {"id": "resp_1", "output": [], "input_transformations": [{"type": "reasoning", "reason": "model_mismatch"}]}


class TestLeftOut:
    """What upstream itself left out, behind a 200."""

    def test_json_says_it_in_a_field(self, upstream: ScriptedUpstream) -> None:
        """An answer as JSON is read before it is relayed, coded or not, and is relayed byte for byte."""
        plain = json.dumps(TOLD).encode()
        coded = [(b"Content-Encoding", b"gzip")]
        upstream.will_answer(json_answer(plain), json_answer(gzip.compress(plain), 200, coded), json_answer({}))
        notebook = Notebook()
        with unpinned(upstream.url, notebook=notebook) as port:
            received = [post(port, CONVERSATION) for _ in range(3)]
        assert [one.body for one in received[:2]] == [plain, upstream_body(received[1])]
        told = [report(one).get("upstream-removed") for one in received]
        assert told == ["model_mismatch=1", "model_mismatch=1", None]
        assert sum(isinstance(event, LeftOutByUpstream) for event in notebook.events) == 2

    def test_an_event_says_it_to_the_observer(self, upstream: ScriptedUpstream) -> None:
        """A stream is not held: what an event of it says is told to the observer."""
        gate = Gate()
        upstream.will_answer(
            event_stream([{"type": "response.created"}, gate, {"type": "response.completed", "response": TOLD}])
        )
        notebook = Notebook()
        with unpinned(upstream.url, notebook=notebook) as port, RawClient(port) as client:
            client.send(request(b"POST", TARGET, body=json.dumps(CONVERSATION).encode()))
            assert "x-unpinned-upstream-removed" not in dict(client.head().fields)
            assert b"response.created" in client.until(b"\n\n")
            gate.open()
            client.until(b"input_transformations")
            client.rest()
        [event] = [event for event in notebook.events if isinstance(event, LeftOutByUpstream)]
        assert event.reasons == (("model_mismatch", 1),)

    def test_after_a_recovery(self, upstream: ScriptedUpstream) -> None:
        """The answer to a recovered request says it as well."""
        upstream.will_answer(NOT_FOUND, json_answer(TOLD))
        with unpinned(upstream.url, RECOVER) as port:
            received = post(port, {"input": [USER, SEALED, ASSISTANT, USER]})
        assert (received.status, report(received)["action"]) == (200, "recovered")
        assert report(received)["upstream-removed"] == "model_mismatch=1"

    def test_what_breaks_off(self, upstream: ScriptedUpstream) -> None:
        """An answer that breaks off while it is held reaches the client as far as it came, visibly cut."""
        cut = script(
            READ_BODY, head(200, [(b"Content-Type", b"application/json"), (b"Content-Length", b"99")]), b'{"a"', END
        )
        upstream.will_answer(cut)
        with unpinned(upstream.url) as port, RawClient(port) as client:
            client.send(request(b"POST", TARGET, body=json.dumps(CONVERSATION).encode()))
            assert client.head().status == 200
            assert client.rest() == b'{"a"'

    def test_what_is_too_long_to_be_held(self, upstream: ScriptedUpstream) -> None:
        """An answer of more than is ever held passes as it arrives."""
        long = json.dumps({**TOLD, "text": "x" * 2_000_000}).encode()
        pieces = [chunk(long[at : at + 100_000]) for at in range(0, len(long), 100_000)]
        fields = [(b"Content-Type", b"application/json"), (b"Transfer-Encoding", b"chunked")]
        upstream.will_answer(script(READ_BODY, head(200, fields), *pieces, b"0\r\n\r\n"))
        with unpinned(upstream.url) as port:
            received = post(port, CONVERSATION)
        assert (received.status, received.body) == (200, long)


def upstream_body(received: RawAnswer) -> bytes:
    """The body as upstream coded it."""
    assert json.loads(gzip.decompress(received.body)) == TOLD
    return received.body
