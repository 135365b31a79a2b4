"""What takes the place of an item says what is known of it, never as an instruction and never in base64."""

import json
from typing import Any

import pytest

from proxy.responses.body.item import Item
from proxy.responses.body.table import item_of
from proxy.responses.rewrite.substitutes import (
    LONGEST_NOTE,
    assistant_note,
    call_note,
    code_note,
    image_message,
    output_note,
    placeholder_output,
    tools_item,
)
from tests.support import samples


def _item(fields: Any) -> Item:
    literal = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return item_of(literal)


def _note(json_: bytes) -> str:
    message = json.loads(json_)
    assert {name: value for name, value in message.items() if name != "content"} == {
        "type": "message",
        "role": "assistant",
    }
    content = message["content"]
    assert isinstance(content, str)
    return content


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("plain", "plain"),
        ("", ""),
        (None, ""),
        ([{"type": "input_text", "text": "a"}, {"type": "output_text", "text": "b"}], "a\nb"),
        ([{"type": "input_image", "image_url": "data:image/png;base64,AAAA"}], "[image]"),
        ({"type": "computer_screenshot", "image_url": "data:,AAAA"}, "[image]"),
        ([{"type": "input_file", "filename": "a.pdf", "file_data": "AAAA"}], "[file a.pdf]"),
        ([{"type": "input_file", "file_id": "file-1"}], "[file file-1]"),
        ([{"type": "input_file", "file_data": "AAAA"}], "[file]"),
        ([{"stdout": "out", "stderr": "err", "outcome": {}}], "out\nerr"),
        ([{"type": "refusal", "refusal": "no"}, {"type": "logs", "logs": "l"}, {"type": "x"}, 5], "no\nl"),
        (5, ""),
    ],
)
def test_output_notes(output: Any, text: str) -> None:
    """An output's note holds its call id and its words; images and files are named, not shown."""
    item = _item({"type": "function_call_output", "call_id": "call_1", "output": output})
    assert _note(output_note(item)) == f"[Tool result for call_1] {text}"


def test_long_outputs() -> None:
    """A note takes over at most 16,000 characters."""
    note = _note(output_note(_item(samples.output(text="é" * 20_000))))
    assert note == "[Tool result for call_1] " + "é" * LONGEST_NOTE + "…"
    assert _note(output_note(_item(samples.output(text="x" * LONGEST_NOTE)))).endswith("x")


def test_other_notes() -> None:
    """Approvals, programs and outputs without a key are told as well."""
    assert _note(output_note(_item(samples.APPROVAL))) == "[Tool result for mcpr_1] approve: true"
    bare = {"type": "mcp_approval_response", "approval_request_id": "mcpr_1"}
    assert _note(output_note(_item(bare))) == "[Tool result for mcpr_1] approve: "
    assert _note(output_note(_item(samples.PINNED["program_output"]))) == "[Tool result for call_9] r"
    assert _note(output_note(_item({"type": "function_call_output", "output": "x"}))) == "[Tool result for ] x"


def test_strange_text() -> None:
    """Text that no parser would take becomes text that all of them take."""
    note = output_note(_item(b'{"type":"function_call_output","call_id":"c","output":"\\ud800 \xff \\u00e9"}'))
    assert note.isascii()
    assert _note(note) == "[Tool result for c] \ud800 \udcff é"
    assert _note(assistant_note('"\\')) == '"\\'


def test_call_notes() -> None:
    """A call's note names its kind and what it asked for."""
    assert (
        _note(call_note(_item(samples.PINNED["computer_call"]))) == '[Tool call call_7] computer_call {"type": "click"}'
    )
    many = {"type": "computer_call", "call_id": "c", "actions": [1]}
    assert _note(call_note(_item(many))) == "[Tool call c] computer_call [1]"
    assert (
        _note(call_note(_item({"type": "mcp_approval_request", "arguments": "{}"})))
        == '[Tool call ] mcp_approval_request "{}"'
    )
    assert _note(call_note(_item({"type": "computer_call"}))) == "[Tool call ] computer_call"


def test_code_notes() -> None:
    """A code interpreter call's note holds its code and its logs; its images are named."""
    call = {
        "type": "code_interpreter_call",
        "code": "1+1",
        "outputs": [{"type": "logs", "logs": "2"}, {"type": "image", "url": "u"}],
    }
    assert _note(code_note(_item(call))) == "[Code interpreter] 1+1\n2\n[image]"
    assert _note(code_note(_item({"type": "code_interpreter_call", "outputs": None}))) == "[Code interpreter]"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (
            "function_call",
            {"type": "function_call_output", "call_id": "call_1", "output": "[No tool output was recorded]"},
        ),
        (
            "custom_tool_call",
            {"type": "custom_tool_call_output", "call_id": "call_2", "output": "[No tool output was recorded]"},
        ),
        (
            "shell_call",
            {
                "type": "shell_call_output",
                "call_id": "call_3",
                "output": [{"stdout": "", "stderr": "[No tool output was recorded]", "outcome": {"type": "timeout"}}],
            },
        ),
        (
            "apply_patch_call",
            {
                "type": "apply_patch_call_output",
                "call_id": "call_4",
                "status": "failed",
                "output": "[No tool output was recorded]",
            },
        ),
        ("tool_search_call", {"type": "tool_search_output", "call_id": "call_5", "execution": "client", "tools": []}),
        (
            "multi_agent_call",
            {
                "type": "multi_agent_call_output",
                "call_id": "call_6",
                "action": "spawn_agent",
                "output": [{"type": "output_text", "text": "[No tool output was recorded]"}],
            },
        ),
    ],
)
def test_placeholders(kind: str, expected: Any) -> None:
    """A placeholder has the form of its kind's outputs and says that none was recorded."""
    call = _item(samples.PLAIN[kind])
    assert call.kind.placeholder is not None
    assert json.loads(placeholder_output(call, call.kind.placeholder)) == expected


def test_tool_definitions() -> None:
    """Definitions of tools stay definitions, without pairing with a call."""
    item = _item(samples.PLAIN["tool_search_output"])
    assert json.loads(tools_item(item)) == {"type": "additional_tools", "role": "developer", "tools": [{"id": "kept"}]}
    assert json.loads(tools_item(_item({"type": "tool_search_output"})))["tools"] == []


@pytest.mark.parametrize(
    ("start", "kind"), [("iVBORw0KGgoAAA", "png"), ("/9j/4AAQ", "jpeg"), ("R0lGODlh", "gif"), ("UklGRiQA", "webp")]
)
def test_images(start: str, kind: str) -> None:
    """The type of an image is known by its first bytes."""
    message = image_message(_item({"type": "image_generation_call", "result": start}))
    assert message is not None
    assert json.loads(message)["content"][0]["image_url"] == f"data:image/{kind};base64,{start}"


@pytest.mark.parametrize(
    "fields",
    [{}, {"result": ""}, {"result": 5}, {"result": "PHN2Zz4="}, {"result": samples.PNG, "status": "generating"}],
)
def test_no_image(fields: Any) -> None:
    """What made nothing that can be shown is no image."""
    assert image_message(_item({"type": "image_generation_call", **fields})) is None
