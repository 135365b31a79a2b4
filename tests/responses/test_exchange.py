"""One request and its attempts, as a conversation with upstream: what is sent, what is refused, what is sent then."""

import json
from typing import Any

import pytest

from proxy.events import LossyAnswer, Read, Recovered, Refused, Removal, Removed, StartedFresh, Unrecovered
from proxy.report import Report
from proxy.responses import exchange as exchange_module
from proxy.responses.body.size import MOST, TooComplexError
from proxy.responses.exchange import PAUSE, Exchange
from proxy.responses.policy import Policy
from proxy.responses.recovery.lessons import Lessons, LessonScope
from proxy.responses.steps import INLINE, Compute, Forward, Relay
from tests.support import samples
from tests.support.driven import Driven
from tests.support.refusals import NO_PARENT, NULL
from tests.support.samples import PINNED, PLAIN, REASONING, SAID, USER, Item

PARENT = {"previous_response_id": "resp_0a1b"}
BARE: Item = {"type": "reasoning", "id": "rs_1", "summary": []}
HISTORY = [USER, {**REASONING, "id": "rs_1"}, {**SAID, "id": "msg_1"}, USER]
PORTABLE = [USER, REASONING, SAID, USER]
TOOL_LOOP = [USER, {**REASONING, "id": "rs_1"}, {**samples.call(), "id": "fc_1"}, samples.output()]
RECOVER = Policy(mode="recover")
AZURE = Policy(mode="recover", profile="azure")

NO_ITEM = "Item with id 'rs_1' not found."
UNREASONED = "Item 'fc_1' of type 'function_call' was provided without its required 'reasoning' item: 'rs_1'."
UNVERIFIED = "The encrypted content gAA...AAA could not be verified."
UNNAMED = "The encrypted content could not be verified."
SEALED: Item = {**REASONING, "encrypted_content": "gAAAother"}


def body(items: Any, **top: Any) -> bytes:
    """A request's body."""
    return json.dumps({"model": "m", "input": items, **top}).encode()


def refused(message: str, **more: Any) -> bytes:
    """A refusal's body."""
    return json.dumps({"error": {**NULL, "message": message, **more}}).encode()


def sent(step: Forward | Relay) -> Any:
    """The input that an attempt sends."""
    assert isinstance(step, Forward)
    return json.loads(step.body)["input"]


# The first attempt.


@pytest.mark.parametrize("mode", ["strip", "recover", "observe"])
@pytest.mark.parametrize("plain", [body("text"), body([USER]), body([USER, SAID, USER]), b"[]", b'{"input":5}', b"{}"])
def test_the_same_object(mode: Any, plain: bytes) -> None:
    """In every mode a request in which nothing has to change is sent as the very object that came."""
    exchange = Driven(plain, Policy(mode=mode))
    step = exchange.start()
    assert step == Forward(plain)
    assert step.body is plain
    report = exchange.settle(200)
    assert (report.fidelity, report.attempts) == ("exact", 1)
    assert report.action == ("observed" if mode == "observe" and plain != b"[]" else "passthrough")


@pytest.mark.parametrize("plain", [b"", b"not json", b'{"input":[', b"\xff\xfe", b'{"input":[]}x'])
def test_what_is_no_json(plain: bytes) -> None:
    """What is no JSON is sent as it came, judged by upstream alone, and reported as unread."""
    exchange = Driven(plain)
    assert exchange.start().body is plain
    assert not exchange.judges(400)
    assert exchange.settle(400) == Report(action="unread")
    assert exchange.events == []


def test_strip() -> None:
    """`strip` makes the first attempt portable."""
    exchange = Driven(body(HISTORY))
    assert sent(exchange.start()) == PORTABLE
    assert exchange.settle(200) == Report("rewritten", "lossless", {"item_id": 2}, {}, 1)
    assert exchange.events == [Read(4, 2)]


def test_recover() -> None:
    """`recover` sends what came."""
    exchange = Driven(body(HISTORY, **PARENT), RECOVER)
    assert exchange.start().body == body(HISTORY, **PARENT)
    assert exchange.settle(200) == Report()
    assert exchange.events == [Read(4, 3)]


def test_observe() -> None:
    """`observe` sends what came, says what would have been done, and judges nothing."""
    exchange = Driven(body([USER], **PARENT), Policy(mode="observe"))
    assert exchange.start().body == body([USER], **PARENT)
    assert not any(exchange.judges(status) for status in range(400, 500))
    assert exchange.settle(404) == Report("observed", "lossy", {"previous_response_id": 1}, {}, 1)
    assert exchange.settle(200).action == "observed"
    assert exchange.events == [Read(1, 1)]


