"""A session, rule by rule and row by row, without a socket."""

import json
from typing import Any

import pytest

from proxy.events import LeftOutByUpstream, Recovered, Refused
from proxy.responses.frames import BINARY, CLOSE, PING, close_frame, frame
from proxy.responses.session.client_side import WAITING
from proxy.responses.session.sending import LARGEST, Failure
from proxy.responses.session.turns import MOST_HELD
from tests.support.sessions import (
    KEY,
    OURS,
    Played,
    completed,
    create,
    created,
    delta,
    error,
    event,
    fragmented,
    frames,
    item_not_found,
    not_found,
    text,
)

USER = {"role": "user", "content": "hi"}
ANSWER = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "hello", "annotations": []}],
}
BARE = {"type": "reasoning", "id": "rs_1", "summary": []}
HISTORY = [USER, BARE, ANSWER, USER]
CALL_OUTPUT = [{"type": "function_call_output", "call_id": "call_1", "output": "42"}]
MODES = ["auto", "strip", "recover", "observe"]

every_mode = pytest.mark.parametrize("mode", MODES)


def without(items: list[Any], *gone: Any) -> list[Any]:
    """Items without ids, and without those that are gone."""
    return [{name: value for name, value in item.items() if name != "id"} for item in items if item not in gone]


# Rule 5: what a turn is.

UNREAD = [
    b"no json",
    b"[]",
    b'"response.create"',
    {"type": "response.steer", "previous_response_id": "resp_1", "input": "wait"},
    {"type": "response.unknown", "previous_response_id": "resp_1"},
    {"type": ["response.create"], "previous_response_id": "resp_1"},
    create(stream_id=7, previous_response_id="resp_1"),
    create(stream_id=None, previous_response_id="resp_1"),
    b'{"type":"response.create","input":"\xff"}',
    b"",
]


@pytest.mark.parametrize("mode", ["auto", "strip"])
@pytest.mark.parametrize("said", UNREAD, ids=repr)
def test_what_is_no_turn_passes_unread(said: Any, mode: str) -> None:
    """A text message that is no turn reaches upstream in its own bytes, and is no turn for anybody."""
    played = Played(mode).send(text(said))
    assert played.upstream == text(said)
    assert played.session.end() == []


@every_mode
def test_binary_and_extended_messages_pass_unread(mode: str) -> None:
    """A binary message, and one of an extension, pass as they arrive, also when they hold a turn."""
    turn = json.dumps(create(HISTORY, previous_response_id="resp_x")).encode()
    extended = bytearray(frame(turn, KEY))
    extended[0] |= 0x40
    for message in (frame(turn, KEY, BINARY), bytes(extended)):
        played = Played(mode).send(message[:50])
        assert played.upstream == message[:50]
        assert played.send(message[50:]).upstream == message


def test_a_message_beyond_the_limit_passes_unread() -> None:
    """A message that is longer than is read passes as it came, from the moment at which it is known to be."""
    message = text(create("x" * 3000, previous_response_id="resp_x"))
    played = Played(most=2000).send(message[:1500])
    assert played.upstream == b""
    assert played.send(message[1500:2500]).upstream == message[:2500]
    assert played.send(message[2500:]).say(create()).upstream == message + text(create())


def test_strip_refuses_a_message_beyond_the_limit() -> None:
    """In strip mode no reference leaves unread: a message that is too long is refused, and what follows it is read."""
    message = text(create("x" * 3000, previous_response_id="resp_x"))
    played = Played("strip", most=2000).send(message[:2500]).send(message[2500:]).say(create())
    assert played.sent == [create()]
    assert [(given["status"], given["error"]["code"]) for given in played.given] == [(413, "request_too_large")]


# Rule 6: own ids.


@every_mode
@pytest.mark.parametrize("items", [HISTORY, CALL_OUTPUT, "hi", []], ids=["history", "output", "text", "nothing"])
def test_a_turn_that_continues_an_own_response_goes_as_it_came(mode: str, items: Any) -> None:
    """What this connection created it knows: a turn that names it is not changed by a byte."""
    played = Played(mode).say(create()).answer(created("resp_1"), completed("resp_1"))
    turn = text(create(items, previous_response_id="resp_1"))
    assert played.send(turn).upstream == text(create()) + turn
    assert played.reports[-1].fidelity == "exact" or not played.reports[-1].removed


def test_an_own_id_is_own_although_lessons_say_otherwise() -> None:
    """What was learnt from other requests is not applied to what continues an own response."""
    played = Played("strip").say(create()).answer(created("resp_1"), completed("resp_1"))
    played.terms.lessons().learn_id("resp_1")
    played.terms.lessons().learn_field("refused", "message", "status")
    turn = text(create([*HISTORY], previous_response_id="resp_1"))
    assert played.send(turn).upstream.endswith(turn)


def test_only_the_newest_ids_are_own() -> None:
    """A session remembers 1,024 of its responses."""
    played = Played("strip")
    for number in range(1025):
        played.answer(created(f"resp_{number}"), completed(f"resp_{number}"))
    played.say(create(HISTORY, previous_response_id="resp_1"), create(HISTORY, previous_response_id="resp_0"))
    played.answer(created("resp_x"), completed("resp_x"))
    assert [sent.get("previous_response_id") for sent in played.sent] == ["resp_1", None]


# Rule 7: foreign ids.

