"""A body is read as spans, edited by cutting, and never encoded anew."""

import json

import pytest

from proxy.responses.body import lenient
from proxy.responses.body.document import Document, glance, read
from proxy.responses.body.edits import cut_members, splice
from proxy.responses.body.lenient import MalformedError
from proxy.responses.body.objects import members_of, object_of, text
from proxy.responses.body.table import Array, item_of
from tests.support.lenient_reading import only_leniently


def _read(body: bytes) -> Document:
    found = read(body)
    assert found is not None
    return found


@pytest.mark.parametrize("body", [b"[]", b' "x" ', b"5", b"null", b"NaN", b"\xef\xbb\xbf[]", b"[" * 3000 + b"]" * 3000])
def test_no_object(body: bytes) -> None:
    """JSON that is no object is no request."""
    assert read(body) is None


@pytest.mark.parametrize("body", [b"", b"x", b'{"a":1', b'{"a":1}x', b"{}{}", b'{"a":01}', b"{\xff}", b"\xef\xbb\xbf"])
def test_no_json(body: bytes) -> None:
    """What is no JSON is said to be malformed."""
    with pytest.raises(MalformedError):
        read(body)


BODIES = [
    b'{"input":[{"a":1},{"b":[1,{"c":2}]}],"model":"m"}',
    b' { "input" : [ { "a" : 1 } , { } , 5 , "x" , [ ] ] , "model" : "m" } ',
    b'{"input":[],"input":[{"a":1}]}',
    b'{"\\u0069nput":[{"\\u0061":1}]}',
    b'{"input":[{"a":NaN}],"x":Infinity}',
    b'{"input":[{"a":"\\ud800"},{"\\ud800":1}]}',
    b'{"input":[{"a":"\xff"}]}',
    b'\xef\xbb\xbf{"input":[{"a":1}]}',
    b'{"input":[{"a":' + b"[" * 2000 + b"]" * 2000 + b"}]}",
    b'{"input":[{"a":1,"a":2}]}',
    b'{"x":1,"input":[{"a":12,"a":1}],"x":1}',
    b'{"input":"text"}',
    b'{"input":{"a":1}}',
    b"{}",
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:30]))
def test_both_readers_agree(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fast reader and the slow one find the same members, items and spans."""
    fast = _read(body)
    seen = [
        (array.span, [{name: bytes(raw) for name, raw in item.fields.items()} for item in array.items])
        for array in fast.arrays
    ]
    spans = [array.elements.spans for array in fast.arrays]
    only_leniently(monkeypatch)
    slow = _read(body)
    assert slow.members == fast.members
    assert [
        (array.span, [{name: bytes(raw) for name, raw in item.fields.items()} for item in array.items])
        for array in slow.arrays
    ] == seen
    assert [array.elements.spans for array in slow.arrays] == spans


def test_top_level_members() -> None:
    """Of a member that stands there twice the last one counts, as for upstream."""
    found = _read(b'{"a":"x","b":null,"a":"\\u0079","c":5}')
    assert (found.raw("a"), found.text("a")) == (b'"\\u0079"', "y")
    assert (found.raw("b"), found.text("b"), found.raw("z"), found.text("z")) == (None, None, None, None)
    assert (found.raw("c"), found.text("c")) == (b"5", None)
    assert splice(found.body, found.cut({"a"})) == b'{"b":null,"c":5}'


@pytest.mark.parametrize(
    ("body", "names", "expected"),
    [
        (b'{"a":1,"b":2,"c":3}', "a", b'{"b":2,"c":3}'),
        (b'{"a":1,"b":2,"c":3}', "b", b'{"a":1,"c":3}'),
        (b'{"a":1,"b":2,"c":3}', "c", b'{"a":1,"b":2}'),
        (b'{"a":1,"b":2,"c":3}', "ac", b'{"b":2}'),
        (b'{"a":1,"b":2,"c":3}', "bc", b'{"a":1}'),
        (b'{"a":1,"b":2,"c":3}', "abc", b"{}"),
        (b'{ "a" : 1 , "b" : 2 }', "a", b'{ "b" : 2 }'),
        (b'{ "a" : 1 , "b" : 2 }', "b", b'{ "a" : 1 }'),
        (b'{ "a" : 1 }', "a", b"{  }"),
        (b'{"a":1,"a":2,"b":3,"a":4}', "a", b'{"b":3}'),
        (b'{"\\u0061":1,"b":2}', "a", b'{"b":2}'),
        (b'{"a":1}', "x", b'{"a":1}'),
        (b"{}", "x", b"{}"),
    ],
)
def test_cutting_members(body: bytes, names: str, expected: bytes) -> None:
    """Members go with one comma each; everything else keeps its bytes."""
    assert splice(body, cut_members(lenient.members(body, 0), set(names))) == expected


@pytest.mark.parametrize(
    "body",
    [
        *(
            b'{"a":1,"b":"x"}',
            b'{ "a" :1 , "b": [ ] }',
            b"{}",
            b"{ }",
            b'{"a":1,"a":1}',
            b'{"a":12,"a":1}',
            b'{"a":1,"a":2}',
        ),
        *(b'{"\\u0061":1}', '{"é":1}'.encode(), b'{"\\u00e9":1}', b'{"a":1,"b":2,"a":1}', b'{"a":1.5,"a":1}'),
    ],
)
def test_members_by_their_lengths(body: bytes) -> None:
    """The walk over known values finds what the slow reader finds."""
    fields = object_of(body)
    assert members_of(body, 0, fields) == lenient.members(body, 0)


def test_splice() -> None:
    """Without edits the body is the same object; edits at one place keep their order."""
    body = b"abc"
    assert splice(body, []) is body
    assert splice(body, [(1, 2, b""), (3, 3, b"!"), (1, 1, b"+")]) == b"a+c!"


@pytest.mark.parametrize(
    ("literal", "kind", "made_by"),
    [
        ('{"type":"message","role":"user"}', "message:user", "client"),
        ('{"role":"assistant"}', "message:assistant", "model"),
        ('{"role":"ghost"}', "", "model"),
        ('{"type":"message"}', "", "model"),
        ('{"type":null,"role":"user"}', "message:user", "client"),
        ('{"ty\\u0070e":"reas\\u006fning"}', "reasoning", "model"),
        ('{"type":"reasoning","role":"user"}', "reasoning", "model"),
        ('{"id":"x"}', "item_reference", "model"),
        ('{"id":null}', "item_reference", "model"),
        ('{"id":"x","type":""}', "item_reference", "model"),
        ('{"type":"item_reference"}', "item_reference", "model"),
        ('{"type":5,"role":[]}', "", "model"),
        ("{}", "", "model"),
        ("5", "", "model"),
        ('"item"', "", "model"),
        ('{"type":"hologram_call"}', "", "model"),
        ('{"type":"hologram_call_output"}', "", "client"),
        ('{"type":"tool_search_output","call_id":"c"}', "tool_search_output", "client"),
        ('{"type":"tool_search_output","call_id":null}', "tool_search_output", "model"),
        ('{"type":"tool_search_output"}', "tool_search_output", "model"),
    ],
)
def test_kinds(literal: str, kind: str, made_by: str) -> None:
    """An item's row is found by its type and role, however they are written."""
    item = item_of(literal.encode())
    assert (item.kind.label, item.kind.made_by) == (kind, made_by)


def test_members_of_an_item() -> None:
    """An item tells its members raw, as text, and as items of their own."""
    item = item_of(json.dumps({"a": "x", "b": None, "caller": {"caller_id": "c"}, "n": 1}).encode())
    assert (item.raw("a"), item.raw("b"), item.raw("z"), item.raw("n")) == (b'"x"', None, None, b"1")
    assert (item.text("a"), item.text("b"), item.text("n")) == ("x", None, None)
    caller = item.member("caller")
    assert caller is not None
    assert text(caller, "caller_id") == "c"
    assert item.member("a") is item.member("z") is None
    assert item.array("a") is item.array("b") is item.array("z") is None
    array = item_of(b'{"content":[1]}').array("content")
    assert array is not None
    assert bytes(array) == b"[1]"


def test_spans_of_items() -> None:
    """Every item's place is known, white space around it or not."""
    body = b'{"input": [ {"a":1} ,{"b":2}, 3 ]}'
    array = _read(body).arrays[0]
    assert isinstance(array, Array)
    assert [body[start:end] for start, end in array.elements.spans] == [b'{"a":1}', b'{"b":2}', b"3"]


@pytest.mark.parametrize(
    ("more", "quick"),
    [
        (b'"text": "%b"' % (b"word " * 4_000_000), True),
        (b'"text": "%b", "other": 1' % (b"x" * 20_000_000), True),
        (b'"other": 1%b' % (b" " * 20_000_000), False),
        (b'"%b" \n: 1' % (b"k" * 20_000_000), False),
        (b'"nested": {"%b": 1}' % (b"k" * 20_000_000), False),
        (b'"%b": 1' % (b"k" * 100_000), True),
    ],
    ids=["words", "a long text", "white space", "a long key", "a long key within", "a key of 100 KB"],
)
def test_what_a_decoder_would_take_long_for(more: bytes, quick: bool) -> None:
    """A body of white space or of one key takes the slower reader, which lets others work, and finds the same."""
    body = b'{"input": [{"role": "user", "id": "msg_1"}], %b}' % more
    assert (glance(body) is not None) is quick
    found = _read(body)
    assert found.arrays[0].items[0].id == "msg_1"
    assert splice(body, found.cut({"input"})) == b"{%b}" % more
