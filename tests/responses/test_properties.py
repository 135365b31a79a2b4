"""What holds for every request, whatever it is made of."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from proxy.report import EXPLANATIONS, Report
from proxy.responses.body import table
from proxy.responses.body.document import Document, read
from proxy.responses.body.item import Item as Row
from proxy.responses.policy import Policy
from proxy.responses.recovery.refusals import classify
from proxy.responses.rewrite.draft import Draft
from proxy.responses.rewrite.entry import Entry
from proxy.responses.rewrite.form import Form
from proxy.responses.rewrite.rewriter import Rewrite, rewrite
from proxy.responses.steps import Forward
from tests.support import samples
from tests.support.driven import Driven
from tests.support.lenient_reading import only_leniently
from tests.support.samples import PINNED, PLAIN, REASONING, SAID, USER, Item
from tests.support.validity import faults

PORTABLE = Form(portable=True)
PINNED_KINDS = {*PINNED, "local_shell_call_output"}

_ids = st.sampled_from(["a_1", "b_2", "c_3", "d_4"])
_calls = st.sampled_from(["call_1", "call_2", "call_3"])
_bare = st.builds(lambda id_: {"type": "reasoning", "id": id_, "summary": []}, _ids)
_readable = st.builds(lambda id_: {"type": "reasoning", "id": id_, "summary": samples.SUMMARY}, _ids)
_reference = st.builds(lambda id_: {"type": "item_reference", "id": id_}, _ids)
_image = st.builds(
    lambda id_, result: {"type": "image_generation_call", "id": id_, "result": result},
    _ids,
    st.sampled_from([None, samples.PNG]),
)
_typed = [item for item in PLAIN.values() if "type" in item]
_kinds = st.sampled_from([*_typed, *PINNED.values(), samples.LOCAL_OUTPUT, samples.COMPUTER_OUTPUT, samples.APPROVAL])


def _with_call_id(item: Item, call_id: str) -> Item:
    return {**item, "call_id": call_id} if "call_id" in item else item


_paired = st.builds(_with_call_id, _kinds, _calls)
_named = st.builds(lambda item, id_: {"id": id_, **item}, _paired, _ids)
_items = st.one_of(
    st.just(USER), st.just(SAID), st.just(REASONING), _paired, _named, _named, _bare, _readable, _reference, _image
)
_inputs = st.lists(_items, max_size=9)
_histories = st.builds(lambda items: [USER, *items, USER], _inputs)
_tops = st.sampled_from(
    [{}, {}, {"previous_response_id": "resp_1"}, {"status": "completed", "reasoning": {"effort": "low"}}]
)
_forms = st.sampled_from(
    [
        PORTABLE,
        Form(portable=True, profile="azure"),
        Form(portable=True, repaired=True),
        Form(portable=True, no_blobs=True),
        Form(portable=True, keep_last=1),
        Form(portable=True, keep_last=3),
        Form(portable=True, without=frozenset({"a_1"})),
        Form(portable=True, blobs=frozenset({b'"gAAAA"'})),
        Form(portable=True, containers=frozenset({"cntr_1"})),
    ]
)
_many = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


def _document(items: Any, **top: Any) -> Document:
    found = read(json.dumps({"model": "m", "input": items, **top}).encode())
    assert found is not None
    return found


def _again(sent: Rewrite, form: Form) -> Rewrite:
    document = read(sent.body)
    assert document is not None
    return rewrite(document, form)


@_many
@given(_inputs | _histories, _tops, _forms)
def test_what_is_sent_is_valid(items: list[Item], top: dict[str, Any], form: Form) -> None:
    """Whatever may be sent in a changed form has whole pairs, followed reasoning and a question at its end."""
    document = _document(items, **top)
    sent = rewrite(document, form)
    if sent.answerable and sent.took_references:
        assert faults(sent.body) == []
    elif sent.answerable:
        assert faults(sent.body, question=False) == []


@_many
@given(_histories, _tops, _forms)
def test_twice_changes_nothing_more(items: list[Item], top: dict[str, Any], form: Form) -> None:
    """A body that was made portable is portable."""
    sent = rewrite(_document(items, **top), form)
    if sent.answerable:
        again = _again(sent, PORTABLE if form.profile == "openai" else Form(portable=True, profile="azure"))
        assert again.body == sent.body
        assert not again.lossy


@_many
@given(_inputs | _histories, _tops)
def test_no_id_survives(items: list[Item], top: dict[str, Any]) -> None:
    """No reference leaves, no bare reasoning, and no id of an item but in turns that pin theirs."""
    sent = json.loads(rewrite(_document(items, **top), PORTABLE).body)
    assert "previous_response_id" not in sent
    turn: list[Item] = []
    for item in [*sent["input"], USER]:
        kind = item.get("type")
        assert kind not in ("item_reference", "image_generation_call")
        assert kind != "reasoning" or item.get("encrypted_content") or item["summary"]
        if _client_made(item):
            assert any(one["type"] in PINNED_KINDS for one in turn) or all("id" not in one for one in turn)
            assert "id" not in item or kind in PINNED_KINDS
            turn = []
        else:
            turn.append(item)


def _client_made(item: Item) -> bool:
    if item["type"].endswith(("_output", "_response")):
        return item["type"] not in ("program_output", "multi_agent_call_output")
    settings_ = ("configuration_update", "additional_tools")
    return item["type"] in settings_ or item.get("role", "assistant") != "assistant"


@_many
@given(_inputs | _histories, _tops)
def test_order_is_kept(items: list[Item], top: dict[str, Any]) -> None:
    """What stays keeps its order, and its content but for ids and stray fields."""
    marked = [{**item, "mark": place} for place, item in enumerate(items)]
    sent = json.loads(rewrite(_document(marked, **top), PORTABLE).body)["input"]
    kept = [item for item in sent if "mark" in item]
    places = [item["mark"] for item in kept]
    assert places == sorted(set(places))
    for item in kept:
        came = marked[item["mark"]]
        if came["type"] != "reasoning":
            assert item == {name: value for name, value in came.items() if name != "id" or "id" in item}


@_many
@given(_inputs | _histories, _tops, _forms)
def test_nothing_goes_silently(items: list[Item], top: dict[str, Any], form: Form) -> None:
    """Where an item, a blob or a reference without a twin went, or one was invented, the rewrite is lossy."""
    sent = rewrite(_document(items, **top), form)
    after = json.loads(sent.body)["input"]
    done = {name for name, _ in Report(removed=sent.removed, repaired=sent.repaired).counts()}
    assert {name for name in done if EXPLANATIONS[name].loss == "always"} <= sent.lossy
    assert not {name for name in sent.lossy if EXPLANATIONS[name].loss == "never"}
    if sent.lossy:
        return
    twins = {item.get("id") for item in items if item["type"] != "item_reference"}
    lost = [item for item in items if item["type"] == "item_reference" and item["id"] not in twins]
    assert not lost
    whole = [item for item in items if item["type"] != "item_reference"]
    assert [_meaning(item) for item in after] == [_meaning(item) for item in whole]
    if "previous_response_id" in top and sent.answerable:
        assert any(
            item.get("role") == "assistant"
            or item["type"].endswith("_call")
            or item["type"]
            in (
                "reasoning",
                "compaction",
                "program",
                "agent_message",
                "program_output",
                "multi_agent_call_output",
                "mcp_list_tools",
                "mcp_approval_request",
            )
            for item in after
        )


def _meaning(item: Item) -> Item:
    return {name: value for name, value in item.items() if name not in ("id", "status")}


@_many
@given(st.lists(st.one_of(st.just(USER), st.just(SAID), st.just(REASONING)), max_size=8), _forms)
@example([], PORTABLE)
def test_the_same_object(items: list[Item], form: Form) -> None:
    """Where nothing is removed or repaired, the body is the very object that came."""
    document = _document(items)
    sent = rewrite(document, form)
    if not sent.removed and not sent.repaired:
        assert sent.body is document.body


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
_anything = st.dictionaries(
    st.sampled_from(["id", "type", "role", "content", "summary", "status", "call_id", "output", "object", "x", "é"]),
    _values | st.sampled_from(["reasoning", "message", "user", "assistant", "function_call_output"]),
    max_size=6,
)


@_many
@given(
    st.dictionaries(
        st.sampled_from(["input", "previous_response_id", "conversation", "id", "model", "y"]),
        _values | st.lists(_anything | _values, max_size=4),
        max_size=5,
    ),
    st.booleans(),
    st.sampled_from([None, 1]),
)
def test_both_readers_give_the_same(payload: dict[str, Any], ascii_only: bool, indent: int | None) -> None:
    """The fast reader and the slow one lead to the same bytes and the same report on every valid body."""
    body = json.dumps(payload, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    fast = _outcome(body)
    with pytest.MonkeyPatch.context() as patch:
        only_leniently(patch)
        patch.setattr(table.Array, "id_edits", {})
        slow = _outcome(body)
    assert slow == fast
    json.loads(fast[0])


def _outcome(body: bytes) -> tuple[Any, ...]:
    document = read(body)
    if document is None:
        return (body,)
    sent = rewrite(document, PORTABLE)
    return sent.body, sent.removed, sent.repaired, sent.lossy, [*sent.ids_taken()], sent.answerable, sent.stands_alone


_refusals = st.sampled_from(
    [
        "Item with id 'a_1' not found.",
        "Previous response with id 'resp_1' not found.",
        "No tool call found for function call output with call_id call_1.",
        "No tool output found for function call call_2.",
        "Item 'cu_1' of type 'computer_call' was provided without its required 'reasoning' item: 'a_1'.",
        "Item 'a_1' of type 'reasoning' was provided without its required following item.",
        "Duplicate item found with id b_2. Remove duplicate items from your input and try again.",
        "The encrypted content gAA...AA could not be verified.",
        "Expected container_id: cntr_1",
        "Unknown parameter: 'input[2].status'.",
        "Missing required parameter: 'input[1].id'.",
        "Invalid 'input[1].id': 'x'. Expected an ID that begins with 'fc'.",
        "Unknown parameter: 'status'.",
        "ID is required",
    ]
)


@_many
@given(
    _inputs | _histories,
    _tops,
    st.lists(_refusals, min_size=1, max_size=5),
    st.sampled_from(["strip", "recover"]),
    st.sampled_from(["openai", "azure"]),
    st.sampled_from(["responses", "input_tokens", "compact"]),
)
def test_any_course_of_refusals(  # noqa: PLR0917 -- one argument a strategy
    items: list[Item], top: dict[str, Any], refusals: list[str], mode: Any, profile: Any, route: Any
) -> None:
    """However upstream refuses, each attempt differs from all before it, there are few, and each is JSON."""
    body = json.dumps({"model": "m", "input": items, **top}).encode()
    exchange = Driven(body, Policy(mode=mode, profile=profile), route=route)
    step: Any = exchange.start()
    sent = Counter[bytes]()
    pauses = 0
    for message in [*refusals, *refusals]:
        if not isinstance(step, Forward):
            break
        json.loads(step.body)
        pauses += step.delay > 0
        sent[step.body] += 1
        refusal = json.dumps({"error": {"message": message, "param": None, "code": None}}).encode()
        assert classify(400, refusal)
        step = exchange.receive(400, refusal)
    assert sum(sent.values()) <= 4
    assert sum(sent.values()) == len(sent) + pauses
    assert exchange.settle(400).attempts <= 4


def test_many_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work grows with the number of items, not with its square."""
    counts = []
    for size in (1_000, 10_000):
        calls = Counter[str]()
        with monkeypatch.context() as patch:
            _count(patch, calls)
            items = [
                part
                for place in range(size // 4)
                for part in (
                    USER,
                    {"id": f"rs_{place}", **REASONING},
                    {"id": f"fc_{place}", **samples.call(f"call_{place}")},
                    samples.output(f"call_{place}"),
                )
            ]
            for form in (PORTABLE, Form(portable=True, keep_last=3), Form(portable=True, repaired=True, no_blobs=True)):
                rewrite(_document([*items, USER]), form)
        counts.append(calls)
    for name, count in counts[0].items():
        assert counts[1][name] <= 11 * count, name


def _count(patch: pytest.MonkeyPatch, calls: Counter[str]) -> None:
    for owner, name in ((Row, "raw"), (Entry, "sent"), (Draft, "drop"), (Draft, "sent"), (Draft, "turns")):
        original = getattr(owner, name)
        plain = original.fget if isinstance(original, property) else original

        def counted(self: Any, *arguments: Any, _plain: Any = plain, _name: str = f"{owner.__name__}.{name}") -> Any:
            calls[_name] += 1
            return _plain(self, *arguments)

        patch.setattr(owner, name, property(counted) if isinstance(original, property) else counted)


def test_a_hundred_thousand_items() -> None:
    """A request of 100,000 items is made portable, trimmed and repaired."""
    items = [USER, {"id": "fc_1", **samples.call()}, samples.output(), {"id": "msg_1", **SAID}] * 25_000
    document = _document([*items, USER])
    assert rewrite(document, PORTABLE).removed == {"item_id": 50_000}
    trimmed = rewrite(document, Form(portable=True, keep_last=3))
    assert trimmed.removed["trimmed"] > 99_000
    assert faults(trimmed.body) == []
