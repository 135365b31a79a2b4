"""Which requests ask for a response, which refusal says that there is none, and how one is put together again."""

import json
from typing import Any

import pytest

from proxy.responses.history.recording import made
from proxy.responses.history.retrieval import Answer, Asked, answer, answered, asked, is_missing

LONG = "x" * 300


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", b"/v1/responses/resp_1", b"", Asked("resp_1", "response")),
        ("GET", b"/openai/v1/responses/resp_1", b"api-version=v1", Asked("resp_1", "response")),
        ("GET", b"/responses/resp%5F1", b"include=a&stream=false", Asked("resp_1", "response")),
        ("GET", b"/v1/responses/resp_1", b"stream=true&starting_after=5", Asked("resp_1", "maker")),
        ("GET", b"/v1/responses/resp_1", b"include=a&stream=True", Asked("resp_1", "maker")),
        ("GET", b"/v1/responses/resp_1/input_items", b"", Asked("resp_1", "maker")),
        ("POST", b"/v1/responses/resp_1/cancel", b"", Asked("resp_1", "maker")),
        ("DELETE", b"/v1/responses/resp_1", b"", Asked("resp_1", "maker")),
        ("POST", b"/v1/responses/compact", b"", None),
        ("POST", b"/v1/responses", b"", None),
        ("GET", b"/v1/responses", b"", None),
        ("GET", b"/v1/responses/", b"", None),
        ("GET", b"/v1/responses/resp_1/cancel", b"", None),
        ("DELETE", b"/v1/responses/resp_1/input_items", b"", None),
        ("GET", b"/v1/responses/resp_1/x", b"", None),
        ("GET", b"/v1/responses/answer%20of%20resp_1", b"", None),
        ("GET", b"/v1/responses/a%2Fb", b"", None),
        ("HEAD", b"/v1/responses/resp_1", b"", None),
        ("GET", b"/v1/conversations/conv_1", b"", None),
    ],
)
def test_what_is_asked(method: str, path: bytes, query: bytes, expected: Asked | None) -> None:
    """The response itself, or what only its maker can do; an id is what an id may be, however the path writes it."""
    assert asked(method, path, query) == expected


@pytest.mark.parametrize(
    ("message", "missing"),
    [
        ("Response with id 'resp_1' not found.", True),
        ("Response 'resp_1' not found", True),
        ("The requested response does not exist.", True),
        ("Invalid URL (GET /v1/responses/resp_1)", False),
        ("The model was not found.", False),
        ("Resource not found", False),
    ],
)
def test_what_says_that_there_is_none(message: str, missing: bool) -> None:
    """Only a refusal that speaks of the response is one; a wrong URL or key is not."""
    assert is_missing(json.dumps({"error": {"message": message}}).encode()) is missing


@pytest.mark.parametrize(
    "body",
    [
        b'{"id":"resp_1","n":1e400,"big":18446744073709551616,"output":[{"a":1},{"b":"\\u00e9"}],"x":null}',
        b'{"id":"resp_1","output":[]}',
        b'{"id":"resp_1"}',
        b'{"id":"resp_1","output":[{"s":"\\ud800"}],"lone":"\\ud800","instructions":"%b"}' % LONG.encode(),
        b'{"tools":["%b"],"id":"resp_1","output":[],"instructions":"%b"}' % (LONG.encode(), LONG.encode()),
        b'{"id":"resp_1","tools":["%b"],"output":[],"tools":["%b!"]}' % (LONG.encode(), LONG.encode()),
        b'{"id":"resp_1","tools":[],"output":[],"instructions":null}',
    ],
)
def test_it_is_put_together_byte_for_byte(body: bytes) -> None:
    """What a stream said of a response is what is answered: numbers, escapes, order and all."""
    found = made(body)
    assert found is not None
    kept = answered(found, "eu.example")
    assert kept is not None
    assert answer(kept.items) == Answer("eu.example", body)
    assert kept.made == len(found.output)


def test_white_space_goes() -> None:
    """An answer that was no stream comes without the white space that it had."""
    body: Any = {"id": "resp_1", "output": [{"a": [1, 2]}], "tools": [LONG]}
    found = made(json.dumps(body, indent=2).encode())
    assert found is not None
    kept = answered(found, "")
    assert kept is not None
    assert answer(kept.items) == Answer("", json.dumps(body, separators=(",", ":")).encode())


def test_what_upstream_would_not_keep() -> None:
    """A response with `store: false` has no answer to be retrieved: its maker would not have it either."""
    found = made(b'{"id":"resp_1","output":[],"store":false}')
    assert found is not None
    assert answered(found, "eu") is None


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ((b'{"place":"eu"}',), Answer("eu")),
        ((b'{"place":"eu\\r\\nx: y"}',), Answer("")),
        ((b'{"place":"fe80::1","more":1}',), Answer("fe80::1")),
        ((b'{"place":5}',), None),
        ((b"",), None),
        ((), None),
        ((b'{"place":"eu"}\n[1]',), Answer("eu")),
        ((b'{"place":"eu"}\n{"a":',), None),
        (
            (b'{"place":"eu","shared":["tools"]}\n{"tools":null,"output":null}',),
            Answer("eu", b'{"tools":null,"output":[]}'),
        ),
    ],
)
def test_what_is_no_record(items: tuple[bytes, ...], expected: Answer | None) -> None:
    """What others wrote is an answer or none; a place that a header field could not say is none."""
    assert answer(items) == expected
