"""Every output has its call, every call its output, every reasoning what it produced: or something stands in for it."""

import json
from typing import Any

import pytest

from proxy.responses.body.document import read
from proxy.responses.body.edits import splice
from proxy.responses.rewrite.draft import Draft
from proxy.responses.rewrite.entry import Entry
from proxy.responses.rewrite.pairing import (
    Pairs,
    drop_duplicates,
    drop_unfollowed_reasoning,
    keys,
    note_unreasoned,
    repair_orphan_outputs,
    repair_unanswered_calls,
)
from tests.support import samples
from tests.support.samples import PARTNERS, PINNED, PINNED_OUTPUT, PLAIN, REASONING, SAID, USER, Item
from tests.support.validity import faults


def _draft(items: list[Item]) -> tuple[bytes, Draft]:
    body = json.dumps({"input": items}).encode()
    document = read(body)
    assert document is not None
    return body, Draft(document.arrays[0])


def _sent(body: bytes, draft: Draft) -> Any:
    return json.loads(splice(body, draft.edits(body)))["input"]


def _pairs(items: list[Item]) -> tuple[list[Entry], Pairs]:
    entries = _draft(items)[1].entries
    return entries, Pairs(entries)


@pytest.mark.parametrize("kind", PARTNERS)
def test_pairs(kind: str) -> None:
    """A call and the output of its kind behind it are a pair; alone, or the wrong way round, they are not."""
    (call, answer), pairs = _pairs([PLAIN[kind], PARTNERS[kind]])
    assert (pairs.call_of, pairs.orphans, pairs.unanswered()) == ({answer: call}, [], [])
    (answer, call), pairs = _pairs([PARTNERS[kind], PLAIN[kind]])
    assert (pairs.call_of, pairs.orphans, pairs.unanswered()) == ({}, [answer], [call])


@pytest.mark.parametrize("kind", PINNED_OUTPUT)
def test_pairs_of_pinned_kinds(kind: str) -> None:
    """A local shell call is known by its id, an approval by its request's, a program by its call id."""
    (call, answer), pairs = _pairs([PINNED[kind], PINNED_OUTPUT[kind]])
    assert (pairs.call_of, pairs.orphans, pairs.unanswered()) == ({answer: call}, [], [])
    assert _pairs([PINNED_OUTPUT[kind]])[1].orphans


@pytest.mark.parametrize("kind", ["mcp_approval_request", "program"])
def test_calls_that_may_wait(kind: str) -> None:
    """A request for approval and a program may stand without an answer."""
    assert _pairs([PINNED[kind]])[1].unanswered() == []


def test_kinds_do_not_mix() -> None:
    """An output of another kind answers no call, but codex answers local shell calls as functions."""
    (call, _), pairs = _pairs([samples.call("c"), {**PLAIN["custom_tool_call_output"], "call_id": "c"}])
    assert pairs.unanswered() == [call]
    assert len(pairs.orphans) == 1
    assert _pairs([PINNED["local_shell_call"], samples.output("call_8")])[1].unanswered() == []


@pytest.mark.parametrize("call_id", [{}, {"call_id": None}, {"call_id": ""}])
def test_without_a_key(call_id: Item) -> None:
    """An output without a call id is no orphan, and a search that upstream ran pairs by its place."""
    call = {"type": "tool_search_call", "execution": "server", "arguments": {}, **call_id}
    answer = {"type": "tool_search_output", "execution": "server", "tools": [], **call_id}
    bare = {"type": "function_call_output", "output": "x", **call_id}
    entries, pairs = _pairs([call, answer, bare])
    assert [[*keys(entry.item)] for entry in entries] == [[], [], []]
    assert (pairs.orphans, pairs.unanswered()) == ([], [])


def test_keys_that_come_twice() -> None:
    """A call id that is used again pairs in order: first come, first answered; more outputs go to the last."""
    entries, pairs = _pairs([samples.call(), samples.output(), samples.call(), samples.output(), samples.output()])
    assert pairs.call_of == {entries[1]: entries[0], entries[3]: entries[2], entries[4]: entries[2]}
    entries, pairs = _pairs([samples.call(), samples.call(), samples.call(), samples.output(), samples.output()])
    assert pairs.unanswered() == [entries[2]]


def test_running_calls() -> None:
    """An `async` call may still be running; any other is refused without its output."""
    entries, pairs = _pairs([samples.call("a", **{"async": True}), samples.call("b", **{"async": False})])
    assert pairs.unanswered() == [entries[1]]


@pytest.mark.parametrize("kind", PARTNERS)
def test_placeholders(kind: str) -> None:
    """A call without an output gets one of its own kind, behind all that the model said at that time."""
    body, draft = _draft([USER, PLAIN[kind], SAID, USER])
    repair_unanswered_calls(draft, Pairs(draft.entries).unanswered())
    sent = _sent(body, draft)
    assert [sent[0], sent[1], sent[2], sent[4]] == [USER, PLAIN[kind], SAID, USER]
    assert sent[3]["type"] == PARTNERS[kind]["type"]
    assert sent[3]["call_id"] == PLAIN[kind]["call_id"]
    assert faults(json.dumps({"input": sent}).encode()) == []
    assert (dict(draft.repaired), draft.lossy) == ({"placeholder": 1}, {"placeholder"})


