"""What is remembered of a request and its answer, by table."""

import json
from typing import Any

import pytest

from proxy.responses.history.recall import Recalled
from proxy.responses.history.recording import (
    ELSEWHERE,
    Made,
    Remembered,
    Replays,
    RequestRecord,
    Trail,
    completed,
    inlined,
    made,
    references,
    remembered,
)
from proxy.responses.policy import Policy
from proxy.responses.steps import Forward, Recall
from tests.responses.history.test_recall import CALL, LOOKS, NEXT, PARENT, REFERENCE, RESULT, SAID, USER, body
from tests.support.driven import Driven

STORE = Policy(mode="strip", recalls=True)
NOWHERE = Recalled(None, {})
THOUGHT = b'{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"g"}'


def asked(plain: bytes, *found: Recalled | None, policy: Policy = STORE) -> RequestRecord | None:
    """What is remembered of a request for which the store knew this."""
    exchange = Driven(plain, policy)
    step = exchange.start()
    for one in found if isinstance(step, Recall) else ():
        assert isinstance(step, Recall)
        step = exchange.recalled(one)
    assert isinstance(step, Forward)
    exchange.settle(200)
    return exchange.request_record()


# What of a request.


@pytest.mark.parametrize(
    ("plain", "items"),
    [
        (body(USER, SAID, NEXT, parent=False), (USER, SAID, NEXT)),
        (b'{"input":"a \\ud800"}', (b'{"role":"user","content":"a \\ud800"}',)),
        (b'{"input":""}', ()),
        (b'{"input":[]}', ()),
        (b'{"input":null}', ()),
        (b'{"input":[5, {"role" :"user"} ]}', (b"5", b'{"role" :"user"}')),
    ],
)
def test_the_input_as_it_was_sent(plain: bytes, items: tuple[bytes, ...]) -> None:
    """The items are the client's bytes, labels included: the store is asked for the ids they have."""
    assert asked(plain) == RequestRecord(None, items, Trail())


@pytest.mark.parametrize(
    ("plain", "found", "previous", "items"),
    [
        (body(NEXT), [Recalled((USER, SAID), {})], "resp_1", (NEXT,)),
        (body(NEXT), [NOWHERE] * LOOKS, "resp_1", (NEXT,)),
        (body(NEXT), [None], "resp_1", (NEXT,)),
        (body(USER, SAID, NEXT), [Recalled((USER, SAID), {})], None, (USER, SAID, NEXT)),
        (body(USER, REFERENCE, NEXT, parent=False), [Recalled(None, {"msg_1": SAID})], None, (USER, SAID, NEXT)),
        (body(USER, REFERENCE, NEXT, parent=False), [NOWHERE] * LOOKS, None, (USER, REFERENCE, NEXT)),
        (body(RESULT), [NOWHERE] * LOOKS, "resp_1", (RESULT,)),
    ],
)
def test_what_it_continues(plain: bytes, found: Any, previous: str | None, items: Any) -> None:
    """Each item once: a history is the previous response's, and what was sent without it continues nothing."""
    told = asked(plain, *found)
    assert told is not None
    assert (told.previous, told.items) == (previous, items)


def test_what_no_store_can_be_asked_for() -> None:
    """A previous response whose id is none of upstream's is known nowhere, whatever upstream makes of it."""
    plain = b'{"previous_response_id":"\\ud800","input":[]}'
    assert asked(plain, policy=Policy(mode="recover", recalls=True)) == RequestRecord(ELSEWHERE, ())


def test_while_upstream_knows() -> None:
    """In `recover` mode the previous response stays, and the new items continue it."""
    assert asked(body(NEXT), policy=Policy(mode="recover", recalls=True)) == RequestRecord("resp_1", (NEXT,))


def test_observe() -> None:
    """In `observe` mode what came was sent, whatever would have been taken out."""
    observe = Policy(mode="observe", recalls=True)
    assert asked(body(NEXT), NOWHERE, policy=observe) == RequestRecord("resp_1", (NEXT,))


