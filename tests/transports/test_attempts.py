"""Requests through the transports, in all four kinds of client: what upstream receives, and what the client sees."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.drivers import attempt
from proxy.events import LossyAnswer, Recovered, Refused, Unrecovered
from proxy.responses import early
from tests.support.application import KINDS, Application, applied
from tests.support.product import Notebook, unpinned
from tests.support.scripts import (
    END,
    UNTIL_CLOSED,
    Gate,
    answer,
    cut_after,
    event,
    event_stream,
    head,
    json_answer,
    refusal,
    script,
)
from tests.support.upstream_server import ScriptedUpstream

USER = {"role": "user", "content": "hello"}
SAID = {"type": "message", "role": "assistant", "id": "msg_1", "content": "hi"}
BARE = {"type": "reasoning", "id": "rs_1", "summary": []}
SEALED = {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "gAAAA"}
CONVERSATION = {"model": "gpt-5", "input": [USER, SEALED, SAID, USER]}
REFERRING = {"model": "gpt-5", "input": [USER, BARE, SAID, USER]}
MISSING = {"message": "Item with id 'rs_1' not found.", "param": "input"}
NOT_FOUND = refusal(404, MISSING, [(b"X-Request-Id", b"first")])
KEY = (b"Authorization", b"Bearer k")

CREATED = {"type": "response.created", "sequence_number": 0, "response": {"id": "resp_0", "error": None}}
DELTA = {"type": "response.output_text.delta", "delta": "hello"}
COMPLETED = {"type": "response.completed", "response": {"id": "resp_2"}}
FAILED = {"type": "response.failed", "response": {"id": "resp_0", "error": {**MISSING, "code": None}}}
ANSWERED = event_stream([CREATED, DELTA, COMPLETED], [(b"X-Request-Id", b"second")])
WHOLE = b"".join(map(event, [CREATED, DELTA, COMPLETED]))


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a script sends in one go may take a while to arrive, where other tests run."""
    for name in ("AFTER_FIRST_EVENT", "UNTIL_END"):
        monkeypatch.setattr(early, name, 20.0)


@pytest.fixture(params=KINDS, ids=" ".join)
def application(request: pytest.FixtureRequest) -> Iterator[Application]:
    """An application of each kind, as it is without settings."""
    with applied(*request.param) as made:
        yield made


@pytest.fixture(params=KINDS, ids=" ".join)
def kind(request: pytest.FixtureRequest) -> Any:
    """Each kind of application, for its own settings."""
    return request.param


def test_ids_do_not_leave(application: Application, upstream: ScriptedUpstream) -> None:
    """A replayed conversation reaches upstream without its ids, and the answer has the report."""
    upstream.will_answer(json_answer({"id": "resp_1"}))
    seen = application.post(upstream.url, CONVERSATION, KEY)
    assert all("id" not in item for item in upstream.received[0].json()["input"])
    assert (seen.status, seen.body) == (200, b'{"id": "resp_1"}')
    assert seen.report == {"action": "rewritten", "fidelity": "lossless", "attempts": "1", "removed": "item_id=2"}
    assert seen.values(b"x-unpinned-request-id")[0].startswith(b"req-")


def test_the_fields_of_an_attempt(application: Application, upstream: ScriptedUpstream) -> None:
    """An attempt has the request's target and fields, in order, their names as written, and a length that fits."""
    upstream.will_answer(json_answer({}), json_answer({}))
    odd = [(b"X-Odd-Case", b"1"), (b"x-twice", b"a"), (b"x-twice", b"b"), (b"api-key", b"k")]
    for payload in (USER, CONVERSATION):
        application.post(upstream.url, payload, *odd, target="/openai/responses?api-version=2025-04-01")
    plain, changed = upstream.received
    assert changed.target == b"/openai/responses?api-version=2025-04-01"
    assert [field for field in changed.fields if field[0] != b"Content-Length"] == [
        field for field in plain.fields if field[0] != b"Content-Length"
    ]
    assert [name for name, _ in changed.fields] == [name for name, _ in plain.fields]
    assert (b"X-Odd-Case", b"1") in changed.fields
    assert changed.values(b"content-length") == [b"%d" % len(changed.body)]


