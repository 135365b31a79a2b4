"""A body in a form says what was taken out, what that cost, and whether it may be sent."""

import json
from typing import Any

import pytest

from proxy.responses.body.document import read
from proxy.responses.rewrite.form import Form
from proxy.responses.rewrite.rewriter import Rewrite, rewrite
from tests.support import samples
from tests.support.samples import IMAGE, PINNED, PLAIN, PNG, REASONING, SAID, USER, Item
from tests.support.validity import faults

PORTABLE = Form(portable=True)
REFERENCE: Item = {"type": "item_reference", "id": "msg_9"}
BARE: Item = {"type": "reasoning", "id": "rs_9", "summary": []}
PARENT: Item = {"previous_response_id": "resp_1"}
DRAWN: Item = {"type": "image_generation_call", "id": "ig_1", "result": PNG}
EXCHANGE = [USER, samples.call(), samples.output()]


def _rewritten(items: Any, form: Form = PORTABLE, /, **top: Any) -> Rewrite:
    payload = {"model": "m", **top} if items is None else {"model": "m", "input": items, **top}
    document = read(json.dumps(payload).encode())
    assert document is not None
    return rewrite(document, form)


def _sent(items: Any, form: Form, **top: Any) -> Any:
    return json.loads(_rewritten(items, form, **top).body)["input"]


ALONE = [
    ([USER, SAID, USER], {}),
    ([USER, SAID, USER], PARENT),
    ([PLAIN["message:system"], SAID, USER], PARENT),
    ([PLAIN["message:developer"], *EXCHANGE], PARENT),
    ([PLAIN["additional_tools"], USER, SAID, USER], PARENT),
    ([USER, SAID, USER, PLAIN["configuration_update"]], PARENT),
    ([USER, {**SAID, "id": "msg_9"}, REFERENCE, USER], {}),
    ([SAID, USER], {}),
    ([USER], {}),
    ("hello", {}),
    (None, {}),
    ([], {}),
    ([{**SAID, "id": "msg_1"}], {}),
    ([USER, SAID], {}),
    ([PLAIN["message:system"]], {}),
]
FRESH = [
    ([USER], PARENT),
    ("hello", PARENT),
    ([USER, USER], PARENT),
    ([SAID, USER], PARENT),
    ([{"type": "hologram"}, USER], PARENT),
    ([USER, {"type": "hologram"}, USER], PARENT),
    ([USER, REFERENCE, USER], {}),
    ([USER, REFERENCE, SAID, USER], PARENT),
    ([REFERENCE, USER], {}),
    ([BARE, SAID, USER], {}),
    ([USER, BARE, SAID, USER], {}),
    ([USER, BARE, *EXCHANGE], {}),
    ([PLAIN["additional_tools"], USER], PARENT),
]
UNANSWERABLE = [
    ([samples.output()], PARENT),
    ([samples.output(), USER], PARENT),
    ([USER, samples.output()], PARENT),
    ([USER, REFERENCE, samples.output()], {}),
    ([REFERENCE], {}),
    ([REFERENCE, REFERENCE], {}),
    ([USER, REFERENCE], {}),
    ([USER, SAID, REFERENCE], PARENT),
    ([], PARENT),
    ("", PARENT),
    (None, PARENT),
    ([PLAIN["message:system"]], PARENT),
    ([PLAIN["configuration_update"]], PARENT),
    ([USER, SAID], PARENT),
    ([USER, BARE, SAID], {}),
    ([USER, BARE], {}),
    ([USER, REASONING], {}),
    ([USER, samples.APPROVAL], PARENT),
    ([USER, DRAWN], {}),
    ([USER, samples.output()], {}),
    ([USER, SAID, samples.APPROVAL], {}),
    ([USER, {"type": "image_generation_call", "id": "ig_1"}], {}),
    ([5], PARENT),
]


@pytest.mark.parametrize(("items", "top"), ALONE)
def test_what_stands_alone(items: Any, top: Any) -> None:
    """A request that holds its whole history loses nothing but labels."""
    sent = _rewritten(items, **top)
    assert (sent.answerable, sent.stands_alone, sent.lossy) == (True, True, frozenset())


