"""Each kind of refusal has its ladder, and what was refused is remembered once a later form was answered."""

import json
from typing import Any

import pytest

from proxy.responses.body.document import read
from proxy.responses.recovery.ladders import Situation, label_of, remedies
from proxy.responses.recovery.learning import ids_of, learn
from proxy.responses.recovery.lessons import Lessons, LessonScope, digest
from proxy.responses.recovery.refusals import Refusal
from proxy.responses.rewrite.form import Form
from proxy.responses.rewrite.rewriter import rewrite
from tests.support.samples import PINNED, REASONING, SAID, USER

CAME = Form()
ITEMS = [
    {**USER, "id": "msg_1"},
    {**REASONING, "id": "rs_1"},
    {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "gABCD=="},
    PINNED["compaction"],
    {**SAID, "id": "msg_2"},
    USER,
]


def _situation(form: Form = CAME, keep_last: int = 3, *, side_route: bool = False) -> Situation:
    document = read(json.dumps({"input": ITEMS, "previous_response_id": "resp_1"}).encode())
    assert document is not None
    return Situation(document, form, rewrite(document, form), keep_last, side_route)


def _ladder(refusal: Refusal, situation: Situation | None = None) -> list[tuple[str, Form]]:
    return [(remedy, form) for remedy, form in remedies(refusal, situation or _situation())]


TRIM = ("fresh", Form(portable=True, keep_last=3))
BARE = ("repaired", Form(no_blobs=True, no_reasoning=True))
IDS = frozenset({"rs_1"})


@pytest.mark.parametrize(
    ("refusal", "ladder"),
    [
        (Refusal("locked"), [("same", CAME)]),
        (Refusal("response"), [("same", CAME), ("portable", Form(portable=True)), TRIM]),
        (
            Refusal("item", IDS),
            [
                ("portable", Form(portable=True)),
                ("repaired", Form(portable=True, no_ids=True)),
                ("repaired", Form(portable=True, without=IDS | {"rs_2"})),
                ("same", CAME),
                TRIM,
            ],
        ),
        (Refusal("pairing", IDS), [("repaired", Form(repaired=True, unpaired=IDS)), TRIM]),
        (Refusal("encrypted"), [("repaired", Form(no_blobs=True)), BARE, TRIM]),
        (
            Refusal("encrypted", IDS),
            [("repaired", Form(blobs=frozenset({b'"gAAAA"'}))), ("repaired", Form(no_blobs=True)), BARE, TRIM],
        ),
        (
            Refusal("encrypted", blob=("gAB", "D==")),
            [("repaired", Form(blobs=frozenset({b'"gABCD=="'}))), ("repaired", Form(no_blobs=True)), BARE, TRIM],
        ),
        (Refusal("encrypted", blob=("gAB", "X==")), [("repaired", Form(no_blobs=True)), BARE, TRIM]),
        (
            Refusal("encrypted", place=1),
            [("repaired", Form(blobs=frozenset({b'"gAAAA"'}))), ("repaired", Form(no_blobs=True)), BARE, TRIM],
        ),
        (Refusal("encrypted", place=99), [("repaired", Form(no_blobs=True)), BARE, TRIM]),
        (Refusal("container", IDS), [("repaired", Form(containers=IDS))]),
        (Refusal("envelope", field="status"), [("repaired", Form(no_envelope=True))]),
        (
            Refusal("field", place=0, field="status"),
            [("repaired", Form(refused=frozenset({("message:user", "status")})))],
        ),
        (
            Refusal("field", place=1, field="id", demanded=True),
            [("repaired", Form(demanded=frozenset({("reasoning", "id")})))],
        ),
        (
            Refusal("field", field="id", demanded=True),
            [("repaired", Form(demanded=frozenset({("reasoning", "id")})))],
        ),
        (Refusal("field", place=99, field="id"), []),
    ],
)
def test_ladders(refusal: Refusal, ladder: list[tuple[str, Form]]) -> None:
    """The gentlest form comes first, and a trim last."""
    assert _ladder(refusal) == ladder


def test_items_of_one_kind_share_their_fate() -> None:
    """A refusal names one id of all that are unknown: with it go the others of its kind that were sent."""
    azure = _situation(Form(portable=True, profile="azure"))
    assert _ladder(Refusal("item", IDS), azure)[2][1].without == {"rs_1", "rs_2"}
    assert _ladder(Refusal("item", frozenset({"elsewhere"})), azure)[2][1].without == {"elsewhere"}


