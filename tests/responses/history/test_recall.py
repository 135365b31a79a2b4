"""What a store knows takes the place of references: by table, and as attempts of an exchange."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from proxy.events import LossyAnswer, Read, Refused, Removal, Removed
from proxy.report import RemovedName, Report
from proxy.responses.body.document import Document, read
from proxy.responses.history.recall import AGAIN, Recalled, resolve, wanted
from proxy.responses.policy import Policy
from proxy.responses.recovery.lessons import Lessons, LessonScope
from proxy.responses.steps import INLINE, Forward, Recall, Relay
from tests.responses.test_exchange import refused
from tests.support.driven import Driven
from tests.support.refusals import NO_PARENT
from tests.support.samples import Item, call, output

USER = b'{ "role":"user", "content" : "1e400 \\ud800" }'
SAID = b'{"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text","text":"hi"}]}'
CALL = b'{"type":"function_call","id":"fc_1","call_id":"call_1","name":"f","arguments":"{}"}'
NEXT = b'{"role":"user","content":"and?"}'
RESULT = b'{"type":"function_call_output","call_id":"call_1","output":"42"}'
REFERENCE = b'{"type":"item_reference","id":"msg_1"}'
HISTORY = (USER, SAID)
PARENT = b'"previous_response_id":"resp_1"'
RECALL = Recall("resp_1", ())
NOTHING: Mapping[str, bytes] = {}
STORE = Policy(mode="strip", recalls=True)
RECOVER = Policy(mode="recover", recalls=True)
OBSERVE = Policy(mode="observe", recalls=True)


def document(body: bytes) -> Document:
    """A body, read."""
    found = read(body)
    assert found is not None
    return found


LOOKS = 1 + len(AGAIN)


def body(*items: bytes, parent: bool = True) -> bytes:
    """A request for these items."""
    return b'{"model":"m",%b"input":[%b]}' % (PARENT + b"," if parent else b"", b",".join(items))


# What is asked for.


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (body(NEXT), Recall("resp_1", ())),
        (b'{%b,"input":"text"}' % PARENT, Recall("resp_1", ())),
        (body(NEXT, REFERENCE, REFERENCE, b'{"id":"rs_1"}', parent=False), Recall(None, ("msg_1", "rs_1"))),
        (body(SAID, REFERENCE, NEXT), Recall("resp_1", (), compares=True)),
        (body(SAID, REFERENCE, NEXT, parent=False), None),
        (body(NEXT, parent=False), None),
        (b'{"previous_response_id":null,"input":[]}', None),
        (b'{"previous_response_id":"","input":[]}', None),
        (b'{"previous_response_id":5,"input":[]}', None),
        (b'{"previous_response_id":"\\ud800","input":[{"id":"\xc3\xa4"}]}', None),
        (b'{"previous_response_id":"%b","input":[]}' % (b"x" * 257), None),
        (b"{%b}" % PARENT, None),
        (b'{%b,"input":null}' % PARENT, None),
        (b'{%b,"input":[],"input":[]}' % PARENT, None),
    ],
)
def test_what_is_asked_for(asked: bytes, expected: Recall | None) -> None:
    """A response and the references without an inline twin are asked for, where there is one input to put them into."""
    assert wanted(document(asked)) == expected


# What takes which place.


@pytest.mark.parametrize(
    ("asked", "items", "sent"),
    [
        (b'{ %b , "input" : [ %b ] , "x":1e400}' % (PARENT, NEXT), {}, b'{ "input" : [%b,%b, %b ] , "x":1e400}'),
        (b'{"input":[],%b}' % PARENT, {}, b'{"input":[%b,%b]}'),
        (b'{"input":[ ],%b}' % PARENT, {}, b'{"input":[%b,%b ]}'),
        (b'{"input":"",%b}' % PARENT, {}, b'{"input":[%b,%b]}'),
        (
            b'{%b,"input":"a \\ud800"}' % PARENT,
            {},
            b'{"input":[%b,%b,{"role":"user","content":"a \\ud800"}]}',
        ),
    ],
)
def test_the_history_stands_in_front(asked: bytes, items: dict[str, bytes], sent: bytes) -> None:
    """The history's bytes stand in front, a text is a user message, and all other bytes are as they came."""
    done = resolve(document(asked), Recall("resp_1", ()), Recalled(HISTORY, items))
    assert done.body == (sent % (*HISTORY, NEXT) if sent.count(b"%b") == 3 else sent % HISTORY)
    assert (done.history, done.missed, done.ids) == (2, False, (("previous_response_id", "resp_1"),))


