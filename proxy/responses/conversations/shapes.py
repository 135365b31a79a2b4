"""What an item of a conversation must be so that upstream takes it, and a list of items can show it: a row a kind.

A row names the members that are looked at, `name:type`, those that must be there with `!`. Other members pass: the API
gains some now and then, and what upstream refuses later is taken out by the ladder of `field` then. Members that
only a response has are refused, as upstream does. From openai 3.57.0 (`ResponseInputItemParam`, `ConversationItem`)
and what api.openai.com accepted on 2026-08-30.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from proxy.responses.conversations import refused
from proxy.responses.items import ITEM_ENVELOPE

KINDS: Final[dict[str, str]] = {
    "message": "role!:role content!:content",
    "function_call": "call_id!:id name!:text arguments!:text",
    "function_call_output": "call_id:id output!:output",
    "file_search_call": "queries!:list status!:text results:list",
    "web_search_call": "action!:object status!:text",
    "image_generation_call": "result!:text? status!:text",
    "computer_call": "id!:text call_id!:text pending_safety_checks!:list",
    "computer_call_output": "call_id!:id output!:object",
    "tool_search_call": "call_id:id arguments!:any",
    "tool_search_output": "call_id:id tools!:list",
    "additional_tools": "role!:text tools!:list",
    "configuration_update": "reasoning:object text:object",
    "reasoning": "summary!:list encrypted_content:text content:list",
    "program": "id!:text call_id!:id code!:text fingerprint!:text",
    "program_output": "id!:text call_id!:id result!:text status!:text",
    "compaction": "encrypted_content!:text",
    "code_interpreter_call": "container_id!:text code!:text? outputs!:list? status!:text",
    "local_shell_call": "id!:text call_id!:text action!:object",
    "local_shell_call_output": "id!:text output!:text",
    "shell_call": "call_id!:id action!:object",
    "shell_call_output": "call_id!:id output!:list",
    "apply_patch_call": "call_id!:id operation!:object status!:text",
    "apply_patch_call_output": "call_id!:id status!:text output:text",
    "mcp_list_tools": "server_label!:text tools!:list",
    "mcp_approval_request": "id!:text server_label!:text name!:text arguments!:text",
    "mcp_approval_response": "approval_request_id!:text approve!:flag",
    "mcp_call": "server_label!:text name!:text arguments!:text",
    "custom_tool_call": "call_id!:id name!:text input!:text",
    "custom_tool_call_output": "call_id!:id output!:output",
}
"""The kinds that a list of a conversation's items has; a request may have more (`compaction_trigger`)."""

_ROLES: Final = ("assistant", "system", "developer", "user")
_PARTS: Final = {
    "assistant": {"output_text": "text!:text", "refusal": "refusal!:text"},
    "": {
        "input_text": "text!:text",
        "input_image": "image_url:text file_id:text",
        "input_file": "file_id:text filename:text file_data:text file_url:text",
        "input_audio": "input_audio!:object",
        "scoped_content": "content!:any",
    },
    "output": {
        "input_text": "text!:text",
        "input_image": "image_url:text file_id:text",
        "input_file": "file_id:text filename:text file_data:text file_url:text",
    },
}
"""Parts of a content: of the model's messages, of all others, and of outputs."""
_TYPES: Final[dict[str, tuple[str, type]]] = {
    "text": ("a string", str),
    "list": ("an array of objects", list),
    "object": ("an object", dict),
    "flag": ("a boolean", bool),
}
_ID: Final = re.compile(r"[A-Za-z0-9_-]*")
_LONGEST_ID: Final = 64
_CALL_ID: Final = 64


class _Member(NamedTuple):
    name: str
    is_required: bool
    kind: str
    may_be_null: bool


@cache
def _members(line: str) -> tuple[_Member, ...]:
    found = []
    for word in line.split():
        name, _, kind = word.partition(":")
        is_required = name.endswith("!")
        found.append(_Member(name.rstrip("!"), is_required, kind.rstrip("?"), kind.endswith("?") or not is_required))
    return tuple(found)


