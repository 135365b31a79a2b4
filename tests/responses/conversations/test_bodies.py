"""Bodies and queries of the routes of conversations, and what is answered."""

import json
from typing import Any

import pytest

from proxy.responses.conversations import bodies
from proxy.responses.conversations.bodies import Given, Query
from proxy.responses.conversations.ledger import DIGEST, Kept, Ledger, Turn, name_of
from proxy.responses.conversations.refused import Refused, conversation_not_found, named

CONVERSATION = "conv_" + "0" * 48
USER = b'{ "role":"user","content":"1e400 \\ud800" }'
NAMES = [name_of(f"msg_{number}") for number in range(5)]
LEDGER = Ledger(
    b'{"a":"b"}',
    17,
    (
        Turn(0, True, b"".join(bytes(DIGEST) + name for name in NAMES[:3]), 3),
        Turn(1, False, b"".join(bytes(DIGEST) + name for name in NAMES[3:]), 2),
    ),
)


def refusal(reader: Any, *arguments: Any) -> tuple[Any, Any]:
    """Param and code of a refusal."""
    with pytest.raises(Refused) as found:
        reader(*arguments)
    error = json.loads(found.value.body)["error"]
    return error["param"], error["code"]


def test_creation() -> None:
    """Items are the client's bytes; nothing, null and an empty body are no items."""
    asked = bodies.creation(b' {"items" : [%b,{"id":"msg_9"}],"metadata":{"n":"1"}}' % USER)
    assert asked.items == (Given(USER, "", is_reference=False), Given(b'{"id":"msg_9"}', "msg_9", is_reference=True))
    assert (asked.metadata, asked.references) == (b'{"n":"1"}', ("msg_9",))
    for body in (b"", b"{}", b'{"items":null,"metadata":null}'):
        assert bodies.creation(body) == ((), b"{}")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", (None, None)),
        (b"[]", (None, None)),
        (b'{"odd":1}', ("odd", "unknown_parameter")),
        (b'{"items":[%b]}' % (b"[]," * 250_000), (None, "request_too_complex")),
        (b'{"\\ud800":1}', ("\ud800", "unknown_parameter")),
        (b'{"items":[{"role":"user","content":"","id":"\\ud800"}]}', ("items[0].id", "invalid_value")),
        (b'{"items":{}}', ("items", "invalid_type")),
        (b'{"items":[7]}', ("items[0]", "invalid_type")),
        (b'{"items":[%b]}' % b",".join([USER] * 21), ("items", "array_above_max_length")),
        (b'{"items":[{"type":"item_reference"}]}', ("items[0].id", "missing_required_parameter")),
        (b'{"metadata":7}', ("metadata", "invalid_type")),
        (b'{"items":[%b%b]}' % (b'{"x":' * 3000, b"1" + b"}" * 3000), (None, None)),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bad_creations(body: bytes, expected: tuple[Any, Any]) -> None:
    """What upstream would refuse is refused as a whole."""
    assert refusal(bodies.creation, body) == expected


def test_changes() -> None:
    """An update needs metadata, which may be null; items are needed where items are added."""
    assert (bodies.update(b'{"metadata":null}'), bodies.update(b'{"metadata":{"a":"1"}}')) == (b"{}", b'{"a":"1"}')
    assert refusal(bodies.update, b"{}") == ("metadata", "missing_required_parameter")
    assert refusal(bodies.update, b'{"items":[]}') == ("items", "unknown_parameter")
    assert refusal(bodies.addition, b"{}") == ("items", "missing_required_parameter")
    assert refusal(bodies.addition, b'{"items":null}') == ("items", "invalid_type")
    assert bodies.addition(b'{"items":[]}').items == ()