def test_an_item_stands_where_its_reference_stood() -> None:
    """The first reference becomes the item's bytes, and what is not known stays as it came."""
    other = b'{"id" : "fc_1"}'
    asked = body(USER, REFERENCE, REFERENCE, other, NEXT, parent=False)
    done = resolve(document(asked), Recall(None, ("msg_1", "fc_1")), Recalled(None, {"msg_1": SAID}))
    assert done.body == body(USER, SAID, REFERENCE, other, NEXT, parent=False)
    assert (done.missed, done.ids) == (True, (("item_reference", "msg_1"),))


def test_an_item_of_the_history_comes_once() -> None:
    """A reference to an item of the history is left to the rule for references with a twin."""
    done = resolve(document(body(REFERENCE, NEXT)), Recall("resp_1", ("msg_1",)), Recalled(HISTORY, {"msg_1": SAID}))
    assert done.body == body(*HISTORY, REFERENCE, NEXT, parent=False)
    assert (done.missed, done.ids) == (False, (("previous_response_id", "resp_1"),))


ANONYMOUS = SAID.replace(b'"id":"msg_1",', b"")


@pytest.mark.parametrize(
    ("history", "items", "sent"),
    [
        (HISTORY, (USER, SAID, NEXT), None),
        (HISTORY, (USER, ANONYMOUS, NEXT), None),
        (HISTORY, (USER, ANONYMOUS.replace(b"hi", b"other"), NEXT), HISTORY),
        ((USER, CALL), (CALL, RESULT), (USER,)),
        ((USER, SAID, CALL), (b'{"type":"function_call","call_id":"call_1","name":"f","arguments":"{}"}', RESULT),
         (USER, SAID)),
        ((USER, CALL), (RESULT,), (USER, CALL)),
    ],
)  # fmt: skip
def test_nothing_comes_twice(history: Any, items: Any, sent: Any) -> None:
    """A conversation that is sent along is not repeated, and neither are the calls that come with their outputs."""
    done = resolve(document(body(*items)), Recall("resp_1", ()), Recalled(history, NOTHING))
    expected = body(*items) if sent is None else body(*sent, *items, parent=False)
    assert done.body == expected
    assert not done.missed


# As attempts.


def after(asked: bytes, policy: Policy, *found: Recalled | None, **options: Any) -> tuple[Driven, Forward]:
    """An exchange after its lookups in the store, and its first attempt."""
    exchange = Driven(asked, policy, **options)
    step = exchange.start()
    for one in found:
        assert isinstance(step, Recall)
        step = exchange.recalled(one)
    assert isinstance(step, Forward)
    return exchange, step


def inputs(step: Forward | Relay) -> list[Item]:
    """What is sent."""
    assert isinstance(step, Forward)
    sent = json.loads(step.body)
    assert "previous_response_id" not in sent
    found: list[Item] = sent["input"]
    return found


def test_a_known_response() -> None:
    """In `strip` the whole history is sent, portable, and nothing is lost."""
    exchange, step = after(body(NEXT), STORE, Recalled(HISTORY, NOTHING))
    assert step.body == body(USER, ANONYMOUS, NEXT, parent=False)
    report = exchange.settle(200)
    assert report == Report("rewritten", "lossless", {"previous_response_id": 1, "item_id": 1}, {}, 1, "hit")
    assert (b"x-unpinned-store", b"hit") in report.fields()
    assert exchange.events == [Read(1, 1)]


def test_a_known_item_alone() -> None:
    """A reference that was resolved to an item without labels counts as taken out, without a loss."""
    exchange, step = after(body(USER, REFERENCE, NEXT, parent=False), STORE, Recalled(None, {"msg_1": ANONYMOUS}))
    assert step.body == body(USER, ANONYMOUS, NEXT, parent=False)
    assert exchange.settle(200) == Report("rewritten", "lossless", {"item_reference": 1}, {}, 1, "hit")