def test_rungs_add_up() -> None:
    """What earlier refusals taught stays in the forms that follow."""
    form = Form(portable=True, without=frozenset({"a"}), unpaired=frozenset({"b"}), blobs=frozenset({b'"x"'}))
    situation = _situation(form)
    assert _ladder(Refusal("item", IDS), situation)[2][1].without == {"a", "rs_1", "rs_2"}
    assert _ladder(Refusal("pairing", IDS), situation)[0][1].unpaired == {"b", "rs_1"}
    assert _ladder(Refusal("encrypted", IDS), situation)[0][1].blobs == {b'"x"', b'"gAAAA"'}
    field = frozenset({("reasoning", "id")})
    given = _situation(Form(refused=field))
    assert _ladder(Refusal("field", field="id", demanded=True), given)[0][1] == Form(demanded=field)
    taken = _situation(Form(demanded=field))
    assert _ladder(Refusal("field", place=1, field="id"), taken)[0][1] == Form(refused=field)


def test_what_is_demanded_is_given_back() -> None:
    """Where upstream demands a field that was taken out, the field comes back, and then the request as it arrived."""
    portable = _situation(Form(portable=True))
    demanded = Form(portable=True, demanded=frozenset({("reasoning", "id")}))
    assert _ladder(Refusal("field", field="id", demanded=True), portable) == [
        ("repaired", demanded),
        ("repaired", Form()),
    ]


def _situation_of(items: list[Any], form: Form = CAME) -> Situation:
    document = read(json.dumps({"input": items}).encode())
    assert document is not None
    return Situation(document, form, rewrite(document, form), 3, side_route=False)


def test_doubled_ids_go_before_an_item_does() -> None:
    """Two different items that a client gave one id both stay, without ids; one that is there twice is dropped."""
    other = {**SAID, "id": "msg_1", "content": [{"type": "output_text", "text": "another", "annotations": []}]}
    same = _situation_of([USER, {**SAID, "id": "msg_1"}, USER, {**SAID, "id": "msg_1"}, USER])
    assert _ladder(Refusal("pairing", frozenset({"msg_1"})), same)[0][1].repaired
    situation = _situation_of([USER, {**SAID, "id": "msg_1"}, USER, other, USER])
    ladder = _ladder(Refusal("pairing", frozenset({"msg_1"})), situation)
    assert ladder[0] == ("repaired", Form(no_ids=True))
    assert rewrite(situation.document, ladder[0][1]).lossy == set()
    assert _ladder(Refusal("pairing", frozenset({"msg_2"})), situation)[0][1].repaired


def test_a_missing_summary_is_given_first() -> None:
    """Where a reasoning has no summary, it gets one before a blob is taken for unreadable, unless one was named."""
    bare = {key: value for key, value in REASONING.items() if key != "summary"}
    situation = _situation_of([USER, bare, SAID, USER])
    summary = Form(demanded=frozenset({("reasoning", "summary")}))
    assert _ladder(Refusal("encrypted"), situation)[0] == ("repaired", summary)
    assert ("repaired", summary) not in _ladder(Refusal("encrypted", IDS), situation)
    assert ("repaired", summary) not in _ladder(Refusal("encrypted"), _situation_of([USER, REASONING, SAID, USER]))


def test_a_hosted_call_that_is_refused_becomes_a_note() -> None:
    """A search whose shape or id is refused goes on as a note with what was searched; a function's call does not."""
    search = {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "ferry"}}
    situation = _situation_of([USER, search, SAID, *_call("a"), USER])
    last = _ladder(Refusal("field", place=1, field="id", demanded=True), situation)[-1][1]
    sent = rewrite(situation.document, last)
    assert b"web_search_call]" in sent.body
    assert b"ferry" in sent.body
    assert b'"type": "web_search_call"' not in sent.body
    assert (sent.repaired["note"], sent.lossy) == (1, {"note"})
    assert len(_ladder(Refusal("field", place=3, field="id", demanded=True), situation)) == 1