FOREIGN = [
    # mode, input, whether the parent goes before upstream has refused, and whether it goes then
    ("strip", HISTORY, True, True),
    ("strip", [USER, ANSWER, USER], True, True),
    ("strip", CALL_OUTPUT, False, False),
    ("strip", "hi", False, False),
    ("strip", [USER], False, False),
    ("auto", HISTORY, False, True),  # a bare reasoning would be lost
    ("auto", [USER, ANSWER, USER], True, True),
    ("auto", CALL_OUTPUT, False, False),
    ("auto", [USER], False, False),
    ("recover", [USER, ANSWER, USER], False, True),
    ("recover", HISTORY, False, True),
    ("recover", [USER], False, False),
    ("recover", CALL_OUTPUT, False, False),
    ("observe", HISTORY, False, False),
    ("observe", CALL_OUTPUT, False, False),
]


@pytest.mark.parametrize(("mode", "items", "at_once", "after"), FOREIGN)
def test_foreign_ids(mode: str, items: Any, *, at_once: bool, after: bool) -> None:
    """A turn that names another connection's response loses the name where it stands alone, and nowhere else."""
    turn = create(items, previous_response_id="resp_other")
    played = Played(mode).say(turn)
    assert ("previous_response_id" not in played.sent[0]) is at_once
    if not at_once:
        assert played.upstream == text(turn)
        refusal = text(not_found("resp_other"), b"")
        played.reply(refusal)
        if after:
            assert played.client == b""
            assert "previous_response_id" not in played.sent[1]
            played.answer(created("resp_2"), delta())
            assert played.given == [created("resp_2"), delta()]
        else:
            assert len(played.sent) == 1
            assert played.client == refusal


def test_a_store_comes_first() -> None:
    """With a store, what a foreign response holds stands inline before anything is sent."""
    turn = create(CALL_OUTPUT, previous_response_id="resp_other")
    call = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
    played = Played("auto", store={"resp_other": [USER, call]}).say(turn)
    assert played.sent == [create([USER, call, *CALL_OUTPUT])]
    played.answer(created("resp_1"))
    played.later(1)
    assert played.reports[0].store == "hit"
    assert played.reports[0].fidelity == "lossless"


@pytest.mark.parametrize("mode", ["auto", "strip"])
def test_what_a_store_does_not_know_goes_as_it_came(mode: str) -> None:
    """A response that the store does not know is left to upstream."""
    turn = create(CALL_OUTPUT, previous_response_id="resp_other")
    assert Played(mode, store={}).say(turn).upstream == text(turn)


def test_a_turn_without_a_parent_is_made_portable() -> None:
    """A turn with its whole history loses the ids that another connection made, and keeps its own members."""
    items = [USER, ANSWER, USER]
    turn = create(items, stream_id="a", generate=False, stream=True, store=False)
    played = Played().say(turn)
    assert played.sent == [{**turn, "input": without(items)}]
    assert list(played.sent[0]) == list(turn)


# Rule 8: bytes.


def test_the_same_bytes_where_nothing_is_removed() -> None:
    """A turn in which nothing is changed leaves with its mask, its fragments and its form of the length."""
    payload = json.dumps(create("é" * 400)).encode()
    whole = bytearray(frame(payload, KEY))
    longer = bytes((whole[0], 0x80 | 127)) + len(payload).to_bytes(8, "big") + bytes(whole[4:])
    for message in (longer, fragmented(payload, [1, 0, 7])):
        assert Played("strip").send(message).upstream == message


def test_a_changed_turn_is_one_frame_with_a_new_mask() -> None:
    """A turn that was changed is sent in one frame, masked anew."""
    payload = json.dumps(create([USER, ANSWER, USER])).encode()
    played = Played().send(fragmented(payload, [10, 20]))
    ((_, final, opcode),) = frames(played.upstream)
    assert (final, opcode) == (True, 1)
    assert played.upstream[2:4] + played.upstream[4:8] == played.upstream[2:4] + OURS


# Rule 9: order.


def test_a_turn_waits_for_the_decision_of_the_one_before_it() -> None:
    """Of one lane the second turn is sent when the first is decided, and not before."""
    first, second = create([*HISTORY], n=1), create("two", n=2)
    played = Played("recover").say(first, second)
    assert [sent["n"] for sent in played.sent] == [1]
    played.answer(item_not_found("rs_1"))
    assert [sent["n"] for sent in played.sent] == [1, 1]
    played.answer(created("resp_1"))
    assert [sent["n"] for sent in played.sent] == [1, 1]
    played.answer(delta())
    assert [sent["n"] for sent in played.sent] == [1, 1, 2]
    assert played.given == [created("resp_1"), delta()]
    assert played.answer(completed("resp_1"), created("resp_2"), completed("resp_2")).given[2:] == [
        completed("resp_1"),
        created("resp_2"),
        completed("resp_2"),
    ]


def test_other_lanes_do_not_wait() -> None:
    """A turn of another lane, steering and control frames pass a turn that is undecided."""
    ping = frame(b"?", KEY, PING)
    steer = {"type": "response.steer", "previous_response_id": "resp_0", "input": "x"}
    played = Played().say(create("1"), create("2"), create("3", stream_id="b"), steer).send(ping)
    assert played.upstream == text(create("1")) + text(create("3", stream_id="b")) + text(steer) + ping


def test_a_turn_goes_at_once_while_another_streams() -> None:
    """A turn behind one that is decided is sent; an error meanwhile is the older one's, and is relayed."""
    played = Played("recover").say(create("1")).answer(created("resp_1"), delta()).say(create([*HISTORY]))
    assert len(played.sent) == 2
    refusal = item_not_found("rs_1")
    assert played.answer(refusal).given == [created("resp_1"), delta(), refusal]
    assert len(played.sent) == 2
    played.answer(item_not_found("rs_1"))
    assert played.given[-1] == refusal
    assert len(played.sent) == 3


