"""The table of an input holds what the rules decide by, and says where ids stand only where that is certain."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from proxy.responses.body import slices, table
from proxy.responses.body.document import read
from proxy.responses.body.edits import splice
from proxy.responses.body.item import ABSENT
from proxy.responses.body.table import Array, item_of
from proxy.responses.rewrite.form import Form
from proxy.responses.rewrite.rewriter import Rewrite, rewrite
from tests.support import samples
from tests.support.lenient_reading import only_leniently
from tests.support.samples import PLAIN, REASONING, SAID, USER, Item

COMPACT = (",", ":")
SPACED = (", ", ": ")


def _array(body: bytes) -> Array:
    return Array(body, (0, len(body)))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'[{"id":"x","a":1}]', b'[{"a":1}]'),
        (b'[{"type":"m","id":"x","a":1}]', b'[{"type":"m","a":1}]'),
        (b'[{"type":"m","id":"x"}]', b'[{"type":"m"}]'),
        (b'[{"a":{"b":[]},"id":"x","b":1}]', b'[{"a":{"b":[]},"b":1}]'),
        (b'[{ "type" : "m" , "n" : 1e400 , "id" : "x" , "a":1}]', b'[{ "type" : "m" , "n" : 1e400 , "a":1}]'),
        (b'[{"a":"\\"id\\"","id":"x","b":1}]', b'[{"a":"\\"id\\"","b":1}]'),
        (b'[{"id":"x","a":1},{"a":2},{"id":"y","a":3}]', b'[{"a":1},{"a":2},{"a":3}]'),
        (
            b'[{"id":"x","a":1},{"id":"y","a":{"id":"z"}},{"id":"w","a":3}]',
            b'[{"a":1},{"id":"y","a":{"id":"z"}},{"a":3}]',
        ),
        (b'[{"a":{"id":"z"}},{"id":"w","a":3}]', b'[{"a":{"id":"z"}},{"a":3}]'),
        (b'[{"a":["id"]},{"id":"w","a":3}]', b'[{"a":["id"]},{"a":3}]'),
        (b'[{"id":"x" }]', None),
        (b'[{"id":"x"}]', None),
        (b'[{"type":"m", "id":"x"}]', None),
        (b'[{"id":"x","a":{"id":"y"}}]', None),
        (b'[{"id":"x","id":"y"}]', None),
        (b'[{"id":"x","\\u0069d":"y"}]', None),
        (b'[{"\\u0069d":"y","a":1},{"x":"id","b":2}]', None),
        (b'[{"x\\"id":"y","a":1}]', None),
        (b'[{"id":null,"a":1}]', None),
        (b'[{"id":"a\\"b","a":1}]', None),
        (b'["id",{"a":"id"}]', None),
        (b"[{}]", None),
    ],
)  # fmt: skip
def test_where_ids_stand(body: bytes, expected: bytes | None) -> None:
    """An id is taken out without a closer look where it is certain to be the item's; other items are left to one."""
    edits = _array(body).id_edits.values()
    assert (splice(body, edits) if edits else None) == expected


_ids = st.sampled_from([None, "a_1", 'b"\\', "é", "id"])
_pairs = [[PLAIN[kind], PLAIN[f"{kind}_output"]] for kind in ("function_call", "custom_tool_call", "shell_call")]
_single = [[item] for kind, item in PLAIN.items() if "call" not in kind and kind != "reasoning"]
_turns = st.sampled_from([*_pairs, *_single, [REASONING, SAID], [REASONING, REASONING, *_pairs[0]], [USER], [{"a": 1}]])


@st.composite
def _named(draw: st.DrawFn, item: Item) -> Item:
    """The item with an id, or a field too many, somewhere among its members; or with an id within."""
    members = list(item.items())
    extra = ("created_by", draw(st.sampled_from([None, None, None, "x"])))
    within = ("metadata", draw(st.sampled_from([None, None, {"id": "x"}, ["id"]])))
    for name, value in (("id", draw(_ids)), extra, within):
        if value is not None:
            members.insert(draw(st.integers(0, len(members))), (name, value))
    return dict(members)