def test_starting_fresh() -> None:
    """Where `strip` takes the history away, that is a loss, and is said."""
    scope = LessonScope(Lessons(), "me")
    exchange = Driven(body([USER], **PARENT), scope=scope)
    assert json.loads(exchange.start().body) == {"model": "m", "input": [USER]}
    assert exchange.settle(200).fidelity == "lossy"
    assert exchange.events[1:] == [
        LossyAnswer(scope.credential, ("previous_response_id",)),
        StartedFresh(scope.credential),
    ]


def test_losses_without_a_fresh_start() -> None:
    """Where only reasoning is lost, the history is still there."""
    exchange = Driven(body([USER, BARE, SAID, USER]))
    exchange.start()
    assert exchange.settle(200) == Report("rewritten", "lossy", {"reasoning": 1}, {}, 1)
    assert exchange.events[1:] == [LossyAnswer(LessonScope(Lessons()).credential, ("reasoning",))]


def test_ids_are_told_to_whoever_may_see_them() -> None:
    """Events name ids only where the policy says so."""
    exchange = Driven(body([USER, BARE, {**SAID, "id": "msg_1"}, USER], **PARENT), Policy(mode="strip", tell_ids=True))
    exchange.start()
    told = (Removal("previous_response_id", "resp_0a1b"), Removal("reasoning", "rs_1"), Removal("item_id", "msg_1"))
    assert exchange.events == [Read(4, 3, ("resp_0a1b", "rs_1", "msg_1")), Removed(told)]


@pytest.mark.parametrize(
    "plain",
    [
        body([samples.output()], **PARENT),
        body([{"type": "item_reference", "id": "msg_1"}]),
        body([{"type": "item_reference", "id": "fc_1"}, samples.output()]),
        body([{**USER, "id": "msg_1"}, samples.output()], **PARENT),
        body([{**USER, "id": "msg_1"}], conversation="conv_1", status="x"),
    ],
)
def test_unanswerable(plain: bytes) -> None:
    """What could not be answered without its references is sent as it came, and its refusal relayed as it came."""
    exchange = Driven(plain)
    assert exchange.start().body is plain
    assert isinstance(exchange.receive(400, refused(NO_PARENT, code="previous_response_not_found")), Relay)
    assert exchange.settle(400) == Report("unrecovered")


def test_dropping_the_conversation() -> None:
    """Where the operator wants it, a conversation is dropped."""
    exchange = Driven(body(HISTORY, conversation="conv_1"), Policy(mode="strip", drop_conversation=True))
    assert json.loads(exchange.start().body) == {"model": "m", "input": PORTABLE}
    assert exchange.settle(200).removed == {"conversation": 1, "item_id": 2}


@pytest.mark.parametrize("route", ["input_tokens", "compact"])
@pytest.mark.parametrize(
    ("items", "top", "rewritten"),
    [
        (HISTORY, {}, PORTABLE),
        (HISTORY, PARENT, PORTABLE),
        ([*HISTORY[:2], {**SAID, "id": "msg_1"}], {}, PORTABLE[:3]),
        ([USER], PARENT, None),
        ([USER, BARE, SAID, USER], {}, None),
        ([USER, {"type": "item_reference", "id": "msg_1"}, USER], {}, None),
        ([{**USER, "id": "msg_1"}, samples.output()], PARENT, None),
    ],
)
def test_side_routes(route: Any, items: Any, top: Any, rewritten: Any) -> None:
    """A count and a compaction keep their references, unless the request stands alone."""
    plain = body(items, **top)
    step = Driven(plain, route=route).start()
    assert json.loads(step.body) == ({"model": "m", "input": rewritten} if rewritten else json.loads(plain))
    assert rewritten or step.body is plain


# Which answers are judged.


def test_judging() -> None:
    """A first refusal that may speak of the request is judged, a later one unless it is about quota."""
    exchange = Driven(body(HISTORY), RECOVER)
    exchange.start()
    judged = [status for status in range(100, 600) if exchange.judges(status)]
    assert judged == [status for status in range(400, 500) if status not in (402, 403, 407, 408, 413, 415, 429)]
    exchange.receive(404, refused(NO_ITEM))
    assert [status for status in range(100, 600) if exchange.judges(status)] == [*range(400, 429), *range(430, 500)]


# Recovery.