def test_tool_outputs_alone() -> None:
    """Outputs whose calls only the store knows are answered: without it they could only have been sent as they came."""
    exchange, step = after(body(RESULT), STORE, Recalled((USER, CALL), NOTHING))
    assert [item.get("type") for item in inputs(step)] == [None, "function_call", "function_call_output"]
    assert exchange.settle(200).fidelity == "lossless"


def test_bare_reasoning_of_the_history() -> None:
    """Reasoning that only its server can read is left out of the history as well, and that is a loss."""
    history = (USER, b'{"type":"reasoning","id":"rs_1","summary":[]}', SAID)
    exchange, step = after(body(NEXT), STORE, Recalled(history, NOTHING))
    assert len(inputs(step)) == 3
    report = exchange.settle(200)
    assert (report.fidelity, report.removed["reasoning"], report.store) == ("lossy", 1, "hit")


def test_what_is_not_known_is_looked_for_again() -> None:
    """Another process may have been told of it just now; then it is left to upstream, which may know it."""
    exchange = Driven(body(NEXT), STORE)
    step = exchange.start()
    for delay in (0.0, *AGAIN):
        assert step == Recall("resp_1", (), delay)
        step = exchange.recalled(Recalled(None, NOTHING))
    assert step == Forward(body(NEXT))
    assert exchange.settle(200) == Report("passthrough", "exact", {}, {}, 1, "miss")


def test_what_neither_knows() -> None:
    """What the store does not know, and upstream refuses, goes on without its history: that is a loss."""
    exchange, _ = after(body(NEXT), STORE, *[Recalled(None, NOTHING)] * LOOKS)
    step = exchange.receive(400, b'{"error":{"message":"Previous response with id \'resp_1\' not found."}}')
    assert step == Forward(body(NEXT, parent=False))
    report = exchange.settle(200)
    assert (report.action, report.fidelity, report.store) == ("recovered", "lossy", "miss")


def test_what_is_found_at_the_second_look() -> None:
    """It is used as if it had been there at once."""
    exchange, _ = after(body(NEXT), STORE, Recalled(None, NOTHING), Recalled(HISTORY, NOTHING))
    assert exchange.settle(200).store == "hit"


@pytest.mark.parametrize(
    ("found", "store"), [(None, "down"), (Recalled((b"{",), NOTHING), "miss"), (Recalled((b"}",), NOTHING), "miss")]
)
def test_a_store_that_is_no_help(found: Recalled | None, store: str) -> None:
    """A store that is down, or gives what is no JSON, changes nothing but the report."""
    exchange, step = after(body(NEXT), STORE, *([found] if found is None else [found] * LOOKS))
    assert step.body == body(NEXT)
    assert exchange.settle(200).store == store


def test_half_of_it() -> None:
    """Where something is not known all goes as it came; when upstream refuses it what is known is used, with a loss."""
    asked = body(REFERENCE, NEXT)
    found = Recalled(None, {"msg_1": SAID})
    exchange, step = after(asked, STORE, *[found] * LOOKS)
    assert step == Forward(asked)
    step = exchange.receive(400, b'{"error":{"message":"Previous response with id \'resp_1\' not found."}}')
    assert inputs(step) == [json.loads(ANONYMOUS), json.loads(NEXT)]
    report = exchange.settle(200)
    assert (report.fidelity, report.store) == ("lossy", "miss")
    assert report.removed == {"item_reference": 1, "previous_response_id": 1, "item_id": 1}


def test_what_half_of_it_does_not_answer() -> None:
    """What cannot be answered with what is known goes as it came, its references whole."""
    asked = body(REFERENCE, RESULT)
    found = Recalled(None, {"msg_1": SAID})
    exchange, step = after(asked, STORE, *[found] * LOOKS)
    assert step.body == asked
    assert exchange.settle(400).removed == {}


@pytest.mark.parametrize("route", ["input_tokens", "compact"])
def test_side_routes(route: Any) -> None:
    """Counts and compactions are of the whole conversation."""
    _, step = after(body(NEXT), STORE, Recalled(HISTORY, NOTHING), route=route)
    assert step.body == body(USER, ANONYMOUS, NEXT, parent=False)