@pytest.mark.parametrize(
    ("action", "left"),
    [
        ('{"type": "find_in_page", "query": "x", "url": "u"}', '{"type": "find_in_page", "url": "u"}'),
        ('{"query": 1e400}', "{}"),
        ('{"type": "search"}', '{"type": "search"}'),
        ('"query"', '"query"'),
    ],
)
def test_a_field_of_a_nested_object_is_taken_out(action: str, left: str) -> None:
    """Of an object within an item the refused field goes, and every other byte of it stays."""
    call = b'{"type": "web_search_call", "action": %s, "status": "completed"}' % action.encode()
    document = read(b'{"input": [%s, {"role": "user"}]}' % call)
    assert document is not None
    sent = rewrite(document, Form(refused=frozenset({("web_search_call", "action.query")})))
    assert left in sent.body.decode()
    assert json.loads(sent.body)["input"][0]["status"] == "completed"
    assert (sent.body == document.body) == (left == action)
    assert sent.lossy == set()


BLOB_PART = '{"type": "encrypted_content", "encrypted_content": "gAAAA"}'


@pytest.mark.parametrize(
    ("item", "left"),
    [
        ('{"type": "agent_message", "content": [%s, {"type": "input_text", "text": "1e400"}]}', True),
        ('{"type": "agent_message", "content": [%s]}', False),
        ('{"type": "function_call_output", "call_id": "a", "output": [{"type": "input_text", "text": "x"},%s]}', True),
    ],
)
def test_blobs_in_parts(item: str, left: bool) -> None:
    """Encrypted parts go from messages of agents and from outputs; a message of nothing else goes with them."""
    document = read(b'{"input": [%s, {"role": "user", "content": "x"}]}' % item.replace("%s", BLOB_PART).encode())
    assert document is not None
    sent = rewrite(document, Form(no_blobs=True))
    assert b"encrypted_content" not in sent.body
    assert len(json.loads(sent.body)["input"]) == 1 + left
    assert (sent.removed["encrypted_content"], sent.lossy) == (1, {"encrypted_content"})