def test_an_upstream_that_says_nothing_does_not_block() -> None:
    """A turn counts as decided fifteen seconds after it was sent, or half a second after its first event."""
    played = Played().say(create("1"), create("2"), create("3")).later(14.9)
    assert len(played.sent) == 1
    assert len(played.later(0.2).sent) == 2
    played.answer(created("resp_1"), completed("resp_1"), created("resp_2"))
    assert len(played.given) == 2
    assert len(played.later(0.6).sent) == 3
    assert played.given[-1] == created("resp_2")


def test_an_end_that_was_not_seen_does_not_block() -> None:
    """A lane that begins a response has ended the one before it, whether or not that was said."""
    played = Played().say(create("1")).answer(created("resp_1"), delta()).say(create("2"), create("3"))
    assert len(played.sent) == 2
    played.answer(created("resp_2"), delta(), completed("resp_2"))
    assert len(played.sent) == 3
    assert len(played.given) == 5


# Rule 10: recovery.


def test_a_refusal_is_recovered_in_its_lane() -> None:
    """The client of a refused turn sees one clean answer, and other lanes go on meanwhile."""
    played = Played("recover").say(create([*HISTORY], stream_id="a"), create("b", stream_id="b"))
    played.answer(created("resp_b", "b"), delta("b", "b"), item_not_found("rs_1", "a"), delta("c", "b"))
    assert played.sent[2] == {**create(without(HISTORY, BARE)), "stream_id": "a"}
    played.answer(created("resp_a", "a"), delta("a", "a"), completed("resp_a", "a"))
    assert [given["stream_id"] for given in played.given] == ["b", "b", "b", "a", "a", "a"]
    assert [(over.report.action, over.report.attempts) for over in played.over] == [("recovered", 2)]
    assert [type(fact) for fact in played.facts if isinstance(fact, Refused | Recovered)] == [Refused, Recovered]
    assert played.spent == 0


def test_the_moment_at_which_an_answer_begins() -> None:
    """It is when the client is given the first event, not when upstream has sent it; once a turn."""
    played = Played("recover").say(create([*HISTORY])).answer(created("resp_1"))
    assert played.began == []
    played.answer(delta(), delta(), completed("resp_1"))
    assert played.began == [1]
    played.say(create("and?", previous_response_id="resp_1")).answer(created("resp_2"))
    played.answer(completed("resp_2"))
    assert played.began == [1, 2]


def test_a_failed_recovery_relays_the_first_refusal() -> None:
    """When nothing helps, the client gets the first refusal, byte for byte, with the events in front of it."""
    first = text(created("resp_1"), b"") + text(item_not_found("rs_1"), b"")
    played = Played("recover").say(create([*HISTORY])).reply(first)
    assert len(played.sent) == 2
    second = error(None, "Item with id 'msg_1' not found.")
    for _ in range(2):
        played.answer(created("resp_n"), second)
    assert played.client == first
    assert len(played.sent) == 3
    assert played.reports[-1].action == "unrecovered"
    assert played.spent == len(played.sent) - 1
    assert [over.is_complete for over in played.over] == [True]


@pytest.mark.parametrize(
    "refusal",
    [
        error("rate_limit_exceeded", "Slow down.", status=429),
        error("server_error", "Oops.", status=500),
        error(None, "Item with id 'rs_1' not found.", status=503),
    ],
)
def test_what_is_said_on_the_way_is_relayed(refusal: dict[str, Any]) -> None:
    """A limit or a failure that meets a recovery is what the client gets."""
    played = Played("recover").say(create([*HISTORY])).answer(item_not_found("rs_1"), refusal)
    assert played.given == [refusal]


SHAPES = [
    {"type": "error", "code": None, "message": "Item with id 'rs_1' not found.", "param": None},
    {"type": "error", "status_code": 404, "error": {"message": "Item with id 'rs_1' not found."}},
    event("failed", response={"id": "resp_1", "error": {"code": "x", "message": "Item with id 'rs_1' not found."}}),
    {"error": {"code": 400, "message": "Item with id 'rs_1' not found."}},
]


@pytest.mark.parametrize("refusal", SHAPES, ids=["flat", "status_code", "failed", "bare"])
def test_refusals_of_every_shape_are_recovered(refusal: dict[str, Any]) -> None:
    """Relays word a refusal in several shapes; each is recovered as api.openai.com's is."""
    played = Played("recover").say(create([*HISTORY])).answer(refusal)
    assert len(played.sent) == 2
    assert played.given == []


def test_the_end_of_a_refused_response_is_not_another_refusal() -> None:
    """A relay says that a response failed twice: the second time is no word about the attempt that follows."""
    failed = event("failed", response={"id": "resp_1", "error": {"message": "Item with id 'rs_1' not found."}})
    played = Played("recover").say(create([*HISTORY])).answer(created("resp_1"), failed, failed)
    assert len(played.sent) == 2
    played.answer(created("resp_2"), delta())
    assert played.given == [created("resp_2"), delta()]


def test_nothing_is_recovered_once_it_is_decided() -> None:
    """A refusal after an event that commits is relayed, and so is one half a second after the first event."""
    refusal = event("failed", response={"id": "resp_1", "error": {"message": "Item with id 'rs_1' not found."}})
    for played in (
        Played("recover").say(create([*HISTORY])).answer(created("resp_1"), delta(), refusal),
        Played("recover").say(create([*HISTORY])).answer(created("resp_1")).later(0.6).answer(refusal),
    ):
        assert len(played.sent) == 1
        assert played.given[-1] == refusal


