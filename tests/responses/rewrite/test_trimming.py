"""A trimmed input still asks the same question, and holds nothing half."""

import json
from typing import Any

import pytest

from proxy.responses.body.document import read
from proxy.responses.rewrite.form import Form
from proxy.responses.rewrite.rewriter import Rewrite, rewrite
from tests.support import samples
from tests.support.samples import PINNED, PLAIN, REASONING, SAID, USER, Item
from tests.support.validity import faults

SYSTEM = PLAIN["message:system"]
DEVELOPER = PLAIN["message:developer"]
TOOLS = PLAIN["additional_tools"]
SETTING = PLAIN["configuration_update"]


def user(text: str) -> Item:
    """A user message with a text of its own."""
    return {"role": "user", "content": text}


def said(text: str) -> Item:
    """An assistant message with a text of its own."""
    return {"role": "assistant", "content": text}


def _trimmed(items: list[Item], keep_last: int = 3, **form: Any) -> Rewrite:
    document = read(json.dumps({"input": items}).encode())
    assert document is not None
    sent = rewrite(document, Form(portable=True, keep_last=keep_last, **form))
    assert faults(sent.body) == []
    return sent


def _left(items: list[Item], keep_last: int = 3) -> Any:
    return json.loads(_trimmed(items, keep_last).body)["input"]


def test_the_last_essential_items_stay() -> None:
    """The last user message stays, and the last three essential items besides it, with the turns between dropped."""
    items = [part for turn in range(9) for part in (user(f"q{turn}"), said(f"a{turn}"))]
    assert _left([*items, user("now")]) == [user("q6"), user("q7"), user("q8"), user("now")]
    assert _left([*items, user("now")], 1) == [user("q8"), user("now")]


def test_instructions_stay() -> None:
    """Instructions and definitions of tools stay where they are, and so do searches for tools with their turns."""
    search = [PLAIN["tool_search_call"], PLAIN["tool_search_output"]]
    items = [
        SYSTEM,
        user("a"),
        TOOLS,
        *search,
        said("b"),
        user("c"),
        SETTING,
        DEVELOPER,
        said("d"),
        user("e"),
        user("f"),
    ]
    assert _left(items, 1) == [SYSTEM, TOOLS, *search, SETTING, DEVELOPER, user("e"), user("f")]


def test_the_question_stays_at_any_distance() -> None:
    """A long tool loop keeps the user message that began it."""
    loop = [part for turn in range(9) for part in (REASONING, samples.call(f"c{turn}"), samples.output(f"c{turn}"))]
    assert _left([user("old"), said("x"), user("now"), *loop], 2) == [user("now"), *loop[-6:]]


def test_batches_stay_whole() -> None:
    """Parallel calls stay with all their outputs and their reasoning, although only one output was to be kept."""
    calls = [samples.call(name) for name in "abc"]
    outputs = [samples.output(name) for name in "abc"]
    items = [user("old"), said("x"), user("now"), REASONING, *calls, said("wait"), *outputs]
    assert _left(items, 1) == [user("now"), REASONING, *calls, said("wait"), *outputs]


def test_running_calls() -> None:
    """A call that is still running stays with its turn, and its late output brings the turn back."""
    running = samples.call("late", **{"async": True})
    items = [user("a"), running, user("b"), said("c"), user("d"), samples.output("late")]
    assert _left(items, 1) == [running, user("d"), samples.output("late")]
    assert _left([*items[:3], said("c"), user("d"), user("e")], 1) == [user("d"), user("e")]


def test_programs_stay_whole() -> None:
    """A program stays or goes with the calls it made, their outputs and its own."""
    made = samples.call("in", caller={"type": "program", "caller_id": "call_9"})
    strange = samples.call("out", caller="nobody")
    unit = [PINNED["program"], made, samples.output("in"), PINNED["program_output"]]
    items = [user("a"), *unit, user("b"), strange, samples.output("out"), user("c")]
    assert _left([*items, user("d")], 1) == [user("c"), user("d")]
    assert _left(items[:5], 1) == items[:5]
    assert _left([*items[:4], user("z")], 1) == [*items[1:4], user("z")]


def test_approvals_stay_whole() -> None:
    """A response to a request for approval stays with its request."""
    items = [user("a"), said("b"), user("c"), PINNED["mcp_approval_request"], samples.APPROVAL]
    assert _left(items, 1) == [user("c"), PINNED["mcp_approval_request"], samples.APPROVAL]
    assert _left([*items, user("d"), user("e")], 1) == [user("d"), user("e")]


def test_compactions() -> None:
    """A compaction that goes takes nothing behind it along."""
    items = [user("a"), PINNED["compaction"], user("b"), said("c"), user("d")]
    assert _left(items, 1) == [user("b"), user("d")]


def test_calls_without_outputs() -> None:
    """What is trimmed away gets no placeholder, and what stays does."""
    items = [part for turn in range(5) for part in (user(f"q{turn}"), samples.call(f"c{turn}"))]
    sent = _trimmed([*items, samples.output("c4")], 1)
    assert json.loads(sent.body)["input"] == [user("q4"), samples.call("c4"), samples.output("c4")]
    assert (dict(sent.removed), dict(sent.repaired), sent.lossy) == ({"trimmed": 8}, {}, {"trimmed"})
    search = {**PLAIN["tool_search_call"], "id": "tsc_1"}
    kept = _trimmed([search, user("a"), user("b"), user("c")], 1)
    assert dict(kept.repaired) == {"placeholder": 1}


def test_orphans() -> None:
    """An output that came without its call is text where it is kept, and nothing where it is not."""
    items = [samples.output("x"), user("a"), samples.output("y"), user("b")]
    left = _left(items, 1)
    assert left[0]["content"] == "[Tool result for y] run_42 finished"
    assert left[1:] == [user("b")]


def test_without_a_user_message() -> None:
    """An input of tool results alone keeps the last of them."""
    items = [SYSTEM, samples.call("a"), samples.output("a"), samples.call("b"), samples.output("b")]
    assert _left(items, 1) == [SYSTEM, *items[3:]]


def _without(items: list[Item], *ids: str) -> Any:
    document = read(json.dumps({"input": items}).encode())
    assert document is not None
    return json.loads(rewrite(document, Form(portable=True, without=frozenset(ids))).body)["input"]


@pytest.mark.parametrize("kind", ["web_search_call", "file_search_call", "mcp_call", "mcp_list_tools", "unknown"])
def test_context_goes_alone(kind: str) -> None:
    """A named item that only gives context goes without its turn."""
    items = [USER, REASONING, samples.call(), {**PLAIN[kind], "id": "x_1"}, samples.output(), USER]
    assert _without(items, "x_1") == [USER, REASONING, samples.call(), samples.output(), USER]


def test_named_groups_go_whole() -> None:
    """A named call or reasoning goes with its whole turn and all its outputs; others stay."""
    turn = [{**REASONING, "id": "rs_1"}, samples.call("a"), {**samples.call("b"), "id": "fc_1"}]
    items = [USER, *turn, samples.output("a"), samples.output("b"), {**SAID, "id": "msg_1"}, USER]
    assert _without(items, "fc_1") == _without(items, "rs_1") == [USER, SAID, USER]
    assert _without(items, "msg_1") == [
        USER,
        *_without(items, "no")[1:4],
        samples.output("a"),
        samples.output("b"),
        USER,
    ]
    assert _without([USER, {**PINNED["compaction"]}, SAID, USER], "cmp_1") == [USER, SAID, USER]