def test_a_missing_item() -> None:
    """One refusal for a missing item costs one more attempt, which is portable."""
    exchange = Driven(body(HISTORY, **PARENT), RECOVER)
    exchange.start()
    step = exchange.receive(404, refused(NO_ITEM))
    assert json.loads(step.body if isinstance(step, Forward) else b"") == {"model": "m", "input": PORTABLE}
    assert exchange.settle(200) == Report("recovered", "lossless", {"previous_response_id": 1, "item_id": 2}, {}, 2)
    assert exchange.events == [Read(4, 3), Refused(404, "item", "portable"), Recovered("portable", 2)]


LADDERS = [
    # (policy, items, refusals, what the last attempt sends; None where the first refusal is relayed)
    (Policy(mode="strip"), TOOL_LOOP, [UNREASONED], None),
    (RECOVER, TOOL_LOOP, [UNREASONED], [USER, REASONING, samples.call(), samples.output()]),
    (Policy(mode="strip"), HISTORY, [UNVERIFIED], [USER, SAID, USER]),
    (RECOVER, HISTORY, ["Encrypted content could not be decrypted."], [USER, SAID, USER]),
    (RECOVER, HISTORY, [NO_ITEM, UNVERIFIED], [USER, SAID, USER]),
    (RECOVER, HISTORY, [NO_ITEM, NO_ITEM], [USER, USER]),
    (RECOVER, [USER, SAID, *HISTORY], [NO_ITEM, NO_ITEM], [USER, SAID, USER, USER]),
    (Policy(mode="strip", keep_last=1), [USER, SAID, *HISTORY], [NO_ITEM, NO_ITEM], [USER, USER]),
    (Policy(mode="strip"), [USER, SAID, *HISTORY], ["Unknown parameter: 'input[4].phase'."], None),
    (
        Policy(mode="strip"),
        [USER, {**SAID, "phase": "x"}, USER],
        ["Unknown parameter: 'input[1].phase'."],
        [USER, SAID, USER],
    ),
    (
        RECOVER,
        [USER, {**REASONING, "id": "rs_1", "status": "x"}, SAID, USER],
        ["Unknown parameter: 'input[1].status'."],
        [USER, {**REASONING, "id": "rs_1"}, SAID, USER],
    ),
    (Policy(mode="strip"), HISTORY, ["ID is required"], HISTORY),
    (
        RECOVER,
        [USER, {"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAAA"}, SAID, USER],
        ["Missing required parameter: 'input[1].summary'."],
        [USER, {"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAAA", "summary": []}, SAID, USER],
    ),
    (RECOVER, [USER, PINNED["compaction"], USER], ["Could not decode the compaction blob."], [USER, USER]),
    (
        Policy(mode="strip"),
        [USER, PLAIN["code_interpreter_call"], USER],
        ["Expected container_id: cntr_1"],
        [USER, {"type": "message", "role": "assistant", "content": "[Code interpreter] run_model()"}, USER],
    ),
    (Policy(mode="strip"), [USER, PLAIN["code_interpreter_call"], USER], ["Expected container_id: cntr_2"], None),
    (
        Policy(mode="strip"),
        [USER, PLAIN["code_interpreter_call"], USER],
        ["Container is expired."],
        [USER, {"type": "message", "role": "assistant", "content": "[Code interpreter] run_model()"}, USER],
    ),
    (RECOVER, [USER, samples.output(), USER], ["No tool call found for function call output with call_id call_1."],
     [USER, {"type": "message", "role": "assistant", "content": "[Tool result for call_1] run_42 finished"}, USER]),
    (RECOVER, [USER, samples.output()], ["No tool call found for function call output with call_id call_1."], None),
    (Policy(mode="strip", keep_last=0), PORTABLE, [NO_ITEM], None),
    (Policy(max_recoveries=0, mode="recover"), HISTORY, [NO_ITEM], None),
    (Policy(mode="strip"), HISTORY, ["Prompt with id 'pmpt_1' not found."], None),
    (Policy(mode="strip"), HISTORY, ["Conversation with id 'conv_1' not found."], None),
]  # fmt: skip


@pytest.mark.parametrize(("policy", "items", "refusals", "last"), LADDERS, ids=range(len(LADDERS)))
def test_ladders(policy: Policy, items: Any, refusals: list[str], last: Any) -> None:
    """Each refusal is answered by the gentlest form that was not sent before."""
    exchange = Driven(body(items), policy)
    step: Forward | Relay = exchange.start()
    seen = []
    for message in refusals:
        assert isinstance(step, Forward)
        seen.append(step.body)
        step = exchange.receive(400, refused(message))
    if last is None:
        assert isinstance(step, Relay)
    else:
        assert sent(step) == last
        assert isinstance(step, Forward)
        assert step.body not in seen