def test_a_conversation() -> None:
    """What only upstream's conversation holds is continued by nothing of ours, until it is dropped."""
    plain = b'{"conversation":"conv_1","input":[%b],"background":true}' % NEXT
    assert asked(plain) == RequestRecord(ELSEWHERE, (NEXT,), None, background=True)
    dropping = Policy(mode="strip", recalls=True, drop_conversation=True)
    assert asked(plain, policy=dropping) == RequestRecord(None, (NEXT,), Trail(), background=True)


@pytest.mark.parametrize("plain", [b"[]", b"{", b'{"store":false,"input":[]}'])
def test_what_is_not_remembered(plain: bytes) -> None:
    """What is no request, and what is not to be stored, is not remembered; without a store nothing is."""
    assert asked(plain) is None
    assert asked(b'{"input":[]}', policy=Policy(mode="strip")) is None


def test_the_operators_word() -> None:
    """`store: false` holds unless the operator says otherwise."""
    assert (
        asked(b'{"store":false,"input":[]}', policy=Policy(mode="strip", recalls=True, remembers_all=True)) is not None
    )


# What of an answer.


def answer(**more: Any) -> bytes:
    """A response's JSON."""
    return json.dumps({"id": "resp_2", "status": "completed", "output": [json.loads(SAID)], **more}).encode()


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (b'{"id":"resp_2","status":"completed","output":[ %b ]}' % SAID, Made("resp_2", True, False, True, (SAID,))),
        (answer(output=[]), Made("resp_2", True, False, True, ())),
        (answer(output=None, status="incomplete"), Made("resp_2", True, False, True, ())),
        (b'{"id":"resp_2"}', Made("resp_2", True, False, True, ())),
        (answer(output=[], store=False), Made("resp_2", True, False, False, ())),
        (answer(output=[], status="queued", background=True), Made("resp_2", False, True, True, ())),
        (answer(status="failed", output=[]), Made("resp_2", False, False, True, (), failed=True)),
        (answer(status="cancelled", output=[]), Made("resp_2", False, False, True, (), failed=True)),
        (answer(id=None), None),
        (answer(id=""), None),
        (b"[]", None),
        (b'{"id":', None),
    ],
)
def test_answers(response: bytes, expected: Made | None) -> None:
    """A response that can be continued: its id, what was made, and whether more will come."""
    found = made(response)
    assert (found and found._replace(outline=None)) == expected


def test_a_turn() -> None:
    """A turn is the input, then the output."""
    told = remembered(RequestRecord("resp_1", (NEXT,)), Made("resp_2", True, False, True, (SAID,)))
    assert told == Remembered("resp_2", "resp_1", (NEXT, SAID), 1)


def test_a_turn_in_the_background() -> None:
    """The request is remembered when it is queued, and the response when it is looked at: together they are a turn."""
    waiting = Made("resp_2", False, True, True, ())
    done = Made("resp_2", True, True, True, (SAID,))
    begun = remembered(RequestRecord("resp_1", (NEXT,)), waiting)
    ended = completed(done)
    assert ended is not None
    assert (begun.previous, begun.items) == ("resp_1", (NEXT,))
    assert (ended.response_id, ended.previous, ended.items) == ("resp_2", begun.response_id, (SAID,))
    assert completed(waiting) is None
    assert completed(done._replace(background=False)) is None


# A client that sends the whole conversation each time.


def test_each_item_once() -> None:
    """A conversation that is sent along whole costs its new items: what came before is known by what it says."""
    replays = Replays()
    items: tuple[bytes, ...] = ()
    listed = 0
    previous = None
    for turn in range(50):
        items += (USER.replace(b"1e400", b"%d" % turn),)
        short = replays.shortened("me", RequestRecord(None, items, Trail()))
        assert short.previous == previous
        said = SAID.replace(b"hi", b"%d" % turn)
        made_ = Made(f"resp_{turn}", True, False, True, (THOUGHT, said))
        told = remembered(short, made_)
        learn(replays, short, told.response_id, made_.output)
        previous = told.response_id
        listed += len(told.items)
        items += (said.replace(b'"id":"msg_1",', b""),)
    assert listed == 50 * 3