@pytest.mark.parametrize("body", [b'{ "input" : [], "x": [18446744073709551616, 1e-400] }\n', b"[]", b'{"input":"a"}'])
def test_the_same_bytes(application: Application, upstream: ScriptedUpstream, body: bytes) -> None:
    """A body in which nothing has to change reaches upstream byte for byte."""
    upstream.will_answer(json_answer({}))
    seen = application.post(upstream.url, body)
    assert upstream.received[0].wire == body
    assert seen.report == {"action": "passthrough", "fidelity": "exact", "attempts": "1"}


def test_other_requests_are_untouched(application: Application, upstream: ScriptedUpstream) -> None:
    """A request of another route goes straight to the transport within, and its answer has no report."""
    upstream.will_answer(json_answer({"object": "list"}))
    seen = application.post(upstream.url, CONVERSATION, target="/v1/chat/completions")
    assert upstream.received[0].json() == CONVERSATION
    assert seen.report == {}


def test_a_refused_request_is_recovered(kind: Any, upstream: ScriptedUpstream) -> None:
    """A refusal of an item costs one retry; the client sees the second answer, the observer each fact."""
    upstream.will_answer(NOT_FOUND, json_answer({"id": "resp_1"}))
    notebook = Notebook()
    with applied(*kind, mode="recover", observer=notebook) as application:
        seen = application.post(upstream.url, REFERRING, KEY, (b"Idempotency-Key", b"one"))
    assert (seen.status, seen.body, seen.report["action"]) == (200, b'{"id": "resp_1"}', "recovered")
    assert seen.report["attempts"] == "2"
    first, second = upstream.received
    assert first.json() == REFERRING
    assert "rs_1" not in second.body.decode()
    assert (first.values(b"idempotency-key"), second.values(b"idempotency-key")) == ([b"one"], [])
    assert first.connection == second.connection
    facts = [one for one in notebook.events if isinstance(one, Refused | Recovered)]
    assert facts == [Refused(404, "item", "portable"), Recovered("portable", 2)]


def test_a_failed_recovery_gives_the_first_refusal(kind: Any, upstream: ScriptedUpstream) -> None:
    """Refused to the end, the client gets the first refusal, byte for byte, with its head."""
    upstream.will_answer(NOT_FOUND, *[refusal(400, {**MISSING, "more": number}) for number in range(3)])
    notebook = Notebook()
    with applied(*kind, mode="recover", observer=notebook) as application:
        seen = application.post(upstream.url, REFERRING, KEY)
    assert (seen.status, seen.values(b"x-request-id")) == (404, [b"first"])
    assert json.loads(seen.body)["error"]["message"] == MISSING["message"]
    assert seen.report["action"] == "unrecovered"
    assert int(seen.report["attempts"]) == len(upstream.received) > 1
    assert isinstance(notebook.events[-1], Unrecovered)


def test_what_breaks_amid_a_recovery_is_seen(kind: Any, upstream: ScriptedUpstream) -> None:
    """Where the second attempt's connection breaks, the client gets that, as its package's own exception."""
    upstream.will_answer(NOT_FOUND, script(END))
    with applied(*kind, mode="recover") as application, pytest.raises(application.package.RemoteProtocolError):
        application.post(upstream.url, REFERRING, KEY)
    assert len(upstream.received) == 2


def test_an_answer_that_is_not_ours_is_the_clients(application: Application, upstream: ScriptedUpstream) -> None:
    """A 429 is relayed as it came, and upstream is asked once."""
    upstream.will_answer(refusal(429, "Rate limit reached", [(b"Retry-After", b"7")]))
    seen = application.post(upstream.url, CONVERSATION, KEY)
    assert (seen.status, seen.values(b"retry-after"), len(upstream.received)) == (429, [b"7"], 1)