def test_no_recoveries() -> None:
    """Where recovery is switched off a refusal is relayed."""
    played = Played("recover", max_recoveries=0).say(create([*HISTORY])).answer(item_not_found("rs_1"))
    assert played.given == [item_not_found("rs_1")]


def test_a_turn_is_never_trimmed() -> None:
    """A conversation is not made shorter, as that could not be reported here."""
    items = [item for number in range(8) for item in (USER, {**ANSWER, "id": f"msg_{number}"})] + [USER]
    refusal = error(None, "No tool output found for function call call_9.")
    played = Played("recover").say(create(items))
    for _ in range(5):
        played.answer(refusal)
    assert all(len(sent["input"]) == len(items) for sent in played.sent)
    assert played.given[0] == refusal


def test_lessons_are_shared() -> None:
    """What was refused once is left out by the next turn's first attempt."""
    played = Played("recover").say(create([*HISTORY])).answer(item_not_found("rs_1"), created("resp_1"), delta())
    played.answer(completed("resp_1")).say(create([*HISTORY, USER]))
    assert played.sent[2]["input"] == without([*HISTORY, USER], BARE)


def test_a_lesson_takes_no_reference_that_is_needed() -> None:
    """What was learnt about a parent does not make a turn start fresh that has no history of its own."""
    turn = create([USER, ANSWER, USER], previous_response_id="resp_x")
    played = Played("recover").say(turn).answer(not_found("resp_x"), created("resp_1"), completed("resp_1"))
    assert "previous_response_id" not in played.sent[1]
    last = create("and?", previous_response_id="resp_x")
    assert played.say(last).sent[-1] == last
    assert played.say(create([USER, ANSWER, USER], previous_response_id="resp_x", stream_id="b")).sent[-1] == {
        **create(without([USER, ANSWER, USER])),
        "stream_id": "b",
    }


# Rule 11: a refused turn of an own parent.


def own_turn(items: Any, mode: str = "auto") -> Played:
    """A session whose second turn continues its first response."""
    played = Played(mode).say(create()).answer(created("resp_1"), delta(), completed("resp_1"))
    played.client = played.upstream = b""
    return played.say(create(items, previous_response_id="resp_1"))


UNKNOWN_FIELD = error("unknown_parameter", "Unknown parameter: 'input[0].status'.", param="input[0].status")
UNKNOWN_FIELD["error"]["param"] = "input[0].status"


@pytest.mark.parametrize("mode", ["auto", "strip", "recover"])
def test_an_own_turn_is_repaired_once_and_keeps_its_parent(mode: str) -> None:
    """A refusal about what a turn holds is recovered with one attempt, which continues the same response."""
    played = own_turn([{**ANSWER, "id": "msg_7"}, USER], mode).answer(UNKNOWN_FIELD)
    assert len(played.sent) == 2
    assert played.sent[1]["previous_response_id"] == "resp_1"
    assert "status" not in played.sent[1]["input"][0]
    assert played.given == []
    assert played.answer(created("resp_2"), delta()).given == [created("resp_2"), delta()]


@pytest.mark.parametrize("mode", ["auto", "strip", "recover"])
def test_a_parent_that_was_forgotten_is_what_the_client_is_told_of(mode: str) -> None:
    """Upstream forgets the parent of a turn that it refuses: a client that is told so sends everything, and goes on."""
    played = own_turn([{**ANSWER, "id": "msg_7"}, USER], mode).answer(UNKNOWN_FIELD, not_found("resp_1"))
    assert played.given == [not_found("resp_1")]
    assert played.say(create([USER, {**ANSWER, "id": "msg_7"}, USER])).sent[-1]["type"] == "response.create"


def test_any_other_second_refusal_of_an_own_turn_is_not_told() -> None:
    """Where the attempt is refused for another reason, the client gets the first refusal."""
    played = own_turn([{**ANSWER, "id": "msg_7"}, USER]).answer(UNKNOWN_FIELD, item_not_found("msg_7"))
    assert played.given == [UNKNOWN_FIELD]


@pytest.mark.parametrize("mode", ["auto", "strip", "recover"])
@pytest.mark.parametrize("refusal", [not_found("resp_1"), item_not_found("rs_1")])
def test_an_own_parent_that_is_gone_is_for_the_client(mode: str, refusal: dict[str, Any]) -> None:
    """A turn whose own parent, or a part of it, is not found any more is not sent in another form."""
    played = own_turn(HISTORY, mode).answer(refusal)
    assert len(played.sent) == 1
    assert played.given == [refusal]


# Rule 12: not ours.


@pytest.mark.parametrize(
    "refusal",
    [
        error("websocket_connection_limit_reached", "Responses websocket connection limit reached (60 minutes)."),
        error("websocket_stream_limit_reached", "Too many streams."),
        error("invalid_stream_id", "Invalid stream id."),
        error("invalid_api_key", "Incorrect API key provided.", status=401),
        error(None, "Forbidden.", status=403),
        error("rate_limit_exceeded", "Rate limit reached.", status=429),
        error("server_error", "The server had an error.", status=500),
        error("model_not_found", "The model 'x' does not exist.", status=404),
    ],
    ids=lambda refusal: refusal["error"]["code"],
)
def test_what_is_not_ours_is_relayed(refusal: dict[str, Any]) -> None:
    """Limits, keys and failures are the client's to see, as they were said."""
    played = Played("recover").say(create([*HISTORY], previous_response_id="resp_x")).answer(refusal)
    assert played.client == text(refusal, b"")
    assert len(played.sent) == 1
    assert played.over[0].is_complete


# Rule 13: the store.


