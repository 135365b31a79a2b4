"""What a compaction stood for is remembered, and takes its place where upstream cannot read it."""

import json
from typing import Any

import pytest

from proxy.responses.history.compaction import expanded, last_compaction, name_of_compaction
from proxy.responses.history.compaction_record import before_compaction
from proxy.responses.history.recall import Recalled
from proxy.responses.history.recording import ELSEWHERE, Made, Remembered, RequestRecord
from proxy.responses.policy import Policy
from proxy.responses.recovery.lessons import Lessons, LessonScope
from proxy.responses.steps import Forward, Recall, Relay
from tests.responses.history.test_recall import NEXT, NOTHING, SAID, USER, body, document
from tests.responses.test_exchange import refused
from tests.support.driven import Driven

BLOB = b'"gAAAcompact=="'
COMPACTION = b'{"type":"compaction","id":"cmp_0123456789","encrypted_content":%b}' % BLOB
EMPTY = b'{"type":"compaction","id":"cmp_1","encrypted_content":null}'
THOUGHT = b'{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAAthought=="}'
TRIGGER = b'{"type":"compaction_trigger"}'
HISTORY = (USER, THOUGHT, SAID)
NAME = name_of_compaction(BLOB)
ASKED = Recall(NAME, ())
UNREAD = refused("The encrypted content for item cmp_0123456789 could not be verified. Reason: Encrypted content x.")
AUTO, RECOVER = Policy(recalls=True), Policy(mode="recover", recalls=True)
BARE = b'{"type":"message","role":"assistant","content":[{"type":"output_text","text":"hi"}]}'


def made(*output: bytes) -> Made:
    """A response with this output."""
    return Made("resp_2", True, False, True, output)


def test_what_is_remembered() -> None:
    """What stood in front of a compaction is remembered under the response, and found by the compaction's blob."""
    before, found = before_compaction(RequestRecord("resp_1", (NEXT, TRIGGER)), made(SAID, COMPACTION, SAID))
    assert before == Remembered("before resp_2", "resp_1", (NEXT, SAID))
    assert found == Remembered(NAME, "before resp_2", ())


def test_what_a_client_said_is_not_remembered_twice() -> None:
    """The messages that `/compact` repeats in its output are those of its input."""
    before, _ = before_compaction(RequestRecord(None, (USER, SAID)), made(USER, COMPACTION))
    assert before.items == (USER, SAID)


@pytest.mark.parametrize(
    ("previous", "output"), [("resp_1", (SAID,)), (ELSEWHERE, (COMPACTION,)), (None, ()), (None, (EMPTY,))]
)
def test_what_is_not_remembered(previous: str | None, output: tuple[bytes, ...]) -> None:
    """Without a compaction there is nothing to remember, nor where only upstream has what it stands for."""
    assert before_compaction(RequestRecord(previous, (USER,)), made(*output)) == ()


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ((COMPACTION, NEXT), (*HISTORY, NEXT)),
        ((USER, COMPACTION, NEXT), (*HISTORY, NEXT)),
        ((USER, THOUGHT, SAID, COMPACTION, NEXT), (*HISTORY, NEXT)),
        ((BARE, NEXT, COMPACTION, USER), (NEXT, *HISTORY, USER)),
        ((COMPACTION,), HISTORY),
    ],
)
def test_it_takes_the_place(sent: tuple[bytes, ...], expected: tuple[bytes, ...]) -> None:
    """Its history stands where it stood, byte for byte; what also stands in front of it stands once."""
    came = document(body(*sent, parent=False))
    last = last_compaction(came)
    assert last is not None
    done = expanded(came, last, HISTORY)
    assert done.body == body(*expected, parent=False)
    assert done.blobs == {BLOB, b'"gAAAthought=="'}


@pytest.mark.parametrize("request_", [b'{"input":"x"}', b"{}", body(NEXT), b'{"input":[],"input":[]}', body(EMPTY)])
def test_no_compaction(request_: bytes) -> None:
    """A request may have none, or one that holds nothing."""
    assert last_compaction(document(request_)) is None