def test_a_refusal_that_is_cut(kind: Any, upstream: ScriptedUpstream) -> None:
    """A refusal that breaks off is not judged: the client gets what arrived, and then the exception."""
    upstream.will_answer(cut_after(NOT_FOUND))
    with applied(*kind, mode="recover") as application:
        seen = application.post(upstream.url, REFERRING, KEY)
        assert isinstance(seen.failure, application.package.RemoteProtocolError)
    assert (seen.status, b"rs_1" in seen.body, len(upstream.received)) == (404, True, 1)


def test_a_refusal_too_long_to_be_judged(kind: Any, upstream: ScriptedUpstream) -> None:
    """A refusal of more than a megabyte is not judged, and passes whole."""
    long = refusal(404, {**MISSING, "more": "x" * (attempt.HELD + 1)})
    upstream.will_answer(long)
    with applied(*kind, mode="recover") as application:
        seen = application.post(upstream.url, REFERRING, KEY)
    assert (seen.status, seen.failure, len(upstream.received)) == (404, None, 1)
    assert isinstance(long[-1], bytes)
    assert long[-1].endswith(seen.body)
    assert len(seen.body) > attempt.HELD


def test_coded_refusals_are_read(kind: Any, upstream: ScriptedUpstream) -> None:
    """A compressed refusal is decoded to be judged, and relayed as it came where nothing helps."""
    coded = gzip.compress(json.dumps({"error": MISSING}).encode())
    fields = [(b"Content-Type", b"application/json"), (b"Content-Encoding", b"gzip")]
    upstream.will_answer(answer(404, coded, fields), json_answer({}), answer(404, coded, fields))
    with applied(*kind, mode="recover") as application:
        recovered = application.post(upstream.url, REFERRING, KEY)
    with applied(*kind, mode="recover", max_recoveries=0) as application:
        relayed = application.post(upstream.url, REFERRING, KEY)
    assert (recovered.status, recovered.report["action"]) == (200, "recovered")
    assert (relayed.status, relayed.body) == (404, coded)


def test_coded_requests_are_read(application: Application, upstream: ScriptedUpstream) -> None:
    """A compressed body is made portable and sent without its coding; where nothing changes it goes as it came."""
    upstream.will_answer(json_answer({}), json_answer({}))
    coding = (b"Content-Encoding", b"gzip")
    changed = application.post(upstream.url, gzip.compress(json.dumps(CONVERSATION).encode()), coding)
    plain = gzip.compress(json.dumps({"input": "hi"}).encode())
    same = application.post(upstream.url, plain, coding)
    first, second = upstream.received
    assert (changed.report["action"], first.values(b"content-encoding")) == ("rewritten", [])
    assert (same.report["action"], second.body) == ("passthrough", plain)


@pytest.mark.parametrize(
    ("fields", "body"), [([(b"Content-Encoding", b"compress")], b"?"), ([(b"Content-Encoding", b"gzip, br")], b"?")]
)
def test_a_coding_that_nobody_knows(
    application: Application, upstream: ScriptedUpstream, fields: Any, body: bytes
) -> None:
    """A body in an unknown coding passes unread, and the report says so."""
    upstream.will_answer(json_answer({}))
    seen = application.post(upstream.url, body, *fields)
    assert (seen.report["action"], upstream.received[0].body) == ("unread", body)


def test_a_coding_that_is_none(application: Application, upstream: ScriptedUpstream) -> None:
    """A body that is not what its coding says is answered with one sentence, and upstream is not asked."""
    seen = application.post(upstream.url, b"no gzip", (b"Content-Encoding", b"gzip"))
    error = json.loads(seen.body)["error"]
    assert (seen.status, error["code"], len(upstream.received)) == (400, "invalid_content_encoding", 0)
    assert error["message"].startswith("The request body is not the gzip data")


