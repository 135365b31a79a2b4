"""What the first events of an answer say."""

import json
from typing import Any

import pytest

from proxy.responses.early import EarlyEvents, EarlyRefusal, recognition, verdict_on
from proxy.responses.recovery.refusals import classify

ERROR = {"type": "invalid_request_error", "code": "x", "message": "Item with id 'rs_1' not found.", "param": "input"}
FLAT = {"type": "error", "code": "x", "message": ERROR["message"], "param": "input", "sequence_number": 1}
CREATED = {"type": "response.created", "response": {"id": "resp_1", "error": None}}


def sse(payload: Any) -> bytes:
    """One event, as OpenAI writes it."""
    return b"event: %s\ndata: %s\n\n" % (str(payload.get("type")).encode(), json.dumps(payload).encode())


def verdict(payload: Any) -> Any:
    """The verdict on an event; of a refusal its status and error object."""
    found = verdict_on(payload if isinstance(payload, bytes) else json.dumps(payload).encode())
    return (found.status, json.loads(found.body)) if isinstance(found, EarlyRefusal) else found


@pytest.mark.parametrize("type_", ["response.created", "response.queued", "response.in_progress"])
def test_three_types_promise_nothing(type_: str) -> None:
    """A response that is created, queued or in progress may still be refused."""
    assert verdict({"sequence_number": 0, "response": {"id": "resp_1", "error": ERROR}, "type": type_}) == "hold"


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "response.output_item.added", "item": {"type": "error", "error": ERROR}},
        {"type": "response.completed", "response": {"error": ERROR}},
        {"type": "keepalive"},
        {"type": "response.incomplete"},
        {"type": "codex.rate_limits", "error": ERROR},
        {"type": 5, "error": ERROR},
        {"type": "response.failed", "response": {"id": "resp_1", "error": None, "metadata": {"message": "x"}}},
        {"type": "response.failed", "response": "resp_1"},
        {"error": None},
        {},
        [],
        "text",
        b"[DONE]",
        b"",
        b'{"type":"response.created"',
        b'{"type":"response.created"} x',
        b"\xff",
    ],
)
def test_everything_else_commits(payload: Any) -> None:
    """Output, an end, an unknown type and what is no JSON are the client's, and so is all that follows."""
    assert verdict(payload) == "commit"


@pytest.mark.parametrize(
    ("payload", "status", "error"),
    [
        (FLAT, 400, FLAT),
        ({"type": "error", "error": ERROR}, 400, ERROR),
        ({"type": "error", "status": 404, "error": ERROR}, 404, ERROR),
        ({"type": "error", "status_code": 409, "error": ERROR}, 409, ERROR),
        ({"type": "error", "status": "429", "error": ERROR}, 429, ERROR),
        ({"type": "response.error", "error": ERROR}, 400, ERROR),
        ({"type": "response.failed", "response": {"id": "resp_1", "error": ERROR}}, 400, ERROR),
        ({"type": "response.failed", "status": 503, "response": {"error": ERROR}}, 503, ERROR),
        ({"type": "response.failed", "error": ERROR, "response": {"error": None}}, 400, ERROR),
        ({"error": {"code": 404, "message": "m"}}, 404, {"code": 404, "message": "m"}),
        ({"error": {"code": "502", "message": "m"}}, 502, {"code": "502", "message": "m"}),
        ({"error": {"status": 422, "code": 1}, "user_id": "u"}, 422, {"status": 422, "code": 1}),
        ({"type": None, "error": "text"}, 400, "text"),
        ({"type": "error", "code": 404, "message": "m"}, 404, {"type": "error", "code": 404, "message": "m"}),
        *(
            ({"type": "error", "status": status, "error": ERROR}, 400, ERROR)
            for status in (200, 0, 600, 4000, "failed", None, True, 404.5, [404], "٤٠٤")
        ),
    ],
)
def test_refusals(payload: Any, status: int, error: Any) -> None:
    """A refusal is found in every shape, with the status that it names, 400 where it names none."""
    assert verdict(payload) == (status, error)


@pytest.mark.parametrize(
    "payload",
    [
        FLAT,
        {"type": "error", "status": 404, "error": ERROR},
        {"type": "response.error", "error": ERROR},
        {"type": "response.failed", "response": {"error": ERROR, "metadata": {"error": "rate limit"}}},
        {"error": {"code": 400, "message": ERROR["message"]}},
        {"error": ERROR["message"]},
    ],
)
def test_the_body_says_which_refusal_it_is(payload: Any) -> None:
    """What is found is judged like the body of a refusal with a status of its own."""
    found = verdict_on(json.dumps(payload).encode())
    assert isinstance(found, EarlyRefusal)
    refusal = classify(found.status, found.body)
    assert refusal is not None
    assert (refusal.kind, refusal.ids) == ("item", {"rs_1"})


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_stream_piece_by_piece(size: int) -> None:
    """Comments and provisional events are held, in any pieces; the next event decides."""
    stream = b": waiting\n\n" + sse(CREATED) + sse({**CREATED, "type": "response.in_progress"}) + sse(FLAT)
    events = EarlyEvents()
    said = [events.feed(stream[n : n + size]) for n in range(0, len(stream), size)]
    assert set(said[:-1]) <= {"hold"}
    assert said[-1] == EarlyRefusal(400, json.dumps(FLAT).encode())


def test_comments_are_no_event() -> None:
    """A stream of comments has not begun."""
    events = EarlyEvents()
    assert events.feed(b": OPENROUTER PROCESSING\n\n") == "hold"
    assert not events.has_event
    assert events.feed(sse(CREATED)) == "hold"
    assert events.has_event


def test_the_first_event_of_a_background_response_commits() -> None:
    """Where its id is wanted, a created response is the client's; a refusal is still one."""
    assert EarlyEvents(commits_first=True).feed(sse(CREATED)) == "commit"
    assert isinstance(EarlyEvents(commits_first=True).feed(sse(FLAT)), EarlyRefusal)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("server_error", 500),
        ("server_is_overloaded", 503),
        ("rate_limit_exceeded", 429),
        ("insufficient_quota", 429),
        ("x", 400),
        (None, 400),
    ],
)
def test_a_failure_of_a_stream_that_was_accepted(code: str | None, status: int) -> None:
    """What happens to streams everywhere has the status that it has elsewhere, unless it names another."""
    error = {"code": code, "message": "m"}
    assert verdict({"type": "response.failed", "response": {"error": error}}) == (status, error)
    assert verdict({"type": "error", "status": 404, "error": error}) == (404, error)


def test_which_refusals_are_recognised() -> None:
    """What can be recovered from is recognised; all else is the client's."""
    assert recognition(EarlyRefusal(404, json.dumps(ERROR).encode())).work()
    assert not recognition(EarlyRefusal(429, json.dumps(ERROR).encode())).work()
    assert not recognition(EarlyRefusal(400, b'{"code":"server_error","message":"Try again."}')).work()
