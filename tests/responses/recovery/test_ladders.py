"""Each kind of refusal has its ladder, and what was refused is remembered once a later form was answered."""

import json
from typing import Any

import pytest

from proxy.responses.body.document import read
from proxy.responses.recovery.ladders import Situation, ids_of, label_of, learn, remedies
from proxy.responses.recovery.lessons import Lessons, LessonScope, digest
from proxy.responses.recovery.refusals import Refusal
from proxy.responses.rewrite.rewriter import Form, rewrite
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
IDS = frozenset({"rs_1"})


@pytest.mark.parametrize(
    ("refusal", "ladder"),
    [
        (Refusal("locked"), [("same", CAME)]),
        (Refusal("response"), [("same", CAME), ("portable", Form(portable=True)), TRIM]),
        (
            Refusal("item", IDS),
            [("portable", Form(portable=True)), ("repaired", Form(portable=True, without=IDS | {"rs_2"})), TRIM],
        ),
        (Refusal("pairing", IDS), [("repaired", Form(repaired=True, unpaired=IDS)), TRIM]),
        (Refusal("encrypted"), [("repaired", Form(no_blobs=True)), TRIM]),
        (
            Refusal("encrypted", IDS),
            [("repaired", Form(blobs=frozenset({b'"gAAAA"'}))), ("repaired", Form(no_blobs=True)), TRIM],
        ),
        (
            Refusal("encrypted", blob=("gAB", "D==")),
            [("repaired", Form(blobs=frozenset({b'"gABCD=="'}))), ("repaired", Form(no_blobs=True)), TRIM],
        ),
        (Refusal("encrypted", blob=("gAB", "X==")), [("repaired", Form(no_blobs=True)), TRIM]),
        (
            Refusal("encrypted", index=1),
            [("repaired", Form(blobs=frozenset({b'"gAAAA"'}))), ("repaired", Form(no_blobs=True)), TRIM],
        ),
        (Refusal("encrypted", index=99), [("repaired", Form(no_blobs=True)), TRIM]),
        (Refusal("container", IDS), [("repaired", Form(containers=IDS))]),
        (Refusal("envelope", field="status"), [("repaired", Form(no_envelope=True))]),
        (
            Refusal("field", index=0, field="status"),
            [("repaired", Form(refused=frozenset({("message:user", "status")})))],
        ),
        (
            Refusal("field", index=1, field="id", demanded=True),
            [("repaired", Form(demanded=frozenset({("reasoning", "id")})))],
        ),
        (
            Refusal("field", field="id", demanded=True),
            [("repaired", Form(demanded=frozenset({("reasoning", "id")})))],
        ),
        (Refusal("field", index=99, field="id"), []),
    ],
)
def test_ladders(refusal: Refusal, ladder: list[tuple[str, Form]]) -> None:
    """The gentlest form comes first, and a trim last."""
    assert _ladder(refusal) == ladder


def test_items_of_one_kind_share_their_fate() -> None:
    """A refusal names one id of all that are unknown: with it go the others of its kind that were sent."""
    azure = _situation(Form(portable=True, profile="azure"))
    assert _ladder(Refusal("item", IDS), azure)[1][1].without == {"rs_1", "rs_2"}
    assert _ladder(Refusal("item", frozenset({"elsewhere"})), azure)[1][1].without == {"elsewhere"}


def test_rungs_add_up() -> None:
    """What earlier refusals taught stays in the forms that follow."""
    form = Form(portable=True, without=frozenset({"a"}), unpaired=frozenset({"b"}), blobs=frozenset({b'"x"'}))
    situation = _situation(form)
    assert _ladder(Refusal("item", IDS), situation)[1][1].without == {"a", "rs_1", "rs_2"}
    assert _ladder(Refusal("pairing", IDS), situation)[0][1].unpaired == {"b", "rs_1"}
    assert _ladder(Refusal("encrypted", IDS), situation)[0][1].blobs == {b'"x"', b'"gAAAA"'}
    field = frozenset({("reasoning", "id")})
    given = _situation(Form(refused=field))
    assert _ladder(Refusal("field", field="id", demanded=True), given)[0][1] == Form(demanded=field)
    taken = _situation(Form(demanded=field))
    assert _ladder(Refusal("field", index=1, field="id"), taken)[0][1] == Form(refused=field)


@pytest.mark.parametrize("situation", [_situation(keep_last=0), _situation(side_route=True)])
def test_no_trim(situation: Situation) -> None:
    """A count, a compaction, and whoever does not want it, get no trim."""
    assert "fresh" not in [remedy for remedy, _ in _ladder(Refusal("item"), situation)]


def test_labels() -> None:
    """A field's item is found in what was sent; where none was named it is reasoning."""
    sent = _situation(Form(portable=True)).sent
    assert label_of(Refusal("field", index=0), sent) == "message:user"
    assert label_of(Refusal("field"), sent) == "reasoning"
    assert label_of(Refusal("field", index=6), sent) is None


def test_ids() -> None:
    """The ids of a request are its previous response's and its items'."""
    assert ids_of(_situation().document) == {"resp_1", "msg_1", "rs_1", "rs_2", "cmp_1", "msg_2"}
    document = read(b'{"input":[{"id":5},{"id":""},{"role":"user"}]}')
    assert document is not None
    assert ids_of(document) == set()


def _learnt(refusal: Refusal | None, answered: Form = CAME) -> Any:
    lessons = Lessons()
    situation = _situation()
    learn(LessonScope(lessons, "me"), situation.document, refusal, situation.sent, answered)
    return tuple(lessons.about("me", 0))


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
            Refusal("field", index=0, field="status"),
            CAME,
            (set(), set(), frozenset({("message:user", "status")}), frozenset()),
        ),
        (
            Refusal("field", field="id", demanded=True),
            CAME,
            (set(), set(), frozenset(), frozenset({("reasoning", "id")})),
        ),
        (Refusal("field", index=99, field="id"), CAME, NOTHING),
    ],
)
def test_learning(refusal: Refusal | None, answered: Form, learnt: Any) -> None:
    """Only what this request holds, and what the answered form did without, is remembered."""
    assert _learnt(refusal, answered) == learnt


def test_all_blobs_are_learnt() -> None:
    """Where all blobs had to go, all are remembered."""
    assert len(_learnt(Refusal("encrypted"), Form(no_blobs=True))[1]) == 3
