"""Which items a conversation takes, and the words for those that it does not."""

import json
from typing import Any

import pytest

from proxy.responses.conversations.refused import Refused
from proxy.responses.conversations.shapes import KINDS, check_item, check_metadata
from tests.support.samples import EASY, PINNED, PINNED_OUTPUT, PLAIN, PNG, REASONING, SAID, USER, call, output

SAMPLES: list[dict[str, Any]] = [
    USER,
    EASY,
    SAID,
    REASONING,
    call(),
    output(),
    *PLAIN.values(),
    *PINNED.values(),
    *PINNED_OUTPUT.values(),
    {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": PNG},
]


def refusal(item: Any) -> tuple[Any, Any]:
    """Param and code of the refusal of an item."""
    with pytest.raises(Refused) as found:
        check_item(item, "items[0]")
    error = json.loads(found.value.body)["error"]
    assert error["message"]
    return error["param"], error["code"]


@pytest.mark.parametrize("item", SAMPLES, ids=lambda item: item.get("type", "easy"))
def test_what_is_taken(item: dict[str, Any]) -> None:
    """An item of every kind that can be listed is taken as a server made it; one of any other kind is refused."""
    if item.get("type", "message") in KINDS:
        check_item(item, "items[0]")
        check_item({**item, "future": 1}, "items[0]")
    else:
        assert refusal(item) == ("items[0]", "invalid_value")


def test_all_kinds_have_samples() -> None:
    """No kind is taken that was not tried."""
    assert KINDS.keys() <= {item.get("type") for item in SAMPLES}


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (7, ("items[0]", "invalid_type")),
        ({"type": 7}, ("items[0]", "invalid_value")),
        ({"type": "compaction_trigger"}, ("items[0]", "invalid_value")),
        ({"content": "x"}, ("items[0].role", "missing_required_parameter")),
        ({"role": "tool", "content": "x"}, ("items[0]", "invalid_value")),
        ({"role": "user"}, ("items[0].content", "missing_required_parameter")),
        ({"role": "user", "content": None}, ("items[0].content", "invalid_type")),
        ({"role": "user", "content": [7]}, ("items[0].content[0]", "invalid_type")),
        ({"role": "user", "content": [{}]}, ("items[0].content[0].type", "missing_required_parameter")),
        ({"role": "user", "content": [{"type": "output_text"}]}, ("items[0].content[0]", "invalid_value")),
        (
            {"role": "user", "content": [{"type": "input_text"}]},
            ("items[0].content[0].text", "missing_required_parameter"),
        ),
        ({**EASY, "id": 7}, ("items[0].id", "invalid_type")),
        ({**EASY, "id": "a/b"}, ("items[0].id", "invalid_value")),
        ({**EASY, "id": ""}, ("items[0].id", "invalid_value")),
        ({**EASY, "id": "a" * 65}, ("items[0].id", "string_above_max_length")),
        ({**EASY, "created_at": 1}, ("items[0].created_at", "unknown_parameter")),
        ({**call(), "arguments": {}}, ("items[0].arguments", "invalid_type")),
        (call("c" * 65), ("items[0].call_id", "string_above_max_length")),
        (output(text=7), ("items[0].output", "invalid_type")),
        ({"type": "reasoning", "summary": []}, ("item", "invalid_item")),
        (
            {"type": "mcp_approval_response", "approval_request_id": "a", "approve": 1},
            ("items[0].approve", "invalid_type"),
        ),
    ],
    ids=str,
)
def test_what_is_refused(item: Any, expected: tuple[str, str]) -> None:
    """What upstream would refuse is refused as upstream does, with the place."""
    assert refusal(item) == expected


def test_what_may_be_null() -> None:
    """What need not be there may be null."""
    check_item({**EASY, "id": None}, "items[0]")
    check_item({**REASONING, "content": None}, "items[0]")
    check_item({"type": "reasoning", "id": "rs_1", "summary": []}, "items[0]")


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ([], "invalid_type"),
        ({f"k{number}": "" for number in range(17)}, "object_above_max_properties"),
        ({"k" * 65: ""}, "string_above_max_length"),
        ({"k": "v" * 513}, "string_above_max_length"),
        ({"k": None}, "invalid_type"),
    ],
)
def test_metadata(metadata: Any, code: str) -> None:
    """Metadata have bounds, and those at the bounds are taken."""
    with pytest.raises(Refused) as found:
        check_metadata(metadata)
    error = json.loads(found.value.body)["error"]
    assert (error["param"], error["code"]) == ("metadata", code)
    check_metadata({f"{number:064}": "v" * 512 for number in range(16)})