def learn(replays: Replays, asked: RequestRecord, response_id: str, output: tuple[bytes, ...]) -> None:
    """Have a response learnt, as it is when it has been answered."""
    assert asked.trail is not None
    replays.learn("me", asked.trail.after(output), response_id)


def test_what_is_not_known() -> None:
    """Other words, another's conversation, and a response that was forgotten are no history."""
    replays = Replays()
    first = RequestRecord(None, (USER,), Trail())
    learn(replays, replays.shortened("me", first), "resp_1", (SAID,))
    whole = RequestRecord(None, (USER, SAID, NEXT), Trail())
    assert replays.shortened("me", whole)[:2] == ("resp_1", (NEXT,))
    assert replays.shortened("you", whole)[:2] == whole[:2]
    assert replays.shortened("me", first)[:2] == first[:2]
    other = RequestRecord(None, (USER, SAID.replace(b"hi", b"ho"), NEXT), Trail())
    assert replays.shortened("me", other)[:2] == other[:2]
    continued = RequestRecord("resp_0", (SAID, NEXT))
    assert replays.shortened("me", continued) is continued
    replays.forget("you", "resp_1")
    assert replays.shortened("me", whole).previous == "resp_1"
    replays.forget("me", "resp_1")
    assert replays.shortened("me", whole)[:2] == whole[:2]


def test_memory_is_bounded() -> None:
    """The conversations that were heard of longest ago are forgotten."""
    replays = Replays(capacity=2)
    for number in range(3):
        learn(replays, RequestRecord(None, (), Trail()), f"resp_{number}", (USER, CALL.replace(b"_1", b"_%d" % number)))
    known = [
        replays.shortened(
            "me", RequestRecord(None, (USER, CALL.replace(b"_1", b"_%d" % number), NEXT), Trail())
        ).previous
        for number in range(3)
    ]
    assert known == [None, "resp_1", "resp_2"]


def test_the_parent_is_the_tables() -> None:
    """The requests of these tests name the previous response that they expect."""
    assert b"resp_1" in PARENT


# References that upstream knew.


def test_what_upstream_knew_another_may_not() -> None:
    """References become the items that the store knows; what it does not know, and what is no reference, stays."""
    bare, odd = b'{"id":"msg_2"}', b'{"type":"item_reference","id":5}'
    known = b'{"type":"item_reference","id":"msg_1"}'
    large = b'{"type":"item_reference","id":"msg_3","x":"%s"}' % (b"x" * 1024)
    response = Remembered("resp_1", None, (USER, known, bare, odd, b"5", b"{", large))
    assert references(response) == ("msg_1", "msg_2")
    assert inlined(response, {"msg_1": SAID}).items == (USER, SAID, bare, odd, b"5", b"{", large)
    assert references(response._replace(items=(USER, SAID))) == ()


@pytest.mark.parametrize(
    ("item", "kept"),
    [
        (b'{\n  "id": "msg_1",\n  "n": [1e400, -0, 9007199254740993, 1.0 ],\t"s": " a \\u00e9 \\/" }',
         b'{"id":"msg_1","n":[1e400,-0,9007199254740993,1.0],"s":" a \\u00e9 \\/"}'),
        (b'{"a": 1, "a": 2}', b'{"a":1,"a":2}'),
        (b'{"a": "\\ud800"}', b'{"a": "\\ud800"}'),
        (b'{"a": NaN}', b'{"a": NaN}'),
        (b"[" * 2000 + b" " + b"]" * 2000, b"[" * 2000 + b" " + b"]" * 2000),
    ],
)  # fmt: skip
def test_what_upstream_wrote_widely(item: bytes, kept: bytes) -> None:
    """Items are kept without the white space of a whole answer, and no value changes."""
    answer = made(b'{"id": "resp_1", "status": "completed", "output": [%b]}' % item)
    assert answer is not None
    assert answer.output == (kept,)