def check_item(item: Any, place: str) -> None:
    """Raises Refused where upstream would not take the item that stands at `place` of a body."""
    if not isinstance(item, dict):
        raise refused.wrong_type(place, "an input item", item)
    kind = _kind(item, place)
    envelope = next((name for name in ITEM_ENVELOPE if name in item), None)
    if envelope is not None:
        raise refused.unknown(f"{place}.{envelope}")
    _check_id(item.get("id"), f"{place}.id")
    _check_members(item, KINDS[kind], place)
    # With an id it may be known where it goes on, and is left out elsewhere.
    if kind == "reasoning" and not any(item.get(name) for name in ("id", "encrypted_content", "summary", "content")):
        raise refused.invalid_item()


def _kind(item: Mapping[str, Any], place: str) -> str:
    kind = item.get("type", "message")
    if not isinstance(kind, str) or kind not in KINDS:
        raise refused.wrong_choice(place, kind, tuple(KINDS))
    return kind


def _check_id(value: Any, place: str) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        raise refused.wrong_type(place, "a string", value)
    if len(value) > _LONGEST_ID:
        raise refused.too_long(place, _LONGEST_ID, len(value))
    if not value or not _ID.fullmatch(value):
        raise refused.wrong_id(place, value)


def _check_members(value: Mapping[str, Any], line: str, place: str) -> None:
    for member in _members(line):
        where = f"{place}.{member.name}"
        if member.name not in value:
            if member.is_required:
                raise refused.missing(where)
        elif value[member.name] is not None or not member.may_be_null:
            _check_value(value, member, where)


def _check_value(value: Mapping[str, Any], member: _Member, place: str) -> None:
    found = value[member.name]
    match member.kind:
        case "any":
            pass
        case "role":
            if found not in _ROLES:
                raise refused.wrong_choice(place.removesuffix(".role"), found, _ROLES)
        case "content" | "output":
            _check_content(found, _allowed(member.kind, value), place)
        case "id":
            _check_type(found, "text", place)
            if len(found) > _CALL_ID:
                raise refused.too_long(place, _CALL_ID, len(found))
        case kind:
            _check_type(found, kind, place)


def _allowed(kind: str, value: Mapping[str, Any]) -> Mapping[str, str]:
    return _PARTS["output" if kind == "output" else "assistant" if value["role"] == "assistant" else ""]


def _check_type(value: Any, kind: str, place: str) -> None:
    expected, type_ = _TYPES[kind]
    if not isinstance(value, type_):
        raise refused.wrong_type(place, expected, value)


def _check_content(value: Any, allowed: Mapping[str, str], place: str) -> None:
    if isinstance(value, str):
        return
    if not isinstance(value, list):
        raise refused.wrong_type(place, "one of a string or array of objects", value)
    for number, part in enumerate(value):
        where = f"{place}[{number}]"
        _check_type(part, "object", where)
        if "type" not in part:
            raise refused.missing(f"{where}.type")
        kind = part["type"]
        if not isinstance(kind, str) or kind not in allowed:
            raise refused.wrong_choice(where, kind, tuple(allowed))
        _check_members(part, allowed[kind], where)


_PAIRS: Final = 16
_LONGEST_KEY: Final = 64
_LONGEST_VALUE: Final = 512


def check_metadata(value: Any) -> None:
    """Raises Refused where metadata are none, too many or too long."""
    if not isinstance(value, dict):
        raise refused.wrong_type("metadata", "a metadata object", value)
    if len(value) > _PAIRS:
        raise refused.too_many_pairs("metadata", _PAIRS, len(value))
    for name, text in value.items():
        if len(name) > _LONGEST_KEY:
            raise refused.too_long("metadata", _LONGEST_KEY, len(name))
        if not isinstance(text, str):
            raise refused.wrong_type("metadata", "an object of strings", text)
        if len(text) > _LONGEST_VALUE:
            raise refused.too_long("metadata", _LONGEST_VALUE, len(text))