def test_a_response_is_remembered() -> None:
    """A store hears what a turn was and the events that its response is made of; deltas are not for it."""
    done = event("output_item.done", item=ANSWER, output_index=0)
    played = Played(store={}).say(create([USER]))
    played.answer(created("resp_1"), delta(), done, completed("resp_1"))
    assert [json.loads(heard) for heard in played.heard] == [created("resp_1"), done, completed("resp_1")]
    assert played.records[0].items == (json.dumps(USER).encode(),)
    played.say(create([USER], previous_response_id="resp_1")).answer(created("resp_2"), delta())
    assert played.records[1].previous == "resp_1"


# Rule 14: what would be too long.


def test_what_would_be_too_long_goes_as_it_came() -> None:
    """A history that would not fit into a message is not put in front of a turn; then a refusal is the client's."""
    turn = create([USER], previous_response_id="resp_x")
    long = {"role": "user", "content": "x" * LARGEST}
    played = Played(store={"resp_x": [long]}).say(turn)
    assert played.upstream == text(turn)
    assert played.answer(not_found("resp_x")).given == [not_found("resp_x")]
    assert played.reports[0].attempts == 1


# Rule 15: observe.


def test_observe_changes_and_holds_nothing() -> None:
    """In observe mode everything passes at once, and the report says what would have been done."""
    turn = create([USER, ANSWER, USER], previous_response_id="resp_x")
    played = Played("observe").say(turn, turn)
    assert played.upstream == text(turn) * 2
    assert played.reports[0].action == "observed"
    assert played.reports[0].removed == {"previous_response_id": 1, "item_id": 1}
    refusal = not_found("resp_x")
    assert played.answer(created("resp_1"), refusal).given == [created("resp_1"), refusal]


# Rule 16: draining.


def test_draining_ends_an_idle_session() -> None:
    """A session without a turn is told to connect anew."""
    played = Played()
    played.perform(played.session.drain())
    assert played.client == close_frame(1012)
    assert played.goodbyes == 1


def test_draining_waits_for_the_last_event() -> None:
    """A session with turns goes on to the last of their events; a turn that arrives meanwhile is not sent."""
    played = Played().say(create("1"), create("2")).answer(created("resp_1"), delta())
    played.perform(played.session.drain())
    played.say(create("3")).answer(completed("resp_1"), created("resp_2"))
    assert played.goodbyes == 0
    whole = text(completed("resp_2"), b"")
    played.reply(whole[:20])
    assert played.goodbyes == 0
    assert played.reply(whole[20:]).goodbyes == 1
    assert played.client.endswith(whole + close_frame(1012))
    assert [sent["input"] for sent in played.sent] == ["1", "2"]
    assert played.reply(b"more").client.endswith(close_frame(1012))


# Limits.


def test_too_many_turns_are_not_read() -> None:
    """Beyond 32 turns that wait, or more bytes than a turn may have, the client is not read until some have gone."""
    played = Played().say(*[create(str(number)) for number in range(WAITING)])
    assert not played.session.reads_client
    assert played.answer(created("resp_1"), completed("resp_1")).session.reads_client
    assert Played(most=10_000).say(create("1"), create("x" * 3000)).session.reads_client
    assert not Played(most=10_000).say(create("1"), create("x" * 3000), create("x" * 3000)).session.reads_client


def test_what_upstream_never_ends_is_not_remembered_for_ever() -> None:
    """Of more than a thousand turns without an end no more are taken, and of upstream's own no more are counted."""
    played = Played("observe").say(*[create(str(number)) for number in range(1024)])
    assert not played.session.reads_client
    assert len(played.sent) == 1024
    other = Played()
    for number in range(1100):
        other.answer(created(f"resp_{number}", str(number)))
    assert len(other.given) == 1100
    assert len(list(other.session._turns.lanes)) == 1024


def test_an_id_that_is_too_long_is_not_own() -> None:
    """An id that no upstream makes is not remembered."""
    long = "r" * 1000
    played = Played("strip").say(create()).answer(created(long), completed(long))
    assert "previous_response_id" not in played.say(create(HISTORY, previous_response_id=long)).sent[1]


def test_many_held_events_decide() -> None:
    """More than a mebibyte of events is not held."""
    many = event("in_progress", response={"id": "resp_1", "instructions": "x" * 400_000})
    played = Played().say(create()).answer(created("resp_1"), many)
    assert played.given == []
    assert len(played.answer(many).given) == 3
    assert played.session.size == 0


def test_a_long_event_decides() -> None:
    """An event that is too long to be held is passed, and decides the turns that it may be about."""
    long = event("in_progress", response={"id": "resp_1", "instructions": "x" * MOST_HELD})
    played = Played("recover").say(create([*HISTORY])).answer(created("resp_1"), long, item_not_found("rs_1"))
    assert played.given == [created("resp_1"), long, item_not_found("rs_1")]
    assert played.session.size == 0


def test_an_idle_session_holds_nothing() -> None:
    """When all turns have ended nothing is held."""
    played = Played("strip").say(create([*HISTORY])).answer(created("resp_1"), delta(), completed("resp_1"))
    assert played.session.size == 0
    assert not played.session.is_busy
    assert not played.session.end()


# A4, row by row; those that are rules are above.


def test_the_successor_of_a_steered_response() -> None:
    """A response that upstream begins by itself is relayed, and own; a turn in its lane is not judged by it."""
    steer = {"type": "response.steer", "previous_response_id": "resp_1", "input": "stop"}
    played = Played("recover").say(create("1")).answer(created("resp_1"), delta()).say(create([*HISTORY]), steer)
    played.answer(event("incomplete", response={"id": "resp_1"}), created("resp_2"), item_not_found("rs_1"))
    assert len(played.given) == 5
    assert len(played.sent) == 3
    turn = create(CALL_OUTPUT, previous_response_id="resp_2")
    assert played.say(turn).sent[-1] == turn


