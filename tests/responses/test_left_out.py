"""What upstream itself left out, as its answers say."""

import json
from typing import Any

import pytest

from proxy.responses.left_out import left_out, may_be_left_out


def answer(*reasons: Any, **more: Any) -> bytes:
    """An answer that gives these reasons."""
    told = [{"id": "rs_1", "type": "reasoning", "action": "removed", "reason": reason} for reason in reasons]
    return json.dumps({"id": "resp_1", "input_transformations": told, **more}).encode()


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (
            answer("organization_mismatch", "model_mismatch", "model_mismatch"),
            {"organization_mismatch": 1, "model_mismatch": 2},
        ),
        (answer("of another kind", None), {"other": 2}),
        (answer(), {}),
        (b"event: x\ndata: " + answer("turn_boundary") + b"\n\n", {"turn_boundary": 1}),
        (b'{"input_transformations":null}', {}),
        (b'{"input_transformations":{"reason":"turn_boundary"}}', {}),
        (b'{"input_transformations":[{"reason":"turn_boun', {}),
        (b'{"input_transformations"', {}),
        (b'{"input_transformations" : [5, {"reason" : "prefix_mismatch"}] }', {"other": 1, "prefix_mismatch": 1}),
        (b"{}", {}),
    ],
)
def test_reasons(said: bytes, found: dict[str, int]) -> None:
    """Each reason is counted, one that is not known as another; what cannot be read says nothing."""
    assert left_out(said) == found


def test_what_may_be_left_out() -> None:
    """Only encrypted content may: other requests' answers are not looked into."""
    assert may_be_left_out(b'{"input":[{"type":"reasoning","encrypted_content":"g"}]}')
    assert not may_be_left_out(b'{"input":"no blob"}')