def test_observe() -> None:
    """`observe` looks once, sends what came, and says what would have been done."""
    exchange, step = after(body(NEXT), OBSERVE, Recalled(HISTORY, NOTHING))
    assert step.body == body(NEXT)
    told: dict[RemovedName, int] = {"previous_response_id": 1, "item_id": 1}
    assert exchange.settle(200) == Report("observed", "lossless", told, {}, 1, "hit")
    exchange, _ = after(body(NEXT), OBSERVE, Recalled(None, NOTHING))
    assert exchange.settle(200).store == "miss"


def test_ids_are_told_to_whoever_may_see_them() -> None:
    """What the store resolved is told like everything that is taken out."""
    exchange, _ = after(body(NEXT), Policy(mode="strip", recalls=True, tell_ids=True), Recalled(HISTORY, NOTHING))
    told = [Removed((Removal("previous_response_id", "resp_1"),)), Removed((Removal("item_id", "msg_1"),))]
    assert exchange.events == [told[0], Read(1, 1, ("resp_1",)), told[1]]


@pytest.mark.parametrize("recalls", [True, False])
def test_who_is_not_asked(recalls: bool) -> None:
    """Without a store, without anything to resolve, with a conversation, and for what is no JSON nobody is asked."""
    policy = Policy(mode="strip", recalls=recalls)
    conversation = b'{"conversation":"conv_1",%b,"input":[]}' % PARENT
    asked = [body(NEXT, parent=False), b"[", b"[]", b'{"input":[]}', conversation]
    for one in asked if recalls else [*asked, body(NEXT)]:
        assert isinstance(Driven(one, policy).start(), Forward)
    dropping = Policy(mode="strip", recalls=recalls, drop_conversation=True)
    assert isinstance(Driven(conversation, dropping).start(), Recall) is recalls


def test_a_conversation_that_comes_along() -> None:
    """A whole conversation with the name of its last response is looked up, and sent once."""
    whole = body(USER, SAID, NEXT)
    exchange, step = after(whole, STORE, Recalled(HISTORY, NOTHING))
    assert step.body == body(USER, ANONYMOUS, NEXT, parent=False)
    report = exchange.settle(200)
    assert (report.fidelity, report.store, report.removed["previous_response_id"]) == ("lossless", "hit", 1)


def test_an_anonymous_conversation_that_comes_along() -> None:
    """It is looked up like any other: what it leaves out may be in the store."""
    plain = body(NEXT, ANONYMOUS, NEXT)
    exchange, step = after(plain, STORE, Recalled((NEXT, CALL, RESULT), NOTHING))
    assert len(inputs(step)) == 6
    assert exchange.settle(200).store == "hit"