def test_a_successor_of_no_turn() -> None:
    """A response of upstream's own that nobody waits for is a turn in progress: draining waits for its end."""
    played = Played().answer(created("resp_9"), delta())
    played.perform(played.session.drain())
    assert played.goodbyes == 0
    assert played.answer(completed("resp_9")).goodbyes == 1


@pytest.mark.parametrize("mode", ["auto", "strip"])
@pytest.mark.parametrize("parent", ["null", "7", '"resp_x", "previous_response_id": null'])
def test_odd_parents(mode: str, parent: str) -> None:
    """A parent that is null or no text is left as it is; of two the last one counts."""
    said = b'{"type": "response.create", "previous_response_id": %s, "input": "hi"}' % parent.encode()
    assert Played(mode).send(text(said)).upstream == text(said)


def test_a_conversation_goes_as_it_came() -> None:
    """A turn in a conversation of upstream's goes as it came, also in strip mode."""
    turn = create(HISTORY, conversation="conv_1")
    assert Played("strip").say(turn).upstream == text(turn)


@pytest.mark.parametrize("sizes", [[1] * 60, [0, 0, 3], [5]])
def test_a_fragmented_turn_is_one_turn(sizes: list[int]) -> None:
    """Fragments of any size are one turn, and a ping between them overtakes it."""
    ping = frame(b"!", KEY, PING)
    payload = json.dumps(create([USER, ANSWER, USER])).encode()
    data = fragmented(payload, sizes, lambda number: ping if number == 0 else b"")
    played = Played()
    for byte in data:
        played.send(bytes((byte,)))
    assert played.upstream.startswith(ping)
    assert played.sent == [create(without([USER, ANSWER, USER]))]


