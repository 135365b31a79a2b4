"""A body is read as spans, edited by cutting, and never encoded anew."""

import json

import pytest

from proxy.responses.body import document, lenient
from proxy.responses.body.document import Array, Document, Item, members_of, read
from proxy.responses.body.edits import Edit, cut_id, cut_members, splice
from proxy.responses.body.lenient import MalformedError, Span


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
    spans = [array.spans() for array in fast.arrays]
    monkeypatch.setattr(document, "_REFUSED", (Exception,))
    for name in ("_OBJECT", "_ELEMENTS", "_OBJECTS"):
        monkeypatch.setattr(document, name, None)
    slow = _read(body)
    assert slow.members == fast.members
    assert [
        (array.span, [{name: bytes(raw) for name, raw in item.fields.items()} for item in array.items])
        for array in slow.arrays
    ] == seen
    assert [array.spans() for array in slow.arrays] == spans


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
    ("body", "expected"),
    [
        (b'{"id":"x","a":1}', b'{"a":1}'),
        (b'{"type":"m","id":"x","a":1}', b'{"type":"m","a":1}'),
        (b'{ "type" : "m" , "n" : 1e400 , "id" : "x" , "a":1}', b'{ "type" : "m" , "n" : 1e400 , "a":1}'),
        (b'{"idx":"id","id":"x","a":1}', b'{"idx":"id","a":1}'),
        (b'{"type":"id","id":"x","a":1}', b'{"type":"id","a":1}'),
        (b'{"type":"m","id":"x"}', None),
        (b'{"a":{},"id":"x","b":1}', None),
        (b'{"id":"x","a":{"id":"y"}}', None),
        (b'{"id":"x","\\u0069d":"y"}', None),
        (b'{"id":null,"a":1}', None),
        (b'{"a":"\\"","id":"x","b":1}', None),
        (b"{}", None),
    ],
)
def test_the_short_way_to_an_id(body: bytes, expected: bytes | None) -> None:
    """An id among the first members is cut without a closer look; where one is needed, the short way says so."""
    edit = cut_id(body, Span(0, len(body)), plain=b"\\u006" not in body)
    assert (None if edit is None else splice(body, [edit])) == expected


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
    fields = document.objects(b"[" + body + b"]")[0]
    assert members_of(body, 0, fields) == lenient.members(body, 0)


def test_splice() -> None:
    """Without edits the body is the same object; edits at one place keep their order."""
    body = b"abc"
    assert splice(body, []) is body
    assert splice(body, [Edit(1, 2), Edit(3, 3, b"!"), Edit(1, 1, b"+")]) == b"a+c!"


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
    item = Item(document.objects(f"[{literal}]".encode())[0])
    assert (item.kind.label, item.kind.made_by) == (kind, made_by)


def test_members_of_an_item() -> None:
    """An item tells its members raw, as text, and as items of their own."""
    item = Item(document.objects(json.dumps([{"a": "x", "b": None, "caller": {"caller_id": "c"}, "n": 1}]).encode())[0])
    assert (item.raw("a"), item.raw("b"), item.raw("z"), item.raw("n")) == (b'"x"', None, None, b"1")
    assert (item.text("a"), item.text("b"), item.text("n")) == ("x", None, None)
    caller = item.member("caller")
    assert caller is not None
    assert caller.text("caller_id") == "c"
    assert item.member("a") is item.member("z") is None
    assert item.array("a") is item.array("b") is item.array("z") is None
    array = Item({"content": b"[1]"}).array("content")
    assert array is not None
    assert bytes(array) == b"[1]"


def test_spans_of_items() -> None:
    """Every item's place is known, white space around it or not."""
    body = b'{"input": [ {"a":1} ,{"b":2}, 3 ]}'
    array = _read(body).arrays[0]
    assert isinstance(array, Array)
    assert [body[span.start : span.end] for span in array.spans()] == [b'{"a":1}', b'{"b":2}', b"3"]