def begun(policy: Policy, *items: bytes, scope: LessonScope | None = None) -> tuple[Driven, Any]:
    """An exchange of a request with these items, and its first step."""
    exchange = Driven(body(*items, parent=False), policy, scope=scope)
    return exchange, exchange.start()


@pytest.mark.parametrize("policy", [AUTO, RECOVER])
def test_a_refusal_is_answered_with_the_history(policy: Policy) -> None:
    """After the refusal of its blob it is replaced, with no blob of its history; the next turn needs no refusal."""
    lessons = Lessons()
    exchange, step = begun(policy, COMPACTION, NEXT, scope=LessonScope(lessons, "me"))
    assert step == Forward(body(COMPACTION, NEXT, parent=False))
    assert exchange.receive(400, UNREAD) == ASKED
    step = exchange.recalled(Recalled(HISTORY, NOTHING))
    assert json.loads(step.body)["input"] == [json.loads(item) for item in (USER, BARE, NEXT)]
    told = exchange.settle(200)
    assert (told.action, told.fidelity, told.store, told.attempts) == ("recovered", "lossy", "hit", 2)
    assert (told.removed["compaction"], told.removed["encrypted_content"]) == (1, 1)
    record = exchange.request_record()
    assert record is not None
    assert record.items == (COMPACTION, NEXT)  # as the client sent it
    following, step = begun(policy, COMPACTION, NEXT, scope=LessonScope(lessons, "me"))
    assert step == ASKED
    assert following.recalled(Recalled(HISTORY, NOTHING)).body == body(USER, BARE, NEXT, parent=False)
    assert following.settle(200).attempts == 1


def test_without_thoughts_nothing_is_lost() -> None:
    """Where nothing in the history is encrypted, the model sees all of it."""
    exchange, _ = begun(AUTO, COMPACTION, NEXT)
    exchange.receive(400, UNREAD)
    exchange.recalled(Recalled((USER, SAID), NOTHING))
    assert exchange.settle(200).fidelity == "lossless"


@pytest.mark.parametrize(("found", "outcome"), [(Recalled(None, NOTHING), "miss"), (None, "down")])
def test_what_the_store_does_not_know_is_lost(found: Recalled | None, outcome: str) -> None:
    """As without a store: the compaction goes, and the answer says so."""
    exchange, _ = begun(AUTO, USER, COMPACTION, NEXT)
    exchange.receive(400, UNREAD)
    step = exchange.recalled(found)
    assert step.body == body(USER, NEXT, parent=False)
    told = exchange.settle(200)
    assert (told.fidelity, told.removed, told.store) == ("lossy", {"compaction": 1}, outcome)


def test_broken_history() -> None:
    """What is no JSON stands for nothing."""
    exchange, _ = begun(AUTO, USER, COMPACTION, NEXT)
    exchange.receive(400, UNREAD)
    assert exchange.recalled(Recalled((b"{",), NOTHING)).body == body(USER, NEXT, parent=False)


def test_an_earlier_compaction_is_the_loss_that_it_was() -> None:
    """A compaction within the history of the last one is not asked for."""
    exchange, _ = begun(AUTO, COMPACTION, NEXT)
    exchange.receive(400, UNREAD)
    older = COMPACTION.replace(b"gAAAcompact", b"gAAAolder")
    step = exchange.recalled(Recalled((older, USER, SAID), NOTHING))
    assert step.body == body(USER, BARE, NEXT, parent=False)
    told = exchange.settle(200)
    assert (told.fidelity, told.removed["compaction"]) == ("lossy", 2)


def test_what_upstream_reads_stays() -> None:
    """A compaction that nobody refused is not looked for, and after the last attempt none is."""
    exchange, step = begun(AUTO, COMPACTION, NEXT)
    assert isinstance(step, Forward)
    assert exchange.settle(200).store is None
    exchange, _ = begun(Policy(recalls=True, max_recoveries=0), COMPACTION, NEXT)
    assert exchange.receive(400, UNREAD) == Relay()