GARBAGE = {
    "unmasked": frame(b"{}"),
    "reserved opcode": frame(b"{}", KEY, 3),
    "reserved control opcode": frame(b"{}", KEY, 0xB),
    "long control frame": frame(b"x" * 126, KEY, PING),
    "control frame in fragments": b"\x09\x80" + KEY,
    "continuation of nothing": frame(b"x", KEY, 0),
    "text amid a text": b"\x01\x80" + KEY + text(create()),
    "2^63 bytes": bytes.fromhex("82ff8000000000000000") + KEY + b"abc",
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_what_the_protocol_forbids_passes_as_bytes(garbage: bytes) -> None:
    """What a client may not send is for upstream to refuse; from then on nothing is read any more."""
    played = Played("recover").say(create("1")).send(garbage).send(b"anything")
    assert played.upstream == text(create("1")) + garbage + b"anything"
    assert played.session.size < 1000
    closed = close_frame(1002, b"protocol error")
    assert played.reply(closed).client == closed


def test_turns_that_wait_are_sent_before_what_is_no_websocket() -> None:
    """When a session becomes a tunnel, what waited and what was held goes on in its order."""
    played = Played("recover").say(create([*HISTORY]), create("2"), create("3")).answer(created("resp_1"))
    assert played.client == b""
    played.send(b"\x00\x00")
    assert played.given == [created("resp_1")]
    assert [sent["input"] for sent in played.sent[1:]] == ["2", "3"]
    assert played.upstream.endswith(b"\x00\x00")


def test_an_upstream_that_compresses_makes_a_tunnel() -> None:
    """Compressed messages that nobody asked for pass unread, and so does all that follows."""
    compressed = bytearray(text(created("resp_1"), b""))
    compressed[0] |= 0x40
    played = Played("strip").say(create("1")).reply(bytes(compressed))
    assert played.client == bytes(compressed)
    turn = create(HISTORY, previous_response_id="resp_x")
    assert played.say(turn).sent[-1] == turn


def test_a_turn_that_upstream_finds_too_long() -> None:
    """Upstream's close frame reaches the client with its code and its reason."""
    closed = close_frame(1009, b"message too big")
    played = Played(most=1 << 26).say(create("x" * (17 << 20)))
    assert len(played.upstream) > 17 << 20
    assert played.reply(closed).client == closed


def test_an_error_of_no_lane_while_several_turns_wait() -> None:
    """An error that may be about several turns is relayed, and recovers none."""
    played = Played("recover").say(create([*HISTORY], stream_id="a"), create([*HISTORY], stream_id="b"))
    refusal = item_not_found("rs_1")
    assert played.answer(refusal).given == [refusal]
    assert len(played.sent) == 2


def test_an_error_of_no_lane_while_one_turn_waits() -> None:
    """An error that can be about one turn only is that turn's."""
    played = Played("recover").say(create([*HISTORY], stream_id="a")).answer(item_not_found("rs_1"))
    assert len(played.sent) == 2
    assert played.given == []


def test_a_client_that_leaves_while_a_refusal_is_judged() -> None:
    """When the client has left nothing more is sent upstream."""
    played = Played("recover", performs=False).say(create([*HISTORY] * 400))
    while played.asked:
        played.do()
    sent = played.upstream
    played.answer(item_not_found("rs_1"))
    assert played.asked
    assert played.perform(played.session.client_ended()).upstream == sent
    while played.asked:
        played.do()
    assert played.upstream == sent
    played.perform(played.session.end())
    assert [over.is_complete for over in played.over] == [False]


def test_half_a_frame_stays_half_a_frame() -> None:
    """What a side sent of a message before it left reaches the other as far as it came."""
    message = text(create())
    for cut in (1, 3, 20):
        played = Played().send(message[:cut])
        assert played.upstream == b""
        assert played.perform(played.session.client_ended()).upstream == message[:cut]
        played = Played().say(create()).reply(text(created("resp_1"), b"")[:cut])
        assert played.perform(played.session.upstream_ended()).client == text(created("resp_1"), b"")[:cut]


@pytest.mark.parametrize("closes", [True, False])
def test_upstream_leaves_while_a_refusal_is_held(*, closes: bool) -> None:
    """What is held reaches the client before the end does, as it came."""
    held = text(created("resp_1"), b"") + text(item_not_found("rs_1"), b"")
    played = Played("recover").say(create([*HISTORY])).reply(held)
    assert len(played.sent) == 2
    assert played.client == b""
    end = close_frame(1011)
    if closes:
        assert played.reply(end).client == held + end
    else:
        assert played.perform(played.session.upstream_ended()).client == held
    played.say(create())
    assert len(played.sent) == 2


def test_nothing_follows_a_close_frame_of_the_client() -> None:
    """Turns that wait are forgotten when their client says goodbye."""
    played = Played().say(create("1"), create("2")).send(close_frame(1000, mask=KEY))
    played.answer(created("resp_1"), delta(), completed("resp_1"))
    assert [opcode for *_, opcode in frames(played.upstream)] == [1, CLOSE]
    assert [over.is_complete for over in played.over] == [False, True]


# What cannot be performed.


def test_a_turn_that_cannot_be_performed() -> None:
    """A turn for which this process has no room is answered with an error in its lane, and the next one is taken."""
    failure = Failure(503, "too_busy", "Too much to do.", "server_error")
    played = Played(performs=False).say(create([*HISTORY] * 1000, stream_id="a"), create("2", stream_id="a"))
    played.do()
    played.do(failure)
    assert played.given == [
        {
            "type": "error",
            "status": 503,
            "stream_id": "a",
            "error": {"type": "server_error", "code": "too_busy", "message": "Too much to do.", "param": None},
        }
    ]
    assert [sent["input"] for sent in played.sent] == ["2"]
    assert [(over.fault, over.model) for over in played.over] == [("too_busy", "m")]


def test_a_message_that_cannot_be_looked_at() -> None:
    """A message for which there is no room is refused, and the connection goes on."""
    played = Played(performs=False).say(create([*HISTORY] * 1000)).do(Failure(503, "too_busy", "Too much to do."))
    assert [given["error"]["code"] for given in played.given] == ["too_busy"]
    assert played.say(create()).sent == [create()]


def test_a_recovery_that_cannot_be_performed() -> None:
    """Where there is no room to recover a turn the first refusal stands."""
    played = Played("recover", performs=False).say(create([*HISTORY] * 400))
    while played.asked:
        played.do()
    played.answer(item_not_found("rs_1")).do(Failure(503, "too_busy", "Too much to do."))
    assert played.given == [item_not_found("rs_1")]


def test_strip_refuses_what_is_too_complex_to_be_read() -> None:
    """In strip mode a turn with more values than are read is refused; in the others it goes as it came."""
    said = b'{"type": "response.create", "input": [' + b"[]," * 600_000 + b"[]]}"
    played = Played("strip", most=1 << 26).send(text(said))
    assert [given["error"]["code"] for given in played.given] == ["request_too_complex"]
    assert played.upstream == b""
    assert Played(most=1 << 26).send(text(said)).upstream == text(said)


# Ways through the core that the rules above do not take.


def test_what_is_ready_waits_for_the_end_of_a_message_that_passes() -> None:
    """A turn that was computed while a binary message passes, and an error, do not go between its frames."""
    binary = frame(b"\0" * 50, KEY, BINARY)
    played = Played(performs=False).say(create([*HISTORY] * 1000)).do()
    played.send(binary[:20])
    while played.asked:
        played.do()
    assert played.upstream == binary[:20]
    assert len(played.send(binary[20:]).sent) == 2
    text_of_upstream = text(delta("x" * 50), b"")
    other = Played(performs=False).reply(text_of_upstream[:20]).say(create([*HISTORY] * 1000)).do(BUSY)
    assert other.client == text_of_upstream[:20]
    assert other.reply(text_of_upstream[20:]).given[1]["error"]["code"] == "too_busy"


BUSY = Failure(503, "too_busy", "Too much to do.", "server_error")


@pytest.mark.parametrize("said", ['{"type": "response.create", "input": "\\ud800", "x": NaN}', '\ufeff{"type": "x"}'])
def test_json_that_a_fast_parser_refuses(said: str) -> None:
    """A turn with a lone surrogate or NaN is a turn; other JSON of that kind is none."""
    payload = said.encode("utf-8", "surrogatepass")
    played = Played().send(text(payload))
    assert played.upstream == text(payload)
    assert bool(played.session._turns.are_there) is ("create" in said)


def test_events_of_odd_shapes_pass() -> None:
    """Events whose response is none, or that are no JSON, decide a turn and are passed on."""
    for odd in (event("created", response=7), event("output_item.done", response_id="resp_1"), b"no json", [1]):
        assert Played("recover").say(create([*HISTORY])).answer(odd).later(1).given == [odd]


def test_a_locked_conversation_is_tried_again() -> None:
    """The same turn is sent again after a moment where upstream says that time alone may help."""
    locked = error("conversation_locked", "Another process is currently operating on this conversation.")
    turn = create("hi", conversation="conv_1")
    played = Played().say(turn).answer(locked)
    assert played.sent == [turn]
    assert played.answer(event("queued", response={"id": "resp_0"})).given == []
    played.later(0.4)
    assert played.sent == [turn, turn]
    assert frames(played.upstream)[0] == frames(played.upstream)[1]
    assert played.answer(created("resp_1"), delta()).given == [created("resp_1"), delta()]


def test_a_wait_that_is_overtaken() -> None:
    """A turn that waits to be sent again is not, once upstream has left."""
    locked = error("conversation_locked", "Another process is currently operating on this conversation.")
    played = Played().say(create("hi")).answer(locked).reply(close_frame(1000)).later(1)
    assert len(played.sent) == 1
    assert played.given == [locked]


def test_too_much_work_is_not_done() -> None:
    """A turn whose forms have taken a second of processor time is not tried in another one."""
    played = Played("recover", performs=False).say(create([*HISTORY] * 400)).do()
    while played.asked:
        ask = played.asked.pop(0)
        assert ask.turn == 1
        played.perform(played.session.resume(ask.ticket, played._result(ask.step), 2.0))
    played.answer(item_not_found("rs_1"))
    while played.asked:
        played.do()
    assert played.given == [item_not_found("rs_1")]
    assert len(played.sent) == 1


def test_what_is_decided_while_a_step_is_performed() -> None:
    """Where upstream leaves while its refusal is judged, the refusal is relayed, and the step's result is nothing."""
    played = Played("recover", performs=False).say(create([*HISTORY] * 400))
    while played.asked:
        played.do()
    refusal = item_not_found("rs_1")
    played.answer(refusal, delta()).perform(played.session.upstream_ended())
    assert played.given == [refusal, delta()]
    assert played.reports[0].action == "unrecovered"
    assert played.do().given == [refusal, delta()]


def test_an_own_turn_may_be_steered() -> None:
    """Steering a response that is not of this connection changes nothing for its turns."""
    steer = {"type": "response.steer", "previous_response_id": "resp_other", "input": "stop"}
    played = Played("recover").say(create([*HISTORY]), steer).answer(item_not_found("rs_1"))
    assert len(played.sent) == 3
    assert played.given == []


def test_what_upstream_leaves_out_is_stated() -> None:
    """Where an answer says that the model did not see a blob, an observer is told."""
    blob = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "blob"}
    left = [{"type": "drop", "reason": "could_not_decrypt"}]
    played = Played().say(create([USER, blob, ANSWER, USER]))
    played.answer(created("resp_1"), delta(), completed("resp_1", input_transformations=left))
    assert [fact.credential for fact in played.facts if isinstance(fact, LeftOutByUpstream)] == ["caller"]


