"""An independent judge of inputs: what the API asks of the pairs and of the end of an input, written from its rules.

It shares nothing with the code it judges: types are told apart by their names only.
"""

import json
from typing import Any, Final

Item = dict[str, Any]

CALL_OF: Final = {
    "function_call_output": ("function_call", "local_shell_call"),
    "custom_tool_call_output": ("custom_tool_call",),
    "computer_call_output": ("computer_call",),
    "shell_call_output": ("shell_call",),
    "apply_patch_call_output": ("apply_patch_call",),
    "tool_search_output": ("tool_search_call",),
    "multi_agent_call_output": ("multi_agent_call",),
    "program_output": ("program",),
}
NEEDS_OUTPUT: Final = {call for calls in CALL_OF.values() for call in calls} - {"program"}
CLIENT_MADE: Final = {"compaction_trigger", "configuration_update", "additional_tools", "mcp_approval_response"}
SETTINGS: Final = {"compaction_trigger", "configuration_update", "additional_tools", "system", "developer"}


def faults(body: bytes, *, question: bool = True) -> list[str]:
    """What upstream would refuse in the input of `body`, or find no question in."""
    items = json.loads(body)["input"]
    if not isinstance(items, list):
        return []
    found = _pair_faults(items) + _reasoning_faults(items)
    return found + _end_faults(items) if question else found


def _keys(item: Item) -> list[str]:
    if "local_shell" in _type(item):
        return [str(item[name]) for name in ("call_id", "id") if item.get(name)]
    return [str(item["call_id"])] if item.get("call_id") else []


def _type(item: Any) -> str:
    if not isinstance(item, dict):
        return ""
    if item.get("type") in (None, "message"):
        return str(item.get("role", "item_reference" if "id" in item and "type" not in item else ""))
    return str(item["type"])


def _pair_faults(items: list[Item]) -> list[str]:
    seen: set[tuple[str, str]] = set()
    open_calls: set[tuple[str, str]] = set()
    requests: set[str] = set()
    found = []
    for place, item in enumerate(items):
        kind = _type(item)
        if kind in NEEDS_OUTPUT or kind == "program":
            for key in _keys(item):
                seen.add((kind, key))
                if kind in NEEDS_OUTPUT and not item.get("async"):
                    open_calls.add((kind, key))
        elif kind in CALL_OF and _keys(item):
            calls = {(call, key) for call in CALL_OF[kind] for key in _keys(item)}
            found += [f"no call for {kind} at {place}"] if seen.isdisjoint(calls) else []
            open_calls -= calls
        elif kind == "local_shell_call_output":
            calls = {("local_shell_call", key) for key in _keys(item)}
            found += [f"no call for {kind} at {place}"] if seen.isdisjoint(calls) else []
            open_calls -= calls
        elif kind == "mcp_approval_request":
            requests.add(str(item.get("id")))
        elif kind == "mcp_approval_response" and str(item.get("approval_request_id")) not in requests:
            found.append(f"no request for the approval at {place}")
    open_calls = {(kind, key) for kind, key in open_calls if not _answered_by_id(kind, key, items)}
    return found + [f"no output for {kind} {key}" for kind, key in sorted(open_calls)]


def _answered_by_id(kind: str, key: str, items: list[Item]) -> bool:
    """Whether the other key of the same local shell call was answered."""
    if kind != "local_shell_call":
        return False
    others = {other for item in items if _type(item) == kind and key in _keys(item) for other in _keys(item)}
    return any(
        others.intersection(_keys(item))
        for item in items
        if _type(item) in ("local_shell_call_output", "function_call_output")
    )


def _client_made(item: Item) -> bool:
    kind = _type(item)
    hosted = kind == "tool_search_output" and not item.get("call_id")
    beta = kind in ("multi_agent_call_output", "program_output")
    return kind in CLIENT_MADE | {"user", "system", "developer"} or (
        kind.endswith("_output") and not hosted and not beta
    )


def _reasoning_faults(items: list[Item]) -> list[str]:
    found = []
    for place, item in enumerate(items):
        if _type(item) == "reasoning" and (place + 1 == len(items) or _client_made(items[place + 1])):
            found.append(f"nothing follows the reasoning at {place}")
    return found


def _end_faults(items: list[Item]) -> list[str]:
    rest = [_type(item) for item in items if _type(item) not in SETTINGS]
    if not rest:
        return ["empty"]
    return [] if rest[-1] == "user" or rest[-1].endswith(("_output", "_response")) else [f"ends with {rest[-1]}"]