class TestRecover:
    """The store is asked where upstream does not know."""

    def test_while_upstream_knows(self) -> None:
        """Nobody is asked, and nothing is said of the store."""
        exchange, step = after(body(NEXT), RECOVER)
        assert step.body == body(NEXT)
        assert exchange.settle(200) == Report()

    def test_when_upstream_does_not(self) -> None:
        """The refusal is answered with the whole history, and the next turn asks the store first."""
        lessons = Lessons()
        scope = LessonScope(lessons, "me")
        exchange, _ = after(body(NEXT), RECOVER, scope=scope)
        refusal = refused(NO_PARENT.replace("0a1b", "1"), code="previous_response_not_found")
        assert exchange.receive(400, refusal) == Recall("resp_1", ())
        assert exchange.recalled(Recalled(HISTORY, NOTHING)) == Forward(body(USER, ANONYMOUS, NEXT, parent=False))
        told: dict[RemovedName, int] = {"previous_response_id": 1, "item_id": 1}
        assert exchange.settle(200) == Report("recovered", "lossless", told, {}, 2, "hit")
        assert Refused(400, "response", "portable") in exchange.events
        assert not any(isinstance(event, LossyAnswer) for event in exchange.events)
        known = LessonScope(lessons, "me")
        exchange, step = after(body(NEXT), RECOVER, Recalled(HISTORY, NOTHING), scope=known)
        assert step.body == body(USER, ANONYMOUS, NEXT, parent=False)

    def test_azure_is_not_asked_again(self) -> None:
        """What the store knows needs no second look at upstream; what it does not know does."""
        policy = Policy(mode="recover", profile="azure", recalls=True)
        refusal = refused(NO_PARENT.replace("0a1b", "1"), code="previous_response_not_found")
        for found, delay in ((Recalled(HISTORY, NOTHING), 0.0), (None, 0.3)):
            exchange, _ = after(body(NEXT), policy)
            assert isinstance(exchange.receive(400, refusal), Recall)
            step = exchange.recalled(found)
            assert isinstance(step, Forward)
            assert step.delay == delay

    def test_other_refusals(self) -> None:
        """What a store cannot help with is not asked for, nor is anything after the last attempt."""
        exchange, _ = after(body(NEXT), RECOVER)
        assert exchange.receive(400, refused("The encrypted content gAA could not be verified.")) != RECALL
        exchange, _ = after(body(NEXT), RECOVER)
        assert exchange.receive(400, b"") == Relay()
        exchange, _ = after(body(NEXT), Policy(mode="recover", recalls=True, max_recoveries=0))
        assert exchange.receive(404, refused("Item with id 'msg_1' not found.", param="input")) == Relay()

    def test_refused_again(self) -> None:
        """The first refusal is relayed, and the report is of what was sent then."""
        exchange, _ = after(body(RESULT), Policy(mode="recover", recalls=True, max_recoveries=1))
        refusal = refused(NO_PARENT.replace("0a1b", "1"), code="previous_response_not_found")
        assert isinstance(exchange.receive(400, refusal), Recall)
        assert isinstance(exchange.recalled(Recalled((USER, CALL), NOTHING)), Forward)
        assert isinstance(exchange.receive(400, refusal), Relay)
        assert exchange.settle(400) == Report("unrecovered", "exact", {}, {}, 2, "hit")

    def test_refusals_of_the_history(self) -> None:
        """What is refused of the history is repaired in the history, and learnt."""
        lessons = Lessons()
        scope = LessonScope(lessons, "me")
        sealed = b'{"type":"reasoning","summary":[],"encrypted_content":"gAAAA"}'
        exchange, _ = after(body(NEXT), STORE, Recalled((USER, sealed, SAID), NOTHING), scope=scope)
        refusal = refused("The encrypted content gAA...AAA could not be verified.", code="invalid_encrypted_content")
        step = exchange.receive(400, refusal)
        assert len(inputs(step)) == 3
        assert exchange.settle(200).store == "hit"
        assert LessonScope(lessons, "me").facts.blobs


def test_the_samples_pair() -> None:
    """The items of these tests are those of the samples."""
    assert json.loads(CALL)["call_id"] == call()["call_id"] == output()["call_id"]


def test_nobody_was_asked() -> None:
    """Without a store nothing is looked up, not even after a refusal that a store could help with."""
    exchange = Driven(body(NEXT), Policy(mode="recover"))
    assert exchange.start().body == body(NEXT)
    refusal = refused(NO_PARENT.replace("0a1b", "1"), code="previous_response_not_found")
    assert exchange.receive(400, refusal) == Forward(body(NEXT, parent=False))


HELLO = b'{"role":"user","content":"hello"}'
THOUGHT = b'{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"g"}'


def test_a_known_history_costs_a_fraction() -> None:
    """A request stays on the event loop with a long history: no large body holds it up."""
    asked = body(NEXT)
    history = (HELLO, SAID.replace(b"hi", b"x" * 2 * INLINE), HELLO)
    exchange, _ = after(asked, STORE, Recalled(history, NOTHING))
    assert max(exchange.costs) < INLINE
    assert exchange.settle(200).store == "hit"


def test_a_history_for_the_slower_reader_is_read_beside() -> None:
    """A history of what only the slower reader takes costs what that takes, however small it is."""
    odd = b'{"role":"user","content":"%b"}' % (b"\\ud800" * 2_000)
    exchange, _ = after(body(NEXT), STORE, Recalled((HELLO, SAID, odd), NOTHING))
    assert exchange.costs[-1] > INLINE
    assert exchange.settle(200).store == "hit"


def test_a_refusal_of_a_known_history() -> None:
    """What was sent with its history is repaired as anything else when it is refused."""
    exchange, _ = after(body(NEXT), STORE, Recalled((HELLO, CALL, RESULT, SAID), NOTHING))
    message = b'{"error":{"message":"No tool call found for function call output with call_id call_1."}}'
    step = exchange.receive(400, message)
    assert isinstance(step, Forward)
    assert exchange.settle(200).store == "hit"