def test_large_events_are_looked_at_elsewhere() -> None:
    """An event that takes long to read is read in another thread; those behind it wait for that."""
    long = completed("resp_1", instructions="x" * 100_000)
    played = Played(performs=False).say(create()).answer(created("resp_1"), delta()).answer(long, delta("late"))
    assert played.session.is_reading
    assert len(played.given) == 3
    assert played.do().given == [created("resp_1"), delta(), long, delta("late")]
    assert played.over[0].is_complete
    judged = Played("recover", performs=False).say(create([*HISTORY])).answer(long)
    assert judged.given == []
    assert not judged.session.reads_upstream
    assert judged.do(BUSY).given == [long]


def test_a_tunnel_waits_for_what_is_looked_at() -> None:
    """A session becomes a tunnel when what is being read has been."""
    turn = create([*HISTORY] * 1000)
    played = Played(performs=False).say(turn).reply(b"\xc1\x00")
    assert played.upstream == b""
    assert not played.session.reads_client
    assert not played.session.reads_upstream
    played.do()
    assert played.upstream == text(turn)
    assert played.client == b"\xc1\x00"
    assert played.session.reads_client


def test_the_code_of_the_first_close_frame_is_known() -> None:
    """What the socket ended with is known, whichever side said it, and nothing where it said nothing."""
    played = Played().send(close_frame(4003, b"enough", KEY)).reply(close_frame(1000))
    assert played.session.close_code == 4003
    assert Played().reply(frame(b"", b"", CLOSE)).session.close_code is None


def test_without_room_a_message_passes_or_is_refused() -> None:
    """Where this process holds as much as it may, a message of which more is to come passes; in strip it is refused."""
    message = text(create("x" * 500))
    for mode, sent, codes in (("auto", message, []), ("strip", b"", ["out_of_memory"])):
        played = Played(mode).send(message[:100])
        played.perform(played.session.from_client(message[100:200], has_room=False)).send(message[200:])
        assert played.upstream == sent
        assert [given["error"]["code"] for given in played.given] == codes


def test_many_pieces_are_read_in_turns() -> None:
    """A call reads a bounded number of frames, and says that there are more."""
    played = Played()
    pings = frame(b"", KEY, PING) * 5000
    steps = played.session.from_client(pings)
    assert played.session.has_more
    assert len(played.perform(steps).upstream) == len(pings)


def test_lanes_are_numbered() -> None:
    """Lanes have numbers in the order in which they were first used, as their names are not to be written down."""
    played = Played().say(create(stream_id="b"), create(), create(stream_id="b" * 999))
    for lane, number in (("b", 0), ("", 1), ("b" * 999, 2)):
        played.answer(created(f"resp_{number}", lane), completed(f"resp_{number}", lane))
    assert [over.lane for over in played.over] == [0, 1, 2]
    for number in range(1100):
        played.say(create(stream_id=str(number))).answer(completed("resp_x", str(number)))
    assert played.over[-1].lane == 1024
