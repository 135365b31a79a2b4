"""What is counted before a body is read."""

import json

from proxy.responses.body.size import MOST, containers, weight


def test_weight() -> None:
    """Objects, arrays, and what commas separate; never less than there is."""
    assert weight(b'{"a":[1,2,3],"b":{}}') == 6
    assert containers(b'{"a":[1,2,3],"b":{}}') == 3
    assert weight(b'"text, {with} [marks]"') == 3


def test_a_conversation_is_light() -> None:
    """A thousand turns of prose and tool calls weigh a tenth of what is read."""
    turn = {"role": "user", "content": "Well, yes, and no. " * 20}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": json.dumps({"a": [1, 2], "b": {"c": 3}})}
    assert weight(json.dumps({"input": [turn, call] * 1000}).encode()) < MOST / 5


def test_many_are_counted_as_few_are() -> None:
    """However many marks there are, each counts once."""
    for number in (0, 1, 999, 1000, 1001, 5000):
        assert containers(b"x{" * number + b"[" * number) == 2 * number