def test_envelope_fields_are_repaired() -> None:
    """A field of a response that upstream refuses at the top level goes."""
    exchange = Driven(body(HISTORY, status="x", **PARENT), RECOVER)
    exchange.start()
    step = exchange.receive(400, refused("Unknown parameter: 'status'.", param="status", code="unknown_parameter"))
    assert isinstance(step, Forward)
    assert step.body == body(HISTORY, **PARENT)


def test_few_attempts() -> None:
    """Beyond the first attempt there are at most `max_recoveries`, each on a lower rung."""
    items = [USER, SAID, USER, SAID, *HISTORY]
    exchange = Driven(body(items), Policy(mode="recover", keep_last=1, max_recoveries=2))
    exchange.start()
    assert isinstance(exchange.receive(404, refused(NO_ITEM)), Forward)
    assert isinstance(exchange.receive(400, refused(UNVERIFIED)), Forward)
    assert isinstance(exchange.receive(404, refused(NO_ITEM)), Relay)
    assert exchange.settle(404) == Report("unrecovered", attempts=3)
    assert exchange.events[-1] == Unrecovered("item", 3)


def test_a_failed_recovery_is_honest() -> None:
    """Refused for another reason on the way, the first refusal is relayed; a 429 or a 5xx is relayed itself."""
    exchange = Driven(body(HISTORY), RECOVER)
    exchange.start()
    exchange.receive(404, refused(NO_ITEM))
    assert isinstance(exchange.receive(403, b"no"), Relay)
    assert exchange.settle(404) == Report("unrecovered", attempts=2)
    overloaded = Driven(body(HISTORY), RECOVER)
    overloaded.start()
    overloaded.receive(404, refused(NO_ITEM))
    assert not overloaded.judges(429)
    assert overloaded.settle(429) == Report("unrecovered", "lossless", {"item_id": 2}, {}, 2)
    assert overloaded.events[-1] == Unrecovered("item", 2)


def test_what_is_not_ours() -> None:
    """A refusal that is not ours, or a failure, is relayed with what had been done."""
    exchange = Driven(body(HISTORY))
    exchange.start()
    assert isinstance(exchange.receive(404, refused("Invalid URL (POST /v1/responses)")), Relay)
    assert exchange.settle(404) == Report("rewritten", "lossless", {"item_id": 2}, {}, 1)
    assert exchange.settle(500).action == "rewritten"
    assert exchange.events == [Read(4, 2)]


def test_a_locked_conversation() -> None:
    """A locked conversation is asked for once more with the same bytes, after a moment."""
    plain = body([USER], conversation="conv_1")
    exchange = Driven(plain)
    exchange.start()
    assert exchange.receive(400, refused("x", code="conversation_locked")) == Forward(plain, PAUSE)
    assert exchange.events[-1] == Refused(400, "locked", "same")
    assert isinstance(exchange.receive(400, refused("x", code="conversation_locked")), Relay)
    assert exchange.settle(400).attempts == 2


def test_the_race_of_azure() -> None:
    """A parent that Azure does not see yet is asked for once more; nothing is learnt when it is there then."""
    lessons = Lessons()
    plain = body(HISTORY, **PARENT)
    exchange = Driven(plain, AZURE, scope=LessonScope(lessons))
    exchange.start()
    step = exchange.receive(400, refused(NO_PARENT, code="previous_response_not_found"))
    assert step == Forward(plain, PAUSE)
    assert exchange.settle(200) == Report("recovered", "exact", attempts=2)
    assert len(lessons) == 0
    assert exchange.events[-1] == Recovered("same", 2)


def test_the_race_that_was_none() -> None:
    """Refused twice, the request is made portable, and the next one with that parent is not asked for again."""
    lessons = Lessons()
    scope = LessonScope(lessons, "me")
    exchange = Driven(body(HISTORY, **PARENT), AZURE, scope=scope)
    exchange.start()
    refusal = refused(NO_PARENT, code="previous_response_not_found")
    exchange.receive(400, refusal)
    assert sent(exchange.receive(400, refusal)) == HISTORY  # Azure keeps the ids of sealed turns
    assert exchange.settle(200).attempts == 3
    scope = LessonScope(lessons, "me")
    following = Driven(body([*HISTORY, USER], **PARENT), AZURE, scope=scope)
    assert "previous_response_id" not in json.loads(following.start().body)
    alone = Driven(body([USER, samples.output()], **PARENT), AZURE, scope=scope)
    alone.start()
    assert isinstance(alone.receive(400, refusal), Relay)


