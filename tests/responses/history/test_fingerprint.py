"""An item that a client sends again is known again by what it says."""

import json
from typing import Any

import pytest

from proxy.responses.history.fingerprint import fingerprint
from tests.support.samples import Item, call, output

SAID: Item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}


def of(item: Any) -> bytes:
    """The essence of an item."""
    digest = fingerprint(item if isinstance(item, bytes) else json.dumps(item).encode())
    assert digest is not None
    return digest


def test_reasoning() -> None:
    """Reasoning says nothing that a client has to send again."""
    assert fingerprint(b'{"type":"reasoning","summary":[]}') is None


@pytest.mark.parametrize(
    ("item", "again"),
    [
        (SAID, {**SAID, "id": "msg_1", "status": "completed", "phase": None}),
        (SAID, {"role": "assistant", "content": "hi"}),
        (SAID, {**SAID, "content": [{"type": "output_text", "text": "hi", "annotations": [], "logprobs": []}]}),
        (call(), {**call(id="fc_1"), "status": "completed", "namespace": None}),
        (b'{"role":"user","content":"a"}', b' { "content" : "\\u0061", "type":"message", "role":"user" } '),
    ],
)
def test_labels_do_not_count(item: Any, again: Any) -> None:
    """Ids, states, nulls, annotations, order, white space and escapes are labels, and a text is its one part."""
    assert of(item) == of(again)


@pytest.mark.parametrize(
    ("item", "other"),
    [
        (SAID, {**SAID, "role": "user"}),
        (SAID, {**SAID, "content": "ho"}),
        (SAID, {**SAID, "content": [{"type": "refusal", "refusal": "hi"}]}),
        (SAID, {**SAID, "content": ["hi", "hi"]}),
        (SAID, {**SAID, "content": None}),
        (call(), call("call_2")),
        (call(), call(name="other")),
        (call(), output()),
        (b'{"role":"user","content":"\\ud800"}', b'{"role":"user","content":"\\udfff"}'),
        (b"5", b"6"),
    ],
)
def test_words_count(item: Any, other: Any) -> None:
    """What is said, by whom, and to which call, is what an item is."""
    assert of(item) != of(other)
