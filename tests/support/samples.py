"""One item of every kind, as a server made it and as it is portable, from the specification's examples.

`ROWS` is the table: kind -> (the item as a client replays it, the same item when it is portable and its turn pins no
ids). What pairs with it stands in `PARTNERS`.
"""

from typing import Any, Final

Item = dict[str, Any]

USER: Final[Item] = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]}
EASY: Final[Item] = {"role": "user", "content": "hello"}
SAID: Final[Item] = {
    "type": "message",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "hi", "annotations": [], "logprobs": []}],
}
REASONING: Final[Item] = {"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}
SUMMARY: Final = [{"type": "summary_text", "text": "thinking"}]

PNG: Final = "iVBORw0KGgoAAAANSUhEUg=="
IMAGE: Final[Item] = {
    "type": "message",
    "role": "user",
    "content": [{"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{PNG}"}],
}


def call(call_id: str = "call_1", **more: Any) -> Item:
    """A function call."""
    return {"type": "function_call", "call_id": call_id, "name": "run_tests", "arguments": '{"id":"msg_1"}', **more}


def output(call_id: str = "call_1", text: Any = "run_42 finished", **more: Any) -> Item:
    """A function call's output."""
    return {"type": "function_call_output", "call_id": call_id, "output": text, **more}


_SHELL: Final = {"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}

# Kinds of which nothing but the id (and fields that no item has) goes.
PLAIN: Final[dict[str, Item]] = {
    "function_call": call(namespace="n", status="completed"),
    "function_call_output": output(status="completed"),
    "custom_tool_call": {"type": "custom_tool_call", "call_id": "call_2", "name": "msg_send", "input": "fc_9"},
    "custom_tool_call_output": {"type": "custom_tool_call_output", "call_id": "call_2", "output": "x"},
    "web_search_call": {
        "type": "web_search_call",
        "status": "completed",
        "action": {"type": "search", "query": "q", "id": "kept"},
    },
    "file_search_call": {
        "type": "file_search_call",
        "status": "completed",
        "queries": ["q"],
        "results": [{"file_id": "file-1"}],
    },
    "code_interpreter_call": {
        "type": "code_interpreter_call",
        "status": "completed",
        "code": "run_model()",
        "container_id": "cntr_1",
        "outputs": [],
    },
    "shell_call": {"type": "shell_call", "call_id": "call_3", "action": {"commands": ["ls"]}, "status": "completed"},
    "shell_call_output": {"type": "shell_call_output", "call_id": "call_3", "output": [_SHELL]},
    "apply_patch_call": {
        "type": "apply_patch_call",
        "call_id": "call_4",
        "operation": {"type": "delete_file", "path": "a"},
        "status": "completed",
    },
    "apply_patch_call_output": {"type": "apply_patch_call_output", "call_id": "call_4", "status": "completed"},
    "mcp_list_tools": {"type": "mcp_list_tools", "server_label": "s", "tools": [{"name": "t", "id": "kept"}]},
    "mcp_call": {
        "type": "mcp_call",
        "server_label": "s",
        "name": "t",
        "arguments": "{}",
        "output": "o",
        "approval_request_id": "mcpr_1",
    },
    "tool_search_call": {
        "type": "tool_search_call",
        "call_id": "call_5",
        "execution": "client",
        "arguments": {},
        "status": "completed",
    },
    "tool_search_output": {
        "type": "tool_search_output",
        "call_id": "call_5",
        "execution": "client",
        "tools": [{"id": "kept"}],
    },
    "additional_tools": {"type": "additional_tools", "role": "developer", "tools": [{"id": "kept"}]},
    "configuration_update": {"type": "configuration_update", "reasoning": {"effort": "low"}},
    "agent_message": {"type": "agent_message", "author": "a", "recipient": "b", "content": []},
    "multi_agent_call": {"type": "multi_agent_call", "call_id": "call_6", "action": "spawn_agent", "arguments": "{}"},
    "multi_agent_call_output": {
        "type": "multi_agent_call_output",
        "call_id": "call_6",
        "action": "spawn_agent",
        "output": [],
    },
    "reasoning": REASONING,
    "message:user": USER,
    "message:easy": EASY,
    "message:system": {"type": "message", "role": "system", "content": "be brief"},
    "message:developer": {"role": "developer", "content": [{"type": "input_text", "text": "be brief"}]},
    "message:assistant": {**SAID, "status": "completed", "phase": "final_answer"},
    "unknown": {"type": "hologram_call", "object": "kept", "model": "kept", "payload": {"id": "kept"}},
}

# Kinds whose id pairs or is signed: with them a turn keeps all its ids.
PINNED: Final[dict[str, Item]] = {
    "computer_call": {
        "type": "computer_call",
        "id": "cu_1",
        "call_id": "call_7",
        "action": {"type": "click"},
        "pending_safety_checks": [{"id": "cu_sc_1"}],
        "status": "completed",
    },
    "local_shell_call": {
        "type": "local_shell_call",
        "id": "lsh_1",
        "call_id": "call_8",
        "action": {"type": "exec", "command": ["ls"]},
        "status": "completed",
    },
    "mcp_approval_request": {
        "type": "mcp_approval_request",
        "id": "mcpr_1",
        "server_label": "s",
        "name": "t",
        "arguments": "{}",
    },
    "program": {"type": "program", "id": "cm_1", "call_id": "call_9", "code": "x", "fingerprint": "f"},
    "program_output": {
        "type": "program_output",
        "id": "cmo_1",
        "call_id": "call_9",
        "result": "r",
        "status": "completed",
    },
    "compaction": {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAAB"},
}
LOCAL_OUTPUT: Final[Item] = {"type": "local_shell_call_output", "id": "lsh_1", "output": "o"}
COMPUTER_OUTPUT: Final[Item] = {
    "type": "computer_call_output",
    "call_id": "call_7",
    "output": {"type": "computer_screenshot", "image_url": "data:,"},
    "acknowledged_safety_checks": [{"id": "cu_sc_1"}],
}
APPROVAL: Final[Item] = {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True}

PINNED_OUTPUT: Final[dict[str, Item]] = {
    "computer_call": COMPUTER_OUTPUT,
    "local_shell_call": LOCAL_OUTPUT,
    "mcp_approval_request": APPROVAL,
    "program": PINNED["program_output"],
}

# What has to stand in front of an output, or behind a call, for the two to be a pair.
PARTNERS: Final[dict[str, Item]] = {
    "function_call": PLAIN["function_call_output"],
    "custom_tool_call": PLAIN["custom_tool_call_output"],
    "shell_call": PLAIN["shell_call_output"],
    "apply_patch_call": PLAIN["apply_patch_call_output"],
    "tool_search_call": PLAIN["tool_search_output"],
    "multi_agent_call": PLAIN["multi_agent_call_output"],
}


def around(kind: str, item: Item) -> tuple[list[Item], list[Item]]:
    """What stands before and behind an item of `kind` in a valid input of its own."""
    calls = {answer["type"]: PLAIN[name] for name, answer in PARTNERS.items()}
    if kind in PARTNERS:
        return [USER], [PARTNERS[kind], USER]
    if kind in calls:
        return [USER, calls[kind]], [USER]
    if kind == "reasoning":
        return [USER], [SAID, USER]
    return [USER], [USER] if item.get("type") != "compaction_trigger" else []