@pytest.mark.parametrize(("items", "top"), FRESH)
def test_what_starts_fresh(items: Any, top: Any) -> None:
    """A question that lost some of its history can be answered, and that is said to be a loss."""
    sent = _rewritten(items, **top)
    assert (sent.answerable, sent.stands_alone, bool(sent.lossy)) == (True, False, True)
    assert faults(sent.body) == [] or isinstance(items, str)


@pytest.mark.parametrize(("items", "top"), UNANSWERABLE)
def test_what_cannot_be_answered(items: Any, top: Any) -> None:
    """Tool outputs alone, nothing but references, or an end that went: nobody asked that question."""
    sent = _rewritten(items, **top)
    assert not sent.answerable
    assert not sent.stands_alone


def test_a_replaced_end() -> None:
    """What is repaired in the middle may be sent; where the end itself is replaced, the question is another one."""
    assert _rewritten([USER, DRAWN, USER]).answerable
    assert not _rewritten([USER, DRAWN]).answerable
    assert _rewritten([USER, samples.output(), USER]).answerable
    assert _rewritten([USER, samples.call()]).answerable
    assert not _rewritten([USER, PINNED["computer_call"]]).answerable


def test_the_last_input_counts() -> None:
    """Where `input` stands twice both are made portable, and the last one is judged."""
    body = b'{"input":[{"type":"item_reference","id":"x"}],"input":[{"role":"user","content":"x","id":"m"}]}'
    document = read(body)
    assert document is not None
    sent = rewrite(document, PORTABLE)
    assert sent.body == b'{"input":[],"input":[{"role":"user","content":"x"}]}'
    assert sent.answerable
    assert [entry.item.kind.label for entry in sent.entries] == ["message:user"]


CONVERSATION: Item = {"conversation": "conv_1"}


def test_conversations() -> None:
    """A request with a conversation is sent as it came: the history lives there."""
    sent = _rewritten(
        [{**USER, "id": "msg_1"}, REFERENCE, BARE, samples.output()], **CONVERSATION, status="x", **PARENT
    )
    assert (sent.removed, sent.lossy, sent.answerable) == ({}, frozenset(), True)


def test_dropping_conversations() -> None:
    """Where the operator wants it, the conversation is dropped and the rest applies; that is always a loss."""
    form = Form(portable=True, drop_conversation=True)
    sent = _rewritten([{**USER, "id": "msg_1"}, SAID, USER], form, conversation={"id": "conv_1"})
    assert json.loads(sent.body) == {"model": "m", "input": [USER, SAID, USER]}
    assert (dict(sent.removed), sent.lossy) == ({"conversation": 1, "item_id": 1}, {"conversation"})
    assert (sent.answerable, sent.stands_alone, sent.took_references) == (True, False, True)
    assert not _rewritten([samples.output()], form, **CONVERSATION).answerable


def test_repairs_while_references_stay() -> None:
    """With a parent that upstream knows, only named orphans are repaired; ids go, the parent stays."""
    items = [
        {**samples.output("a"), "id": "fco_1"},
        samples.output("b"),
        samples.call("c"),
        {**SAID, "id": "msg_1"},
        USER,
    ]
    sent = _rewritten(items, Form(repaired=True, unpaired=frozenset({"b"})), **PARENT)
    payload = json.loads(sent.body)
    assert payload["previous_response_id"] == "resp_1"
    assert [item.get("call_id", item.get("content")) for item in payload["input"]][:2] == [
        "a",
        "[Tool result for b] run_42 finished",
    ]
    assert "id" not in payload["input"][0]
    assert dict(sent.repaired) == {"orphan_output": 1, "placeholder": 1}
    assert (sent.answerable, sent.has_history) == (True, True)
    referring = [REFERENCE, samples.output("a"), USER]
    assert _sent(referring, Form(repaired=True)) == referring
    assert _sent([samples.output("a"), USER], Form(repaired=True), **CONVERSATION) == [samples.output("a"), USER]


def test_repairs_take_what_is_nothing_but_its_id() -> None:
    """Where all ids go, what is nothing but its id goes as well, and that is a loss."""
    items = [USER, BARE, {**SAID, "id": "msg_1"}, DRAWN, {**samples.call(), "id": "fc_1"}, samples.output()]
    sent = _rewritten(items, Form(repaired=True), **PARENT)
    assert json.loads(sent.body)["input"] == [USER, SAID, IMAGE, samples.call(), samples.output()]
    assert sent.lossy == {"reasoning", "image"}


