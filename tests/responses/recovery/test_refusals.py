"""What a refusal says is read from its words, code and param, whoever worded it; everything else is not ours."""

import json
from typing import Any

import pytest

from proxy.responses.recovery.refusals import Refusal, classify
from tests.support.refusals import (
    CATALOGUE,
    DUPLICATE,
    NO_CALL,
    NO_OUTPUT,
    NO_PARENT,
    NOT_STORED,
    OTHER_ORGANISATION,
    RELATIVES,
    STRANGERS,
    UNREASONED,
    UNVERIFIED,
    error,
)


def _body(payload: Any) -> bytes:
    return payload.encode() if isinstance(payload, str) else json.dumps(payload).encode()


def _kind(status: int, payload: Any) -> str | None:
    refusal = classify(status, _body(payload))
    return refusal.kind if refusal is not None else None


@pytest.mark.parametrize(("status", "payload", "kind"), CATALOGUE)
def test_the_catalogue(status: int, payload: Any, kind: str | None) -> None:
    """Every refusal that was seen on the wire is known for what it is."""
    assert _kind(status, payload) == kind


@pytest.mark.parametrize(("status", "payload", "kind"), RELATIVES)
def test_the_relatives(status: int, payload: Any, kind: str) -> None:
    """The same refusal is known in the words, quotes, shapes and statuses of other gateways."""
    assert _kind(status, payload) == kind


@pytest.mark.parametrize(("status", "payload"), STRANGERS)
def test_the_strangers(status: int, payload: Any) -> None:
    """What has nothing to do with items, previous responses or blobs is not ours, whatever words it uses."""
    assert _kind(status, payload) is None


@pytest.mark.parametrize(
    ("message", "ids"),
    [
        (NOT_STORED, {"rs_0a1b"}),
        (NO_PARENT, {"resp_0a1b"}),
        (NO_CALL, {"call_1"}),
        (NO_OUTPUT, {"call_1"}),
        ("No tool output found for function call abc.", {"abc"}),
        ("No tool outputs found for function calls call_1, call_2.", {"call_1", "call_2"}),
        ("No tool call found for function call output with call_id xyz.", {"xyz"}),
        (UNREASONED, {"fc_1", "rs_1"}),
        (DUPLICATE, {"rs_1"}),
        ('Item with id "A-b" not found.', {"A-b"}),
        ("Items with ids 'rs_1', 'msg_2' not found.", {"rs_1", "msg_2"}),
        ("Item with id not found.", set()),
        ("Conflicting authenticated continuation identities.", set()),
        ("Expected container_id: cntr_0a1b", {"cntr_0a1b"}),
    ],
)
def test_named_ids(message: str, ids: set[str]) -> None:
    """The ids are exactly the ones it names, and no other words."""
    refusal = classify(400, _body(error(message)))
    assert refusal is not None
    assert refusal.ids == ids


@pytest.mark.parametrize(
    ("message", "param", "expected"),
    [
        (
            "Invalid 'input[1].id': 'item_A'. Expected an ID that begins with 'fc'.",
            "input[1].id",
            Refusal("field", place=1, field="id"),
        ),
        ("Unknown parameter: 'input[4].status'.", None, Refusal("field", place=4, field="status")),
        (
            "Missing required parameter: 'input[7].summary'.",
            "input[7].summary",
            Refusal("field", place=7, field="summary", demanded=True),
        ),
        ("ID is required", None, Refusal("field", field="id", demanded=True)),
        (
            "Unknown parameter: 'input[1].content[0].index'.",
            "input[1].content[0].index",
            Refusal("field", place=1, field="content[].index"),
        ),
        ("Unknown parameter: 'usage'.", "usage", Refusal("envelope", field="usage")),
        ("Unknown parameter: 'output_text'.", None, Refusal("envelope", field="output_text")),
        ("Unknown parameter: 'input[1].phase.x'.", "input[1].phase.x", Refusal("field", place=1, field="phase.x")),
        ("Invalid value: 'x'. Supported values are: 'y'.", "input[1].phase", None),
        ("ID is required", "tools[0]", None),
    ],
)
def test_fields(message: str, param: str | None, expected: Refusal | None) -> None:
    """A field that is unknown, malformed or missing is named with the place of its item."""
    assert classify(400, _body(error(message, None, param))) == expected


@pytest.mark.parametrize(
    ("message", "blob"),
    [
        (UNVERIFIED, ("gAAA", "ng==")),
        ("The encrypted content 'gAAA...ng==' could not be verified.", ("gAAA", "ng==")),
        (OTHER_ORGANISATION, None),
    ],
)
def test_named_blobs(message: str, blob: tuple[str, str] | None) -> None:
    """A blob that is shown shortened is known by its beginning and its end."""
    refusal = classify(400, _body(error(message, "invalid_encrypted_content", None)))
    assert refusal is not None
    assert refusal.blob == blob


def test_the_named_place() -> None:
    """Where the param names an item of the input, its place is taken over."""
    refusal = classify(400, _body(error("Invalid encrypted content", None, "input[3].encrypted_content")))
    assert refusal is not None
    assert refusal.place == 3


@pytest.mark.parametrize("status", [400, 404, 409, 422])
def test_the_status_says_little(status: int) -> None:
    """The same words mean the same under any status of a refused request."""
    assert _kind(status, error(NOT_STORED)) == "item"


@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe", b"{", b'{"error":', b"[" * 100_000, b'"', b"   ", b'{"error":' * 30 + b'"x"' + b"}" * 30],
    ids=["no text", "brace", "cut", "deep", "quote", "blank", "nested"],
)
def test_broken_bodies(body: bytes) -> None:
    """A body that cannot be read says nothing."""
    assert classify(404, body) is None


@pytest.mark.parametrize(
    "filler",
    ["x", " ", "no ", "call ", "does ", "output ", "item ", "no call ", "\\n", "'", "{", "input[1].", "rs_1 ", "a_"],
)
def test_long_refusals(filler: str) -> None:
    """Of a message only the beginning is looked at, however long it is and whatever it is made of."""
    long = filler * (1024 * 1024 // len(filler))
    assert _kind(404, error(f"Hello {long} Item with id 'rs_1' not found.")) in (None, "item")
    assert _kind(404, error(f"Item with id 'rs_1' not found. {long}")) == "item"
    assert _kind(404, "x" * 9000 + NOT_STORED) is None


NUMBER = "9" * 5000


@pytest.mark.parametrize(
    ("param", "message"),
    [
        (f"input[{NUMBER}].id", "Item with id 'rs_1' not found."),
        (f"input[{NUMBER}]", "Item with id 'rs_1' not found."),
        ("input", f"Item with id 'input[{NUMBER}].id' not found."),
    ],
)
def test_an_index_that_is_none(param: str, message: str) -> None:
    """A number of thousands of digits, which a client may have written into an id, names no item and breaks nothing."""
    refusal = classify(404, json.dumps({"error": {"message": message, "param": param}}).encode())
    assert refusal is None or refusal.place is None