def test_several_placeholders() -> None:
    """Parallel calls get their placeholders in their order, each behind its own turn."""
    body, draft = _draft([USER, samples.call("a"), samples.call("b"), samples.output("b"), samples.call("c"), USER])
    repair_unanswered_calls(draft, Pairs(draft.entries).unanswered())
    found = [item.get("call_id") or item["role"] for item in _sent(body, draft)]
    assert found == ["user", "a", "b", "a", "b", "c", "c", "user"]


@pytest.mark.parametrize("kind", ["computer_call", "local_shell_call"])
def test_calls_that_become_notes(kind: str) -> None:
    """A call whose output cannot be invented becomes text."""
    body, draft = _draft([USER, PINNED[kind], USER])
    repair_unanswered_calls(draft, Pairs(draft.entries).unanswered())
    sent = _sent(body, draft)
    assert [item["role"] for item in sent] == ["user", "assistant", "user"]
    assert kind in sent[1]["content"]
    assert dict(draft.repaired) == {"note": 1}


@pytest.mark.parametrize("kind", [*PARTNERS, *PINNED_OUTPUT])
def test_orphans(kind: str) -> None:
    """An output without its call becomes an assistant's text at its place; definitions of tools stay definitions."""
    answer = {**PARTNERS, **PINNED_OUTPUT}[kind]
    body, draft = _draft([USER, answer, SAID])
    repair_orphan_outputs(draft, Pairs(draft.entries).orphans)
    note = _sent(body, draft)[1]
    if kind == "tool_search_call":
        assert note == {"type": "additional_tools", "role": "developer", "tools": [{"id": "kept"}]}
    else:
        assert note["role"] == "assistant"
        assert note["content"].startswith("[Tool result for ")
    assert (dict(draft.repaired), draft.lossy) == ({"orphan_output": 1}, {"orphan_output"})


def test_calls_refused_without_their_reasoning() -> None:
    """A call that cannot give up its id becomes text when upstream named it, with its outputs; no other does."""
    items = [PINNED["computer_call"], samples.COMPUTER_OUTPUT, PINNED["program"], PINNED["compaction"], samples.call()]
    body, draft = _draft([USER, *items, USER])
    note_unreasoned(draft, {"cu_1", "cm_1", "cmp_1"})
    assert [item.get("role", item["type"]) for item in _sent(body, draft)] == [
        *("user", "assistant", "assistant", "program", "compaction", "function_call", "user")
    ]
    _, untouched = _draft([USER, *items, USER])
    note_unreasoned(untouched, {"fc_1"})
    assert not untouched.repaired


def test_duplicates() -> None:
    """The first item of an id stays; a reference to an inline item goes, wherever it stands."""
    reference = {"type": "item_reference", "id": "msg_1"}
    first, second = {"id": "msg_1", **SAID}, {"id": "msg_1", **USER}
    body, draft = _draft([reference, {"type": "item_reference", "id": "rs_9"}, first, second, SAID, SAID])
    drop_duplicates(draft)
    assert _sent(body, draft) == [{"type": "item_reference", "id": "rs_9"}, first, SAID, SAID]
    assert dict(draft.removed) == {"trimmed": 1, "item_reference": 1}


def test_an_output_with_its_calls_id_is_no_duplicate() -> None:
    """A local shell call and its output have one id, and both stay; a second output of that id goes."""
    call, output = samples.PINNED["local_shell_call"], samples.LOCAL_OUTPUT
    body, draft = _draft([USER, call, output, output])
    drop_duplicates(draft)
    assert _sent(body, draft) == [USER, call, output]


@pytest.mark.parametrize(
    ("items", "stays"),
    [
        ([USER, SAID, USER], True),
        ([USER, REASONING, SAID, USER], True),
        ([USER, REASONING, REASONING, samples.call()], True),
        ([USER, REASONING, {"type": "hologram_call"}], True),
        ([USER, REASONING], False),
        ([USER, REASONING, USER], False),
        ([USER, REASONING, REASONING, samples.output()], False),
    ],
)
def test_reasoning_is_followed(items: list[Item], stays: bool) -> None:
    """Reasoning stays with what it produced, a run of it as one, and goes where that never was."""
    body, draft = _draft(items)
    drop_unfollowed_reasoning(draft)
    assert _sent(body, draft) == (items if stays else [item for item in items if item is not REASONING])
    assert draft.lossy == (set() if stays else {"reasoning"})


@pytest.mark.parametrize("fate", ["dropped", "replaced"])
def test_reasoning_whose_follower_went(fate: Any) -> None:
    """Reasoning goes with what it produced, those of its run that are gone already counting once."""
    body, draft = _draft([USER, REASONING, REASONING, SAID, SAID])
    draft.drop(draft.entries[1], "reasoning")
    draft.entries[3].fate = fate
    draft.entries[3].json = b"{}"
    drop_unfollowed_reasoning(draft)
    assert REASONING not in _sent(body, draft)
    assert dict(draft.removed) == {"reasoning": 2}