def test_repairs_of_duplicates_and_calls() -> None:
    """A repair leaves one item of an id, and turns a call that was named into text."""
    items = [
        USER,
        {**SAID, "id": "msg_1"},
        {**SAID, "id": "msg_1"},
        PINNED["computer_call"],
        samples.COMPUTER_OUTPUT,
        USER,
    ]
    sent = _sent(items, Form(portable=True, repaired=True, unpaired=frozenset({"cu_1"})))
    assert [item["role"] for item in sent] == ["user", "assistant", "assistant", "assistant", "user"]


def test_trimming_a_conversation() -> None:
    """A conversation is trimmed without being made portable."""
    items = [{**USER, "id": "msg_1"}, SAID, {**USER, "id": "msg_2"}, {**USER, "id": "msg_3"}]
    sent = _rewritten(items, Form(portable=True, keep_last=1), **CONVERSATION)
    assert json.loads(sent.body)["input"] == items[2:]


def test_stray_fields_alone() -> None:
    """A refused field of the top level goes without anything else."""
    sent = _rewritten([{**USER, "id": "msg_1"}], Form(no_envelope=True), status="x", **PARENT)
    assert json.loads(sent.body) == {"model": "m", "input": [{**USER, "id": "msg_1"}], **PARENT}
    assert dict(sent.removed) == {"envelope_field": 1}


def test_summaries_are_given_where_demanded() -> None:
    """A summary that upstream demands is given, in the form that came as well."""
    item = {"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAAA"}
    demanded = frozenset({("reasoning", "summary")})
    assert _sent([USER, item, SAID, USER], Form(demanded=demanded))[1] == {**item, "summary": []}
    assert _sent([USER, item, SAID, USER], Form())[1] == item


def test_fields_refused_with_the_id_of_one_kind() -> None:
    """Where the ids of one kind are refused, those of all go: half a turn is refused."""
    items = [USER, {**REASONING, "id": "rs_1"}, {**samples.call(), "id": "item_1"}, samples.output()]
    assert _sent(items, Form(refused=frozenset({("function_call", "id")}))) == [USER, REASONING, *EXCHANGE[1:]]


def test_refused_blobs_items_and_containers() -> None:
    """Blobs that are refused, items that are not found and containers that have expired go in any form."""
    named = {**samples.PLAIN["web_search_call"], "id": "ws_1"}
    code = {**samples.PLAIN["code_interpreter_call"], "id": "ci_1"}
    items = [USER, {**REASONING, "id": "rs_1"}, {**SAID, "id": "msg_1"}, named, code, USER]
    blobs = Form(blobs=frozenset({b'"gAAAA"'}))
    stripped = [{name: value for name, value in item.items() if name != "id"} for item in items]
    assert _sent(items, blobs) == [USER, *stripped[2:]]
    assert _sent(items, Form(no_blobs=True)) == [USER, *stripped[2:]]
    assert _sent(items, Form(without=frozenset({"ws_1"}))) == [*items[:3], *items[4:]]
    expired = _sent(items, Form(containers=frozenset({"cntr_1"})))
    assert (expired[:4], expired[4]["role"], expired[5]) == (items[:4], "assistant", USER)


def test_what_became_of_the_items() -> None:
    """The entries are what is sent, in order, so that `input[i]` of a refusal finds its item."""
    sent = _rewritten([USER, BARE, samples.call(), USER])
    assert [entry.item.kind.label for entry in sent.entries] == [
        *("message:user", "function_call", "function_call_output", "message:user")
    ]
    assert _rewritten("text").entries == ()


def test_a_trim_of_whole_pairs_is_answerable() -> None:
    """Where no output lost its call, a trimmed request may be sent, whatever else its previous response held."""
    body = json.dumps({"input": [USER, samples.call(), samples.output(), USER], "previous_response_id": "resp_1"})
    document = read(body.encode())
    assert document is not None
    assert rewrite(document, Form(portable=True, keep_last=2)).answerable