def test_references_are_resolved() -> None:
    """What is referred to stands in the place of its reference; what is not known, or there already, is refused."""
    asked = bodies.creation(b'{"items":[%b,{"id":"msg_9"}]}' % USER)
    assert bodies.resolved(asked, {"msg_9": b'{"id":"msg_9"}'}, LEDGER) == [USER, b'{"id":"msg_9"}']
    assert refusal(bodies.resolved, asked, {}, LEDGER) == (None, None)
    twice = bodies.creation(b'{"items":[{"id":"msg_1","role":"user","content":""}]}')
    assert refusal(bodies.resolved, twice, {}, LEDGER) == ("input", None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Query()),
        ("order=asc&limit=100&after=msg_1", Query("msg_1", 100, ascending=True)),
        (
            "include=reasoning.encrypted_content&include[]=web_search_call.results",
            Query(include=("reasoning.encrypted_content", "web_search_call.results")),
        ),
        ("limit=1&limit=2&odd=1", Query(limit=2)),
        ("a&" * 2000 + "%ff&limit=7", Query(limit=7)),
    ],
)
def test_queries(text: str, expected: Query) -> None:
    """Of a member that is there twice the last one counts; others are not looked at."""
    assert bodies.query(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("limit=0", ("limit", "integer_below_min_value")),
        ("limit=-1", ("limit", "integer_below_min_value")),
        ("limit=101", ("limit", "integer_above_max_value")),
        ("limit=x", ("limit", "invalid_type")),
        ("limit=", ("limit", "invalid_type")),
        ("order=up", ("order", "invalid_value")),
        ("include=odd", ("include", "invalid_value")),
    ],
)
def test_bad_queries(text: str, expected: tuple[str, str]) -> None:
    """Each is refused by its name."""
    assert refusal(bodies.query, text) == expected


@pytest.mark.parametrize(
    ("wanted", "expected", "more"),
    [
        (Query(), [4, 3, 2, 1, 0], False),
        (Query(limit=2), [4, 3], True),
        (Query(after="msg_3", limit=3), [2, 1, 0], False),
        (Query(ascending=True, after="msg_1", limit=2), [2, 3], True),
        (Query(ascending=True, after="msg_4"), [], False),
    ],
)
def test_pages(wanted: Query, expected: list[int], more: bool) -> None:
    """A page begins behind the item that is named, in the order that is asked for."""
    page = bodies.page(LEDGER, wanted)
    assert ([mark[DIGEST:] for mark in page.marks], page.has_more) == ([NAMES[number] for number in expected], more)


def test_items_that_are_not_there() -> None:
    """An item of another conversation is not found, neither as the beginning of a page nor by its id."""
    assert refusal(bodies.page, LEDGER, Query("msg_9")) == ("after", None)
    assert refusal(bodies.place_of, LEDGER, "msg_9") == (None, None)
    assert refusal(bodies.place_of, LEDGER._replace(locked=True), "msg_4") == (None, None)
    assert bodies.place_of(LEDGER, "msg_1").mark[DIGEST:] == NAMES[1]


def test_answers() -> None:
    """What is answered has the API's shape, and the client's own bytes in it."""
    assert json.loads(bodies.conversation(CONVERSATION, LEDGER)) == {
        "id": CONVERSATION,
        "object": "conversation",
        "created_at": 17,
        "metadata": {"a": "b"},
    }
    assert json.loads(bodies.deleted(CONVERSATION)) == {
        "id": CONVERSATION,
        "object": "conversation.deleted",
        "deleted": True,
    }
    kept = [Kept(b'{"id":"msg_%d","type":"message","status":"completed","n":1e400}' % n, NAMES[n]) for n in range(2)]
    found = bodies.listed(CONVERSATION, kept, has_more=True)
    assert b",".join(one.item for one in kept) in found
    shown = json.loads(found)
    assert (shown["first_id"], shown["last_id"], shown["has_more"], shown["object"]) == ("msg_0", "msg_1", True, "list")
    odd = Kept(b'{"id":"\\ud800","role":"user"}', NAMES[0])
    assert json.loads(bodies.listed(CONVERSATION, [odd], has_more=False))["last_id"] == "\ud800"
    empty = json.loads(bodies.listed(CONVERSATION, [], has_more=False))
    assert (empty["first_id"], empty["last_id"], empty["data"]) == (None, None, [])
    assert bodies.with_names([b"1"], [bytes(DIGEST) + b"n" * 8]) == [Kept(b"1", b"n" * 8)]


def test_words() -> None:
    """JSON's types have their names, and what is not found says so."""
    values: tuple[object, ...] = (None, True, 1, 1.5, "", [], {})
    assert [named(value) for value in values] == [
        "null",
        "a boolean",
        "an integer",
        "a decimal",
        "a string",
        "an array",
        "an object",
    ]
    assert conversation_not_found("conv_1").status == 404
