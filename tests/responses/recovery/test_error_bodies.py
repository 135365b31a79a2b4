"""Whatever the shape of a refusal, its message, code and param are found in it."""

import json
from typing import Any

import pytest

from proxy.responses.recovery.error_bodies import Said, sayings


def _first(payload: Any) -> Said | None:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return next((said for said in sayings(body) if said.message or said.code), None)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"error": {"message": "m", "code": "c", "param": "p"}}, Said("m", "c", "p")),
        ({"error": {"message": "m", "code": 404, "param": None}}, Said("m", "", "")),
        ({"error": "m"}, Said("m", "", "")),
        ({"detail": "m"}, Said("m", "", "")),
        ({"message": "m"}, Said("m", "", "")),
        ({"title": "m", "status": 404}, Said("m", "", "")),
        ({"errors": [{"message": "m"}, {"message": "n"}]}, Said("m", "", "")),
        ([{"error": {"message": "m"}}], Said("m", "", "")),
        ({"detail": [{"loc": ["body", "input", 7, "status"], "msg": "m"}]}, Said("m", "", "input[7].status")),
        ({"detail": [{"loc": "body", "msg": "m"}]}, Said("m", "", "")),
        ({"error": {"message": 'x - {"error": {"message": "m", "code": "c"}}. y'}}, Said("m", "c", "")),
        ({"error": {"message": "x {not json}"}}, Said("x {not json}", "", "")),
        ({"error": {"message": "p", "metadata": {"raw": '{"error": {"message": "m"}}'}}}, Said("m", "", "")),
        ({"error": {"message": "  two \n words "}}, Said("two words", "", "")),
        (b"plain text", Said("plain text", "", "")),
        (b'data: {"error": {"message": "m"}}\n\n', Said("m", "", "")),
        (b"\xff text", Said("\ufffd text", "", "")),
        (b"<html>m</html>", None),
        (b"  ", None),
        (b"[]", None),
        (b"5", None),
        (b"[" * 100_000, Said("[" * 2048, "", "")),
    ],
)
def test_shapes(payload: Any, said: Said | None) -> None:
    """The innermost words come first, wherever a gateway has put them."""
    assert _first(payload) == said


def test_long_messages() -> None:
    """Of a message 2,048 characters are looked at, white space in a row being one."""
    assert _first({"message": "ab " * 10_000}) == Said(("ab " * 10_000)[:2048].strip(), "", "")


def test_deep_bodies() -> None:
    """What is buried too deep is not looked for."""
    payload: Any = "m"
    for _ in range(20):
        payload = {"error": payload}
    assert _first(payload) is None


def test_many_sayings() -> None:
    """Of a refusal that says many things one in the other, 16 are looked at."""
    payload: Any = "m"
    for number in range(4):
        payload = {"error": payload, "detail": payload, "message": f"level {number}"}
    assert len(list(sayings(json.dumps(payload).encode()))) == 16