@st.composite
def _bodies(draw: st.DrawFn) -> bytes:
    turns = draw(st.lists(_turns, max_size=6))
    items = [draw(_named(item)) for turn in [[USER], *turns, [USER]] for item in turn]
    tops: list[Item] = [{}, {"previous_response_id": "resp_1"}, {"previous_response_id": None}, {"conversation": None}]
    payload = {"model": "m", "input": items, **draw(st.sampled_from(tops))}
    separators = draw(st.sampled_from([COMPACT, COMPACT, SPACED]))
    body = json.dumps(payload, separators=separators, ensure_ascii=False).encode()
    places = [(b"", b""), (b'"id"', b'"\\u0069d"'), (b'"id":', b'"id":"twice","id":'), (b'"id":', b'"x\\"id":1,"id":')]
    return body.replace(*draw(st.sampled_from(places)), draw(st.sampled_from([1, -1])))


def _told(sent: Rewrite) -> tuple[Any, ...]:
    told = dict(sent.removed), dict(sent.repaired), sent.lossy, sent.answerable, sent.stands_alone
    return sent.body, *told, [*sent.ids_taken()]


def _portable(body: bytes) -> Rewrite:
    document = read(body)
    assert document is not None
    return rewrite(document, Form(portable=True))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(_bodies())
def test_a_closer_look_finds_the_same(body: bytes) -> None:
    """However a body is written and read, the same is made of it, to the byte and to the count."""
    quick = _portable(body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Array, "id_edits", {})
        closer = _portable(body)
        only_leniently(patch)
        slow = _portable(body)
    assert _told(quick) == _told(closer) == _told(slow)
    assert (quick.body is body) == (closer.body is body)


def test_columns() -> None:
    """A member that is absent is told from one that is null, and both from one that holds something."""
    absent, null, held = (item_of(json.dumps(item).encode()) for item in ({}, {"id": None, "status": None}, REASONING))
    assert (absent.id, absent.status is ABSENT, absent.has_blob) == (UNSET, True, False)
    assert (null.id, null.status is ABSENT) == (None, False)
    assert held.has_blob
    assert not item_of(b'{"encrypted_content":""}').has_blob


@pytest.mark.parametrize("name", ["kind", "place", "elements", "read"])
def test_names_of_our_own(name: str) -> None:
    """A member whose name is one of our attributes is a member like any other."""
    item = item_of(json.dumps({"type": "message", "role": "user", name: {"name": "reasoning"}}).encode())
    assert (item.kind.label, item.place) == ("message:user", 0)
    assert item.raw(name) == b'{"name": "reasoning"}'


@pytest.mark.interpreted
@pytest.mark.parametrize("separators", [COMPACT, SPACED])
@pytest.mark.parametrize("parts", [1, 2000])
def test_a_long_input_is_read_in_slices(
    separators: tuple[str, str], parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An input is read in slices that end between its items, wherever else it looks like that."""
    said = {**SAID, "content": [{"type": "output_text", "text": '},{"type":"x"'}] * parts}
    items = [{"id": f"msg_{place}", **said} if place % 3 else samples.output() for place in range(900 // parts + 9)]
    body = json.dumps(items, separators=separators).encode()
    whole = table._ITEMS.decode(body)
    monkeypatch.setattr(slices, "LONGEST", 3000)
    found = _array(body)
    assert [item.id for item in found.items] == [item.id for item in whole]
    assert [json.loads(item.json) for item in found.items] == items


@pytest.mark.interpreted
@pytest.mark.parametrize("odd", [b'{"id":5}', b'{"created_by":"x"}', b'{"a":"\\ud800"}', b"5"])
def test_an_odd_item_behind_many(odd: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the quick reader refuses in a later slice is read by the slower one, as a whole."""
    monkeypatch.setattr(slices, "LONGEST", 300)
    items = [json.dumps({"id": f"msg_{place}", **SAID}).encode() for place in range(50)]
    found = _array(b"[%b]" % b",".join([*items, odd, *items]))
    assert len(found.items) == 101
    assert found.items[50].json == odd
    assert [item.id for item in found.items[51:]] == [f"msg_{place}" for place in range(50)]


@pytest.mark.interpreted
def test_a_mark_is_found_where_two_searches_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is searched for in parts is found in each of them, and across two; not beyond the span."""
    monkeypatch.setattr(slices, "_AT_ONCE", 4)
    body = b"0123456789"
    for start in range(8):
        assert slices.holds(body, body[start : start + 3], (0, 10))
    assert not slices.holds(body, b"89", (0, 9))
    assert not slices.holds(body, b"01", (1, 10))