def test_streams_pass_in_their_pieces(application: Application, upstream: ScriptedUpstream) -> None:
    """A stream's events arrive as they were sent, its head as well."""
    upstream.will_answer(ANSWERED)
    seen = application.post(upstream.url, {**CONVERSATION, "stream": True})
    assert (seen.body, seen.values(b"x-request-id")) == (WHOLE, [b"second"])
    assert seen.pieces == [event(one) for one in (CREATED, DELTA, COMPLETED)]


@pytest.mark.parametrize("events", [[FAILED], [CREATED, FAILED]], ids=["alone", "after created"])
def test_a_stream_that_refuses(kind: Any, upstream: ScriptedUpstream, events: list[Any]) -> None:
    """A refusal inside a stream is recovered from: the client sees one clean stream, the second, with its head."""
    upstream.will_answer(event_stream(events), ANSWERED)
    with applied(*kind, mode="recover") as application:
        seen = application.post(upstream.url, {**REFERRING, "stream": True}, KEY)
    assert (seen.body, seen.values(b"x-request-id")) == (WHOLE, [b"second"])
    assert (seen.report["action"], seen.report["attempts"]) == ("recovered", "2")


def test_a_stream_that_refuses_to_the_end(kind: Any, upstream: ScriptedUpstream) -> None:
    """Where nothing helps, the client gets the first stream, byte for byte."""
    upstream.will_answer(event_stream([CREATED, FAILED, b"data: [DONE]\n\n"]), *[refusal(400, "Something else")] * 2)
    with applied(*kind, mode="recover") as application:
        seen = application.post(upstream.url, {**REFERRING, "stream": True}, KEY)
    assert (seen.status, seen.body) == (200, b"".join(map(event, [CREATED, FAILED, b"data: [DONE]\n\n"])))
    assert seen.report["action"] == "unrecovered"


def test_another_error_inside_a_stream(kind: Any, upstream: ScriptedUpstream) -> None:
    """An error in a stream that is none of ours is relayed as it came, and upstream is asked once."""
    failed = {
        "type": "error",
        "status": 400,
        "error": {"message": "This model does not exist.", "code": "model_not_found"},
    }
    upstream.will_answer(event_stream([CREATED, failed]))
    with applied(*kind, mode="recover") as application:
        seen = application.post(upstream.url, {**REFERRING, "stream": True}, KEY)
    assert (seen.body, len(upstream.received)) == (event(CREATED) + event(failed), 1)


def test_a_stream_that_is_cut_while_it_is_held(kind: Any, upstream: ScriptedUpstream) -> None:
    """A stream that breaks off in its first events is visibly cut, and there is no second attempt."""
    upstream.will_answer(event_stream([CREATED, END]))
    with applied(*kind) as application:
        seen = application.post(upstream.url, {**CONVERSATION, "stream": True}, KEY)
        assert isinstance(seen.failure, application.package.RemoteProtocolError)
    assert (seen.status, seen.body, len(upstream.received)) == (200, event(CREATED), 1)


def test_early_can_be_switched_off(kind: Any, upstream: ScriptedUpstream) -> None:
    """With `early=False` a refusal inside a stream is relayed."""
    upstream.will_answer(event_stream([FAILED]))
    with applied(*kind, mode="recover", early=False) as application:
        seen = application.post(upstream.url, {**REFERRING, "stream": True}, KEY)
    assert (seen.body, len(upstream.received)) == (event(FAILED), 1)