def _call(call_id: str) -> list[dict[str, Any]]:
    return [
        {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": call_id, "output": "x"},
    ]


@pytest.mark.parametrize(
    ("call_ids", "renamed", "lossy"),
    [
        (["a", "b"], [], set()),
        (["a", "a"], [1], {"call_id"}),
        (["a", "b", "a", "a"], [2, 3], {"call_id"}),
        (["x" * 64], [], set()),
        (["x" * 65, "a"], [0], set()),
    ],
)
def test_call_ids_are_renamed_at_both_ends(call_ids: list[str], renamed: list[int], lossy: set[str]) -> None:
    """A call id that is doubled or too long is replaced in its call and its output, the same way on every turn."""
    items = [item for call_id in call_ids for item in _call(call_id)]
    sent = rewrite(_situation_of([USER, *items]).document, Form(repaired=True))
    found = [item["call_id"] for item in json.loads(sent.body)["input"] if "call_id" in item]
    assert found[::2] == found[1::2]
    assert [place for place, call_id in enumerate(found[::2]) if call_id != call_ids[place]] == renamed
    assert len(set(found)) == len(call_ids)
    assert (sent.lossy, sent.repaired.get("call_id", 0)) == (lossy, len(renamed))
    longer = rewrite(_situation_of([USER, *items, USER]).document, Form(repaired=True))
    assert [item.get("call_id") for item in json.loads(longer.body)["input"] if "call_id" in item] == found


def test_a_second_output_of_a_call_becomes_a_note() -> None:
    """Of two outputs of one call the first stays, and the other is told as text."""
    sent = rewrite(_situation_of([USER, *_call("a"), _call("a")[1]]).document, Form(repaired=True))
    assert [item.get("type") for item in json.loads(sent.body)["input"]].count("function_call_output") == 1
    assert sent.repaired["orphan_output"] == 1


def test_a_field_refused_of_a_second_kind_goes_from_all() -> None:
    """A field that was refused of one kind of item, and then of another, goes from every kind that has it."""
    items = [{**USER, "x": 1}, {**SAID, "x": 1}, {**REASONING, "x": 1}, SAID]
    situation = _situation_of(items, Form(refused=frozenset({("message:user", "x")})))
    [(_, following)] = _ladder(Refusal("field", place=1, field="x"), situation)
    assert following.refused == {(label, "x") for label in ("message:user", "message:assistant", "reasoning")}
    assert b'"x"' not in rewrite(situation.document, following).body


@pytest.mark.parametrize(("index", "field", "count"), [(1, "content", 1), (4, "content", 0), (1, "action", 0)])
def test_what_most_items_are_made_of_stays(index: int, field: str, count: int) -> None:
    """Readable content that upstream refuses goes from reasoning, and from nothing else; so with an image's action."""
    assert len(_ladder(Refusal("field", place=index, field=field))) == count


def test_ids_that_pair_are_not_tried_without() -> None:
    """Where an id pairs a call with its output, no attempt is spent on the ids of the other turns."""
    situation = _situation_of([USER, PINNED["computer_call"], USER], Form(portable=True))
    assert not any(form.no_ids for _, form in _ladder(Refusal("item", IDS), situation))


def test_without_ids_or_reasoning() -> None:
    """Without ids a turn with a signed or pairing id keeps that one only; without reasoning none of it is left."""
    document = _situation().document
    bare = rewrite(document, Form(profile="azure", portable=True, no_ids=True))
    assert [id_ for id_ in (b"msg_1", b"rs_1", b"rs_2", b"msg_2") if id_ in bare.body] == []
    assert b'"reasoning"' in bare.body
    assert bare.lossy == set()
    gone = rewrite(document, Form(portable=True, no_reasoning=True))
    assert b"reasoning" not in gone.body
    assert "reasoning" in gone.lossy


@pytest.mark.parametrize("situation", [_situation(keep_last=0), _situation(side_route=True)])
def test_no_trim(situation: Situation) -> None:
    """A count, a compaction, and whoever does not want it, get no trim."""
    assert "fresh" not in [remedy for remedy, _ in _ladder(Refusal("item"), situation)]


def test_labels() -> None:
    """A field's item is found in what was sent; where none was named it is reasoning."""
    sent = _situation(Form(portable=True)).sent
    assert label_of(Refusal("field", place=0), sent) == "message:user"
    assert label_of(Refusal("field"), sent) == "reasoning"
    assert label_of(Refusal("field", place=6), sent) is None


def test_ids() -> None:
    """The ids of a request are its previous response's and its items'."""
    assert ids_of(_situation().document) == {"resp_1", "msg_1", "rs_1", "rs_2", "cmp_1", "msg_2"}
    document = read(b'{"input":[{"id":5},{"id":""},{"role":"user"}]}')
    assert document is not None
    assert ids_of(document) == set()


def _learnt(refusal: Refusal | None, answered: Form = CAME) -> Any:
    lessons = Lessons()
    situation = _situation()
    learn(LessonScope(lessons, "me"), refusal, situation, answered)
    return tuple(lessons.about("me", 0))[:4]


NOTHING: tuple[Any, ...] = (set(), set(), frozenset(), frozenset())


@pytest.mark.parametrize(
    ("refusal", "answered", "learnt"),
    [
        (None, CAME, NOTHING),
        (Refusal("item", frozenset({"rs_1", "elsewhere"})), CAME, ({"rs_1"}, *NOTHING[1:])),
        (Refusal("item"), CAME, NOTHING),
        (Refusal("response"), CAME, ({"resp_1"}, *NOTHING[1:])),
        (Refusal("response", frozenset({"resp_1"})), CAME, ({"resp_1"}, *NOTHING[1:])),
        (Refusal("pairing", IDS), CAME, NOTHING),
        (
            Refusal("encrypted"),
            Form(blobs=frozenset({b'"gAAAA"'})),
            (set(), {digest(b'"gAAAA"')}, frozenset(), frozenset()),
        ),
        (Refusal("encrypted"), CAME, NOTHING),
        (
            Refusal("field", place=0, field="status"),
            CAME,
            (set(), set(), frozenset({("message:user", "status")}), frozenset()),
        ),
        (
            Refusal("field", field="id", demanded=True),
            CAME,
            (set(), set(), frozenset(), frozenset({("reasoning", "id")})),
        ),
        (Refusal("field", place=99, field="id"), CAME, NOTHING),
    ],
)
def test_learning(refusal: Refusal | None, answered: Form, learnt: Any) -> None:
    """Only what this request holds, and what the answered form did without, is remembered."""
    assert _learnt(refusal, answered) == learnt


def test_all_blobs_are_learnt() -> None:
    """Where all blobs had to go, all are remembered."""
    assert len(_learnt(Refusal("encrypted"), Form(no_blobs=True))[1]) == 3