def test_no_race_elsewhere() -> None:
    """Other upstreams are not asked for the same once more."""
    exchange = Driven(body(HISTORY, **PARENT), RECOVER)
    exchange.start()
    assert sent(exchange.receive(400, refused(NO_PARENT))) == PORTABLE


# Lessons.


def test_ids_are_remembered() -> None:
    """What was not found once makes the next request of that conversation portable from the start, for that key."""
    lessons = Lessons()
    exchange = Driven(body(HISTORY), RECOVER, scope=LessonScope(lessons, "me"))
    exchange.start()
    exchange.receive(404, refused(NO_ITEM))
    exchange.settle(200)
    assert sent(Driven(body([*HISTORY, USER]), RECOVER, scope=LessonScope(lessons, "me")).start()) == [*PORTABLE, USER]
    assert sent(Driven(body(HISTORY), RECOVER, scope=LessonScope(lessons, "you")).start()) == HISTORY
    later = LessonScope(lessons, "me", now=3601)
    assert sent(Driven(body(HISTORY), RECOVER, scope=later).start()) == HISTORY


def test_unanswerable_in_spite_of_a_lesson() -> None:
    """A lesson makes nobody answer a question that cannot be answered."""
    scope = LessonScope(Lessons())
    scope.learn_id("resp_0a1b")
    plain = body([samples.output()], **PARENT)
    assert Driven(plain, RECOVER, scope=scope).start().body is plain


def test_blobs_are_remembered() -> None:
    """A blob that could not be verified does not go out again, for that key; others do."""
    lessons = Lessons()
    exchange = Driven(body(HISTORY), scope=LessonScope(lessons, "me"))
    exchange.start()
    exchange.receive(400, refused(UNVERIFIED))
    assert exchange.settle(200).removed == {"encrypted_content": 1, "item_id": 1}
    fresh = {**REASONING, "encrypted_content": "gBBBB"}
    again = body([*HISTORY, fresh, SAID, USER])
    assert sent(Driven(again, scope=LessonScope(lessons, "me")).start()) == [USER, SAID, USER, fresh, SAID, USER]
    assert sent(Driven(again, scope=LessonScope(lessons, "you")).start()) == [*PORTABLE, fresh, SAID, USER]


def test_fields_are_remembered() -> None:
    """A field that upstream refused to a credential, or demanded of it, is known to that credential and no other."""
    lessons = Lessons()
    items = [USER, {**SAID, "phase": "x"}, USER]
    exchange = Driven(body(items), scope=LessonScope(lessons, "me"))
    exchange.start()
    exchange.receive(400, refused("Unknown parameter: 'input[1].phase'."))
    exchange.settle(200)
    assert sent(Driven(body(items), scope=LessonScope(lessons, "me")).start()) == [USER, SAID, USER]
    assert sent(Driven(body(items), scope=LessonScope(lessons, "you")).start()) == items
    demanding = Driven(body(HISTORY), scope=LessonScope(lessons, "me"))
    demanding.start()
    demanding.receive(400, refused("ID is required"))
    demanding.settle(200)
    assert sent(Driven(body(HISTORY), scope=LessonScope(lessons, "me")).start()) == HISTORY
    assert sent(Driven(body(HISTORY), scope=LessonScope(lessons, "you")).start()) == PORTABLE


@pytest.mark.parametrize("value", ["unexpected", "unrecognized", "unknown parameter", "field required"])
def test_a_wrong_value_is_the_clients(value: str) -> None:
    """A value that upstream does not take is the client's mistake, whatever the value is called: it is relayed."""
    items = [USER, {**SAID, "phase": value}, USER]
    exchange = Driven(body(items), RECOVER)
    exchange.start()
    message = f"Invalid value: '{value}'. Supported values are: 'commentary', and 'final_answer'."
    assert exchange.receive(400, refused(message, param="input[1].phase", code="invalid_value")) == Relay()


def test_nothing_is_learnt_from_failure() -> None:
    """A recovery that failed teaches nothing."""
    lessons = Lessons()
    exchange = Driven(body(HISTORY), RECOVER, scope=LessonScope(lessons))
    exchange.start()
    exchange.receive(404, refused(NO_ITEM))
    exchange.settle(500)
    assert len(lessons) == 0


# Side routes.