@pytest.mark.parametrize("package", ["httpx2", "httpx"])
def test_the_first_event_is_not_held_for_long(
    package: str, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an event loop a stream that pauses is the client's after a while, though its next event has not come."""
    monkeypatch.setattr(early, "AFTER_FIRST_EVENT", 0.05)
    gate = Gate()
    upstream.will_answer(event_stream([CREATED, gate, DELTA, COMPLETED]))
    with applied(package, "async") as application:
        assert application.runner is not None

        async def first_and_rest() -> tuple[bytes, bytes]:
            sent: Any = {"json": CONVERSATION, "timeout": 20}
            async with application.client.stream("POST", f"{upstream.url}/v1/responses", **sent) as response:
                pieces = response.aiter_raw()
                first = await anext(pieces)
                gate.open()
                return first, b"".join([piece async for piece in pieces])

        first, rest = application.runner.run(first_and_rest())
    assert (first, first + rest) == (event(CREATED), WHOLE)


@pytest.mark.parametrize("package", ["httpx2", "httpx"])
def test_an_event_that_is_late_commits(
    package: str, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A synchronous client gets a refusal as it came that arrives when the time is over."""
    monkeypatch.setattr(early, "AFTER_FIRST_EVENT", -1.0)
    upstream.will_answer(event_stream([CREATED, FAILED]))
    with applied(package, "sync", mode="recover") as application:
        seen = application.post(upstream.url, {**REFERRING, "stream": True}, KEY)
    assert (seen.body, len(upstream.received)) == (event(CREATED) + event(FAILED), 1)


def test_a_refusal_that_does_not_end(upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """On an event loop a later refusal is waited for in vain only so long: its connection is cut, the first relayed."""
    monkeypatch.setattr(attempt, "JUDGED", 0.1)
    stalled = head(404, [(b"Content-Type", b"application/json"), (b"Content-Length", b"5000")]) + b'{"error": '
    upstream.will_answer(NOT_FOUND, script(stalled, UNTIL_CLOSED))
    with applied("httpx2", "async", mode="recover") as application:
        seen = application.post(upstream.url, REFERRING, KEY)
        upstream.received[1].wait_closed()
    assert (seen.status, b"rs_1" in seen.body, seen.report["attempts"]) == (404, True, "2")


def test_what_upstream_left_out(kind: Any, upstream: ScriptedUpstream) -> None:
    """An answer that says that upstream left reasoning out is reported, in JSON as well as in an event."""
    left = {"input_transformations": [{"reason": "model_mismatch"}]}
    events = [CREATED, {**COMPLETED, "response": left}]
    upstream.will_answer(json_answer(left), event_stream(events), event_stream([DELTA, *events[1:]]))
    notebook = Notebook()
    with applied(*kind, observer=notebook) as application:
        seen = application.post(upstream.url, CONVERSATION, KEY)
        for _ in range(2):
            application.post(upstream.url, {**CONVERSATION, "stream": True}, KEY)
    assert seen.report["upstream-removed"] == "model_mismatch=1"
    assert [type(one).__name__ for one in notebook.events].count("LeftOutByUpstream") == 3


def test_a_proxy_behind_the_transport(kind: Any, upstream: ScriptedUpstream) -> None:
    """With an Unpinned behind it a request is made portable once, and the report is the transport's."""
    upstream.will_answer(json_answer({}))
    with unpinned(upstream.url) as port, applied(*kind) as application:
        seen = application.post(f"http://127.0.0.1:{port}", CONVERSATION, KEY)
    assert (seen.report["action"], seen.report["removed"]) == ("rewritten", "item_id=2")
    assert seen.values(b"x-unpinned-action") == [b"rewritten"]
    assert all("id" not in item for item in upstream.received[0].json()["input"])


def test_without_a_report(kind: Any, upstream: ScriptedUpstream) -> None:
    """With `report=False` an answer has upstream's fields alone."""
    upstream.will_answer(json_answer({}))
    with applied(*kind, report=False) as application:
        seen = application.post(upstream.url, CONVERSATION, KEY)
    assert not [name for name, _ in seen.fields if name.lower().startswith(b"x-unpinned")]


def test_lessons_are_the_transports(kind: Any, upstream: ScriptedUpstream) -> None:
    """Two clients on one transport share what was learnt; another key does not."""
    upstream.will_answer(NOT_FOUND, *[json_answer({})] * 3)
    with applied(*kind, mode="recover") as application:
        application.post(upstream.url, REFERRING, KEY)
        first, application.client = application.client, application.new_client()
        learnt = application.post(upstream.url, REFERRING, KEY)
        other = application.post(upstream.url, REFERRING, (b"Authorization", b"Bearer other"))
        application.close(first)
    assert (learnt.report["attempts"], learnt.report["action"]) == ("1", "rewritten")
    assert other.report["action"] == "passthrough"


def test_loss_is_told_to_the_observer(kind: Any, upstream: ScriptedUpstream) -> None:
    """What the model does not see is a fact for the observer, and a field for the client."""
    upstream.will_answer(json_answer({}))
    notebook = Notebook()
    with applied(*kind, mode="strip", observer=notebook) as application:
        seen = application.post(upstream.url, REFERRING, KEY)
    assert seen.report["fidelity"] == "lossy"
    assert [one.reasons for one in notebook.events if isinstance(one, LossyAnswer)] == [("reasoning",)]


AZURE = {"input": [USER, {**SEALED, "status": "completed"}, {**SAID, "status": "completed"}, USER]}


@pytest.mark.parametrize(
    ("options", "url", "keeps"),
    [
        ({}, "http://name.openai.azure.com", True),
        ({}, "http://api.openai.com", False),
        ({"profile": "azure"}, "http://api.openai.com", True),
        ({"profile": "openai"}, "http://name.openai.azure.com", False),
    ],
)
def test_the_profile_is_that_of_the_host(kind: Any, options: Any, url: str, keeps: bool) -> None:
    """On Azure ids whose reasoning has blobs stay, as its host or the setting says; a mock within is no difference."""
    package, form = kind
    bodies: list[Any] = []

    with applied(package, form) as reference:
        mocked = reference.package

    def answered(request: Any) -> Any:
        bodies.append(json.loads(request.content))
        return mocked.Response(200, stream=mocked.ByteStream(b'{"ok": true}'))

    with applied(package, form, transport=mocked.MockTransport(answered), **options) as application:
        seen = application.post(url, AZURE, (b"api-key", b"k"))
    assert json.loads(seen.body) == {"ok": True}
    assert ("id" in bodies[0]["input"][1]) is keeps


def test_what_goes_with_every_attempt(kind: Any) -> None:
    """Each attempt has the URL, the timeouts and the extensions of the request; the transport within may be a mock."""
    with applied(*kind) as reference:
        mocked = reference.package
    seen: list[tuple[str, Any]] = []

    def answered(request: Any) -> Any:
        seen.append((str(request.url), request.extensions))
        body = json.dumps({"error": MISSING} if len(seen) == 1 else {"ok": True}).encode()
        return mocked.Response(404 if len(seen) == 1 else 200, stream=mocked.ByteStream(body))

    within = mocked.MockTransport(answered)
    with applied(*kind, mode="recover", transport=within) as application:
        target = "/openai/v1/responses?api-version=preview"
        application.post("http://name.example", REFERRING, KEY, target=target, extensions={"own": 1}, timeout=7.0)
    assert [url for url, _ in seen] == ["http://name.example/openai/v1/responses?api-version=preview"] * 2
    assert seen[0][1] == seen[1][1]
    assert (seen[1][1]["own"], seen[1][1]["timeout"]["read"]) == (1, 7.0)


def test_comments(upstream: ScriptedUpstream) -> None:
    """Comments in front of a stream do not count as events, and pass."""
    upstream.will_answer(event_stream([b": hello\n\n", DELTA]))
    with applied() as application:
        seen = application.post(upstream.url, {**CONVERSATION, "stream": True})
    assert seen.body == b": hello\n\n" + event(DELTA)
