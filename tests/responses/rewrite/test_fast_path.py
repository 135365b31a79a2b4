"""The short way makes of an ordinary request what the whole way makes of it, and leaves every other one to that."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.responses.body.document import read
from proxy.responses.rewrite import fast_path
from proxy.responses.rewrite.rewriter import Form, Rewrite, rewrite
from tests.support import samples
from tests.support.samples import EASY, PINNED, PLAIN, REASONING, SAID, USER, Item

COMPACT = (",", ":")
SPACED = (", ", ": ")
CALL, OUTPUT = samples.call(), samples.output()
HISTORY = [{"id": "msg_1", **USER}, {"id": "rs_1", **REASONING}, {**CALL, "id": "fc_1"}, OUTPUT, SAID, EASY]


def _body(items: Any, separators: tuple[str, str] = COMPACT, **top: Any) -> bytes:
    return json.dumps({"model": "m", "input": items, **top}, separators=separators, ensure_ascii=False).encode()


def _told(sent: Rewrite) -> tuple[Any, ...]:
    return sent.body, dict(sent.removed), dict(sent.repaired), sent.lossy, sent.answerable, sent.stands_alone


def _whole_way(body: bytes) -> Rewrite:
    document = read(body)
    assert document is not None
    return rewrite(document, Form(portable=True))


_ids = st.sampled_from([None, "a_1", 'b"\\', "é"])
_orders = st.randoms(use_true_random=False)
_pairs = [[PLAIN[kind], PLAIN[f"{kind}_output"]] for kind in ("function_call", "custom_tool_call", "shell_call")]
_single = [[item] for kind, item in PLAIN.items() if "call" not in kind and kind != "reasoning"]
_turns = st.sampled_from([*_pairs, *_single, [REASONING, SAID], [REASONING, REASONING, *_pairs[0]], [USER]])


@st.composite
def _named(draw: st.DrawFn, item: Item) -> Item:
    """The item with an id, or a field too many, somewhere among its members."""
    members = list(item.items())
    for name, value in (("id", draw(_ids)), ("created_by", draw(st.sampled_from([None, None, None, "x"])))):
        if value is not None:
            members.insert(draw(st.integers(0, len(members))), (name, value))
    return dict(members)


@st.composite
def _bodies(draw: st.DrawFn) -> bytes:
    turns = draw(st.lists(_turns, max_size=6))
    items = [draw(_named(item)) for turn in [[USER], *turns, [USER]] for item in turn]
    tops: list[Item] = [{}, {"previous_response_id": "resp_1"}, {"previous_response_id": None}, {"conversation": None}]
    body = _body(items, draw(st.sampled_from([COMPACT, COMPACT, SPACED])), **draw(st.sampled_from(tops)))
    return body.replace(
        *draw(st.sampled_from([(b"", b""), (b'"id"', b'"\\u0069d"'), (b'"id":', b'"id":"twice","id":')]))
    )


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(_bodies())
def test_it_is_the_same_way(body: bytes) -> None:
    """What the short way makes, the whole way makes as well, to the byte and to the count."""
    short = fast_path.quick_rewrite(body)
    whole = _whole_way(body)
    if short is not None:
        assert _told(short.rewrite) == _told(whole)
        assert (short.rewrite.body is body) == (whole.body is body)
        assert short.rewrite.took_references == whole.took_references
    document = read(body)
    assert document is not None
    assert short is None or short.items == len(document.arrays[0].items)


@pytest.mark.parametrize("previous", [{}, {"previous_response_id": "resp_1"}])
def test_what_is_ordinary(previous: Item) -> None:
    """A history as the SDKs send it goes the short way, with a previous response and without."""
    found = fast_path.quick_rewrite(_body(HISTORY, **previous))
    assert found is not None
    assert found.rewrite.removed == {**({"previous_response_id": 1} if previous else {}), "item_id": 3}
    assert (found.items, found.found) == (6, 3 + len(previous))


@pytest.mark.parametrize(
    "kind", [kind for kind in PLAIN if not kind.endswith(("call", "_output")) and kind not in ("reasoning", "unknown")]
)
def test_kinds_that_only_lose_their_id(kind: str) -> None:
    """An item of a kind that needs no partner goes the short way."""
    found = fast_path.quick_rewrite(_body([USER, {**PLAIN[kind], "id": "x_1"}, USER]))
    assert found is not None
    assert found.rewrite.body == _body([USER, PLAIN[kind], USER])


def test_nothing_to_remove() -> None:
    """Where there is nothing to remove, the body is the very object that came."""
    body = _body([USER, SAID, USER])
    found = fast_path.quick_rewrite(body)
    assert found is not None
    assert found.rewrite.body is body


_UNORDINARY: dict[str, list[Any]] = {
    **{f"pinned {kind}": [USER, item, USER] for kind, item in PINNED.items()},
    "unknown kind": [PLAIN["unknown"]],
    "reference": [{"type": "item_reference", "id": "rs_1"}, USER],
    "bare reference": [{"id": "rs_1"}, USER],
    "no object": [5, USER],
    "image": [{"type": "image_generation_call", "id": "ig_1", "result": samples.PNG}, USER],
    "bare reasoning": [{"type": "reasoning", "summary": []}, SAID],
    "empty blob": [{**REASONING, "encrypted_content": ""}, SAID],
    "no summary": [{"type": "reasoning", "encrypted_content": "gAAAA"}, SAID],
    "status of a reasoning": [{**REASONING, "status": None}, SAID],
    "null content of a reasoning": [{**REASONING, "content": None}, SAID],
    "reasoning at the end": [USER, REASONING],
    "reasoning before a question": [REASONING, USER],
    "call without output": [USER, CALL],
    "output without call": [USER, OUTPUT],
    "output before its call": [USER, OUTPUT, CALL],
    "output of another kind": [USER, CALL, {**PLAIN["custom_tool_call_output"], "call_id": "call_1"}],
    "call id twice": [USER, CALL, CALL, OUTPUT, OUTPUT],
    "no call id": [USER, {"type": "function_call"}, {"type": "function_call_output"}],
    "empty call id": [USER, samples.call(""), samples.output("")],
    "field too many": [{**SAID, "created_by": "x"}, USER],
    "field too many in a part": [{**SAID, "content": [{"type": "output_text", "text": "", "id": "p"}]}, USER],
    "null field too many in a part": [{**SAID, "content": [{"type": "output_text", "index": None}]}, USER],
    "part that is no object": [{**SAID, "content": [5]}, USER],
}


@pytest.mark.parametrize("items", _UNORDINARY.values(), ids=_UNORDINARY.keys())
def test_inputs_that_need_a_closer_look(items: list[Any]) -> None:
    """An input in which anything but a label may have to change goes the whole way."""
    assert fast_path.quick_rewrite(_body(items)) is None


@pytest.mark.parametrize(
    "body",
    [
        _body("hello"),
        _body({}),
        b'{"model":"m"}',
        b"[]",
        b"nothing",
        _body([USER], conversation="conv_1"),
        _body([USER], status="completed"),
        _body([USER], previous_response_id="resp_1"),
        _body([USER, SAID], previous_response_id="resp_1"),
        _body([SAID, USER], previous_response_id="resp_1"),
        _body([], previous_response_id="resp_1"),
        _body(HISTORY, previous_response_id=5),
        _body(HISTORY, previous_response_id="resp\\1"),
        _body(HISTORY, SPACED),
        _body(HISTORY).replace(b'"model"', b'"input":[{"id":"x"}],"model"'),
        _body([USER]).replace(b'"model"', b'"input":[{"id":"x"}],"model"'),
        _body([{"id": "x", **USER}]).replace(b'"role"', b'"ro\\u006ce"'),
        _body([{"id": "x", **USER}]).replace(b'"id"', b'"id":"y","id"'),
        _body([USER]) + b"\n",
    ],
)
def test_bodies_that_need_a_closer_look(body: bytes) -> None:
    """So does a body that stands for a history upstream, or is written in any but the shortest way."""
    assert fast_path.quick_rewrite(body) is None