@pytest.mark.parametrize("route", ["input_tokens", "compact"])
def test_side_routes_recover_without_loss_of_history(route: Any) -> None:
    """A count or a compaction is repaired as long as its history is there, and never trimmed."""
    lost_reasoning = Driven(body([USER, BARE, SAID, USER]), route=route)
    lost_reasoning.start()
    assert sent(lost_reasoning.receive(404, refused(NO_ITEM))) == [USER, SAID, USER]
    assert isinstance(lost_reasoning.receive(404, refused(NO_ITEM)), Relay)
    lost_history = Driven(body([USER], **PARENT), route=route)
    lost_history.start()
    assert isinstance(lost_history.receive(400, refused(NO_PARENT)), Relay)
    bad_field = Driven(body([{**USER, "phase": "x"}], **PARENT), RECOVER, route=route)
    bad_field.start()
    repaired = bad_field.receive(400, refused("Unknown parameter: 'input[0].phase'."))
    assert repaired == Forward(body([USER], **PARENT))


@pytest.mark.parametrize("route", ["input_tokens", "compact"])
def test_side_routes_ask_nothing(route: Any) -> None:
    """A history to count or to compact may end with the model's own words, and is recovered all the same."""
    exchange = Driven(body([USER, BARE, SAID]), route=route)
    exchange.start()
    assert sent(exchange.receive(404, refused(NO_ITEM))) == [USER, SAID]


