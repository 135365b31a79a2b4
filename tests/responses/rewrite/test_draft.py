"""Marks on entries become edits of the body, once, at the end."""

import json
from typing import Any

from proxy.responses.body.document import read
from proxy.responses.body.edits import splice
from proxy.responses.rewrite.draft import Draft
from tests.support import samples
from tests.support.samples import IMAGE, REASONING, SAID, USER, Item


def _draft(items: list[Any]) -> tuple[bytes, Draft]:
    body = json.dumps({"input": items}).encode()
    document = read(body)
    assert document is not None
    return body, Draft(document.arrays[0])


def _sent(body: bytes, draft: Draft) -> Any:
    return json.loads(splice(body, draft.edits(body)))["input"]


def _json(item: Item) -> bytes:
    return json.dumps(item).encode()


def _taken(draft: Draft) -> list[tuple[str, str | None]]:
    return [(what, taken if isinstance(taken, str) else taken.text("id")) for what, taken in draft.changes.taken]


def test_no_marks() -> None:
    """Without marks there are no edits."""
    body, draft = _draft([USER, SAID])
    assert draft.edits(body) == []


def test_all_marks_at_once() -> None:
    """Items are dropped, replaced, cut, put into and added behind, all from the places they came at."""
    part = {"id": "p", "type": "output_text", "text": "t"}
    body, draft = _draft(
        [
            {"id": "x", "drop": 1},
            {"id": "rs", "type": "reasoning"},
            {**SAID, "content": [part, 5]},
            {"id": "y"},
            {"id": "a", "role": "user"},
        ]
    )
    first, reasoning, message, reference, last = draft.entries
    draft.drop(first, "trimmed")
    draft.cut(reasoning, "id", "item_id")
    reasoning.put = {**reasoning.put, "summary": b"[]"}
    message.cut_parts = frozenset({"id"})
    draft.replace(reference, _json(IMAGE), "image")
    draft.add_behind({reasoning: [b'{"one":1}', b'{"two":2}'], last: [b'{"three":3}']}, "placeholder")
    draft.cut(last, "id", "item_id")
    assert _sent(body, draft) == [
        {"type": "reasoning", "summary": []},
        {"one": 1},
        {"two": 2},
        {**SAID, "content": [{"type": "output_text", "text": "t"}, 5]},
        IMAGE,
        {"role": "user"},
        {"three": 3},
    ]
    assert dict(draft.removed) == {"trimmed": 1, "item_id": 2}
    assert dict(draft.repaired) == {"image": 1, "placeholder": 3}
    assert draft.lossy == {"trimmed", "image", "placeholder"}
    assert _taken(draft) == [("trimmed", "x"), ("item_id", "rs"), ("item_id", "a")]


def test_what_is_sent() -> None:
    """An entry is sent unless it was dropped."""
    _, draft = _draft([USER, SAID])
    draft.drop(draft.entries[0], "trimmed")
    assert [entry.sent for entry in draft.entries] == [False, True]


def test_dropping_everything() -> None:
    """Where all items go, nothing of them stays."""
    body, draft = _draft([USER, SAID, USER])
    for entry in draft.entries:
        draft.drop(entry, "trimmed")
    assert _sent(body, draft) == []


def test_additions_behind_a_dropped_tail() -> None:
    """What is added stands behind its entry, whatever goes behind that."""
    body, draft = _draft([USER, SAID, SAID])
    draft.add_behind({draft.entries[0]: [b'{"new":1}']}, "placeholder")
    draft.drop(draft.entries[2], "trimmed")
    draft.drop(draft.entries[3], "trimmed")
    assert _sent(body, draft) == [USER, {"new": 1}]


def test_turns() -> None:
    """A turn is what the model made between two items of the client, as it will be sent."""
    _, draft = _draft([SAID, REASONING, USER, USER, SAID, samples.output(), SAID, SAID])
    assert [len(turn.entries) for turn in draft.turns()] == [2, 1, 2]
    draft.drop(draft.entries[1], "reasoning")
    draft.entries[1].lost_reasoning = True
    draft.replace(draft.entries[6], _json(IMAGE), "image")
    assert [(len(turn.entries), turn.lost_reasoning) for turn in draft.turns()] == [(1, True), (1, False), (1, False)]
    assert len(draft.sent()) == 7
    assert list(_draft([USER])[1].turns()) == []


def test_an_id_and_members() -> None:
    """An id is cut wherever it stands, while another item gets a member."""
    body, draft = _draft([{"id": "x", "role": "user"}, {"role": "user", "id": "x"}, {"role": "user", "x": 1}])
    draft.cut_ids(draft.entries[:2])
    draft.entries[2].set("y", b"2")
    assert _sent(body, draft) == [{"role": "user"}, {"role": "user"}, {"role": "user", "x": 1, "y": 2}]


def test_content_that_is_no_list() -> None:
    """Parts are looked for in lists only, of every `content` that stands in the item."""
    body = b'{"input":[{"content":"x","content":[{"id":1}],"role":"user"}]}'
    document = read(body)
    assert document is not None
    draft = Draft(document.arrays[0])
    draft.entries[0].cut_parts = frozenset({"id"})
    assert splice(body, draft.edits(body)) == b'{"input":[{"content":"x","content":[{}],"role":"user"}]}'


def test_counting() -> None:
    """Stray fields are counted without the id of their item."""
    _, draft = _draft([{"id": "x", "role": "user", "object": 1}])
    draft.cut(draft.entries[0], "object", "envelope_field")
    assert (dict(draft.removed), _taken(draft)) == ({"envelope_field": 1}, [])