@pytest.mark.interpreted
@pytest.mark.parametrize("mode", ["strip", "recover"])
@pytest.mark.parametrize(
    ("items", "status", "refusal"),
    [
        ([USER, BARE, {**SAID, "id": "msg_1"}, USER], 404, refused(NO_ITEM)),
        ([*HISTORY, SEALED, SAID, USER], 400, refused(UNNAMED, param="input[4]")),
    ],
)
def test_what_is_forgotten_is_found_again(
    mode: Any, items: Any, status: int, refusal: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exchange that let go of all but the bytes, as a large one does, answers a refusal as one that did not."""
    steps = []
    for inline in (INLINE, 0):
        monkeypatch.setattr(exchange_module, "INLINE", inline)
        exchange = Driven(body(items), Policy(mode=mode))
        first = exchange.start()
        assert (exchange.exchange._came is None) == (inline == 0)
        steps.append([first, exchange.receive(status, refusal), exchange.settle(200), exchange.events])
    assert steps[0] == steps[1]


class TestCosts:
    """What a driver is told of how long work may take."""

    def test_a_body_costs_a_fraction_of_its_bytes(self) -> None:
        """A body of 200 KB is worked on in the loop; the refusal of it is not."""
        plain = b'{"model":"m","input":[{"role":"user","content":"%b"}]}' % (b"x" * 200_000)
        exchange = Driven(plain)
        assert exchange.start() == Forward(plain)
        assert exchange.costs == [len(plain) // 4] * 2
        exchange.receive(404, refused(NO_ITEM))
        assert exchange.costs[-1] > INLINE

    def test_many_small_objects_cost_more_than_their_bytes(self) -> None:
        """A body of many objects costs by their number: a few kilobytes of them are not looked at in the loop."""
        plain = body([USER, BARE, *[{"id": "x"}] * 2_000, USER])
        exchange = Driven(plain)
        exchange.start()
        assert len(plain) < INLINE
        assert exchange.costs[-1] > INLINE

    def test_a_small_body_costs_its_objects(self) -> None:
        """Once a body is read, it costs the number of its items where that is more."""
        plain = body([USER, BARE, SAID, USER])
        exchange = Driven(plain)
        exchange.start()
        assert exchange.costs == [len(plain) // 4, 64 * 4]

    @pytest.mark.parametrize("item", [b"1,", b"{},", b"[],"])
    @pytest.mark.parametrize("size", [0, 5_000_000])
    def test_what_holds_too_much_is_not_read(self, item: bytes, size: int) -> None:
        """Beyond a number of values a body is sent as it came, and in `strip` mode not at all."""
        plain = b'{"input":[' + item * MOST + b'"' + b"a" * size + b'"]}'
        exchange = Driven(plain, RECOVER)
        assert exchange.start() == Forward(plain)
        assert not exchange.judges(400)
        assert exchange.settle(200) == Report("unread")
        assert exchange.request_record() is None
        with pytest.raises(TooComplexError):
            Driven(plain).start()


@pytest.mark.parametrize(
    ("body", "asks"),
    [
        (b'{"background": true, "input": "x"}', True),
        (b'{"background":false}', False),
        (b'{"background":"true"}', False),
        (b'{"input":[{"background":true}],"metadata":{"background":true}}', False),
        (b'{"input":"background"}', False),
        (b"{}", False),
        (b'{"background":true', False),
    ],
)
def test_who_wants_an_id_without_delay(body: bytes, asks: bool) -> None:
    """Only a request for a response in the background does."""
    exchange = Driven(body)
    exchange.start()
    assert exchange.exchange.in_background is asks


def test_a_refusal_of_what_is_no_json() -> None:
    """What is no JSON is sent as it came, and nothing of an answer to it is judged."""
    exchange = Driven(b"no json")
    assert exchange.start() == Forward(b"no json")
    assert exchange.settle(200).action == "unread"


# What `auto` does.

AUTO = Policy(mode="auto")
STORED = Policy(mode="strip", recalls=True)


@pytest.mark.parametrize(
    ("items", "more", "sent_"),
    [
        (HISTORY, {}, PORTABLE),
        (HISTORY, PARENT, PORTABLE),
        ([USER, BARE, {**SAID, "id": "msg_1"}, USER], {}, None),
        ([USER, {"type": "item_reference", "id": "msg_1"}, USER], {}, None),
        ([USER], PARENT, None),
        ([USER, {**samples.call(), "id": "fc_1"}, USER], {}, None),
        ([samples.output()], PARENT, None),
    ],
    ids=["labels", "labels and a parent", "bare reasoning", "reference", "parent", "open call", "output alone"],
)
def test_auto_loses_nothing_before_it_is_refused(items: Any, more: Any, sent_: Any) -> None:
    """What loses only labels is made portable at once; whatever would lose more goes as it came, as the same object."""
    plain = body(items, **more)
    exchange = Driven(plain, AUTO)
    step = exchange.start()
    if sent_ is None:
        assert step.body is plain
        assert exchange.settle(200) == Report("passthrough", "exact")
    else:
        assert sent(step) == sent_
        assert exchange.settle(200).fidelity == "lossless"


def test_auto_recovers() -> None:
    """What went as it came and is refused is made portable, and the next turn is so from the start."""
    scope = LessonScope(Lessons(), "me")
    plain = body([USER, BARE, {**SAID, "id": "msg_1"}, USER])
    exchange = Driven(plain, AUTO, scope=scope)
    exchange.start()
    assert sent(exchange.receive(404, refused(NO_ITEM))) == [USER, SAID, USER]
    assert exchange.settle(200) == Report("recovered", "lossy", {"reasoning": 1, "item_id": 1}, {}, 2)
    again = Driven(plain, AUTO, scope=LessonScope(scope._lessons, "me"))
    assert sent(again.start()) == [USER, SAID, USER]
    other = Driven(plain, AUTO, scope=LessonScope(scope._lessons, "you"))
    assert other.start().body is plain


def test_a_dropped_conversation_is_no_loss_of_autos() -> None:
    """Where the operator has said that the conversation goes, it goes before anything is refused."""
    exchange = Driven(body([USER], conversation="conv_1"), Policy(mode="auto", drop_conversation=True))
    assert json.loads(exchange.start().body) == {"model": "m", "input": [USER]}


def test_comparisons_go_in_strip_alone() -> None:
    """The response whose prompt cache is compared is an id, for a diagnosis: only `strip` takes it out."""
    options = {"mode": "implicit", "comparison_response_id": "resp_1", "ttl": "30m"}
    plain = body([USER], prompt_cache_options=options)
    strict = Driven(plain, Policy(mode="strip"))
    assert json.loads(strict.start().body)["prompt_cache_options"] == {"mode": "implicit", "ttl": "30m"}
    assert strict.settle(200) == Report("rewritten", "lossless", {"comparison": 1})
    assert Driven(plain, AUTO).start().body is plain


def test_what_only_answers_have() -> None:
    """Fields that responses have gained since are taken out: at the top, of an output, and inside its chunks."""
    chunk = {"stdout": "x", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}
    items = [
        USER,
        {"type": "shell_call", "call_id": "c1", "action": {"commands": ["ls"]}},
        {"type": "shell_call_output", "call_id": "c1", "output": [{**chunk, "created_by": "u"}]},
        {"type": "custom_tool_call", "call_id": "c2", "name": "f", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "y", "status": "completed"},
        USER,
    ]
    came = body(items, input_transformations=[], prompt_cache_diagnostics={"a": 1})
    told = json.loads(Driven(came, AUTO).start().body)
    assert set(told) == {"model", "input"}
    assert told["input"][2]["output"] == [chunk]
    assert "status" not in told["input"][4]


def test_an_output_without_a_call_id() -> None:
    """A call whose output names no call gets no placeholder beside it; another call of another tool does."""
    call = samples.call()
    keyless = {"type": "function_call_output", "name": call["name"], "output": "x"}
    exchange = Driven(body([USER, call, keyless, USER]), Policy(mode="strip"))
    assert sent(exchange.start()) == [USER, call, keyless, USER]
    other = {**keyless, "name": "other"}
    assert len(sent(Driven(body([USER, call, other, USER]), Policy(mode="strip")).start())) == 5


def test_outputs_are_moved_to_their_calls() -> None:
    """Where an output that is there is said to be missing, it goes right behind the calls it belongs to."""
    one, two = samples.call(), {**samples.call(), "call_id": "call_2"}
    results = [
        {**samples.output(), "call_id": one["call_id"], "id": "fco_1"},
        {**samples.output(), "call_id": "call_2"},
    ]
    note = {"role": "developer", "content": "note"}
    exchange = Driven(body([USER, one, two, note, *results, USER]), Policy(mode="strip"))
    exchange.start()
    step = exchange.receive(400, refused(f"No tool output found for tool call {one['call_id']}"))
    plain = {name: value for name, value in results[0].items() if name != "id"}
    assert sent(step) == [USER, one, two, plain, results[1], note, USER]
    assert exchange.settle(200) == Report("recovered", "lossless", {"item_id": 1}, {"order": 2}, 2)


def test_a_lesson_is_its_conversations() -> None:
    """What one conversation taught, whose refusal names nothing, changes no other one of the same credential."""
    scope = LessonScope(Lessons(), "me")
    thought = {"type": "reasoning", "id": "rs_0123456789ab", "summary": []}
    first = Driven(body([USER, thought, SAID, USER]), AUTO, scope=scope)
    first.start()
    first.receive(400, refused("The requested item was created under a different Azure OpenAI resource."))
    assert first.settle(200).action == "recovered"
    again = Driven(body([USER, thought, SAID, USER, SAID, USER]), AUTO, scope=LessonScope(scope._lessons, "me"))
    assert sent(again.start()) == [USER, SAID, USER, SAID, USER]
    for items, more in (([USER], PARENT), ([USER, {**thought, "id": "rs_ba9876543210"}, SAID, USER], {})):
        plain = body(items, **more)
        assert Driven(plain, AUTO, scope=LessonScope(scope._lessons, "me")).start().body is plain


def test_a_short_call_id_is_no_conversation() -> None:
    """A call id that every conversation has, as `call_1`, carries no lesson from one to another."""
    scope = LessonScope(Lessons(), "me")
    first = Driven(body([USER, samples.output(), USER]), RECOVER, scope=scope)
    first.start()
    first.receive(400, refused("No tool call found for function call output with call_id call_1."))
    assert first.settle(200).repaired == {"orphan_output": 1}
    plain = body([samples.output()], **PARENT)
    assert Driven(plain, RECOVER, scope=LessonScope(scope._lessons, "me")).start().body is plain


def test_a_model_that_takes_no_reasoning() -> None:
    """Where reasoning without blobs is refused as such, that is learnt of the model, and of no other."""
    scope = LessonScope(Lessons(), "me")
    readable = {**BARE, "summary": [{"type": "summary_text", "text": "Hm."}]}
    first = Driven(body([USER, readable, SAID, USER]), RECOVER, scope=scope)
    first.start()
    said = "Reasoning input items can only be provided to a reasoning or computer use model."
    step = first.receive(400, refused(said))
    while sent(step) != [USER, SAID, USER]:
        step = first.receive(400, refused(said))
    first.settle(200)
    again = Driven(
        body([USER, {**readable, "id": "rs_2"}, SAID, USER]), RECOVER, scope=LessonScope(scope._lessons, "me")
    )
    assert sent(again.start()) == [USER, SAID, USER]
    other = json.dumps({"model": "another", "input": [USER, BARE, SAID, USER]}).encode()
    assert Driven(other, RECOVER, scope=LessonScope(scope._lessons, "me")).start().body is other


def test_the_slower_reader_takes_time_and_no_more_memory() -> None:
    """Its work is done beside the event loop, at a cost that is still that of the bytes: memory is reserved by it."""
    for size, least in ((20_000, INLINE + 1), (4 * INLINE, INLINE + 1), (80 * INLINE, 20 * INLINE)):
        body = b'{"input": [{"role": "user", "content": "\\ud800%b"}]}' % (b"x" * size)
        steps = Exchange(body).steps()
        glance = next(steps)
        assert isinstance(glance, Compute)
        look = steps.send(glance.work())
        assert isinstance(look, Compute)
        assert least <= look.cost <= least + INLINE
