"""How an item of a conversation is shown: as it is kept, with an id, and a message as upstream lists it."""

import json
from collections.abc import Sequence
from typing import Any, Final

from proxy.responses.body import lenient
from proxy.responses.body.edits import Edit, cut_members, splice
from proxy.responses.body.item import Item
from proxy.responses.body.lenient import MalformedError
from proxy.responses.body.member import Member
from proxy.responses.body.table import item_of
from proxy.responses.conversations.ledger import minted
from proxy.responses.items import REFERENCE

_PREFIXES: Final = {
    "function_call": "fc",
    "function_call_output": "fc",
    "file_search_call": "fs",
    "web_search_call": "ws",
    "image_generation_call": "ig",
    "computer_call": "cu",
    "computer_call_output": "cu",
    "tool_search_call": "ts",
    "tool_search_output": "ts",
    "additional_tools": "at",
    "reasoning": "rs",
    "compaction": "cmp",
    "code_interpreter_call": "ci",
    "local_shell_call": "lsh",
    "shell_call": "sh",
    "shell_call_output": "sh",
    "apply_patch_call": "apc",
    "apply_patch_call_output": "apc",
    "mcp_list_tools": "mcpl",
    "mcp_call": "mcp",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctc",
}
"""With what the ids of a kind begin (OpenAPI description 2.3.0); of all others with `msg`."""
_STATED: Final = frozenset(
    {
        "message",
        "function_call",
        "function_call_output",
        "computer_call_output",
        "tool_search_call",
        "tool_search_output",
        "shell_call",
        "shell_call_output",
    }
)
"""Kinds that always have a `status` where they are listed, and may come without one."""

_ENCRYPTED: Final = "reasoning.encrypted_content"
INCLUDABLE: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "file_search_call.results": ("file_search_call", ("results",)),
    "web_search_call.results": ("web_search_call", ("results",)),
    "web_search_call.action.sources": ("web_search_call", ("action", "sources")),
    "message.input_image.image_url": ("message", ("content", "*", "image_url")),
    "computer_call_output.output.image_url": ("computer_call_output", ("output", "image_url")),
    "code_interpreter_call.outputs": ("code_interpreter_call", ("outputs",)),
    _ENCRYPTED: ("reasoning", ("encrypted_content",)),
    "message.output_text.logprobs": ("message", ("content", "*", "logprobs")),
}
"""Values of `include`, with the kind and the member that each is about."""


def id_in(item: bytes) -> str:
    """The id of an item; `""` where it has none."""
    try:
        return item_of(item).id or ""
    except (MalformedError, TypeError):
        return ""


def shown(item: bytes, name: bytes, conversation_id: str, include: Sequence[str] = ()) -> tuple[str, bytes]:
    """The id of an item, and its JSON in a list. Raises MalformedError where it is none."""
    row = item_of(item)
    kind = row.kind.name or row.type
    members = lenient.members(item, 0)
    item_id = row.id or minted(conversation_id, _PREFIXES.get(kind, "msg"), name)
    edits: list[Edit] = [] if row.id else cut_members(members, {"id"})
    front = {} if row.id else {"id": item_id}
    given = {member.name: item[member.value : member.end] for member in members}
    if "type" not in given:
        front["type"] = "message"
    if kind in _STATED and given.get("status", b"null") == b"null":
        edits += cut_members(members, {"status"}) if "status" in given else []
        front["status"] = "completed"
    edits += [edit for member in members if member.name == "content" for edit in _parts(item, member, row)]
    return item_id, _without(_begun(splice(item, edits), front), kind, include)


def _begun(item: bytes, front: dict[str, str]) -> bytes:
    """An item with these members in front."""
    if not front:
        return item
    rest = item[item.index(b"{") + 1 :].lstrip()
    added = json.dumps(front, separators=(",", ":")).encode()[:-1]
    return added + (b"" if rest[:1] == b"}" else b",") + rest


def _parts(item: bytes, content: Member, row: Item) -> list[Edit]:
    """A message's text as the one part that it stands for."""
    text = item[content.value : content.end]
    if row.kind.name != "message" or text[:1] != b'"':
        return []
    empty = b',"annotations":[]' if row.role == "assistant" else b""
    kind = b"output_text" if row.role == "assistant" else b"input_text"
    return [(content.value, content.end, b'[{"type":"%b","text":%b%b}]' % (kind, text, empty))]


def _without(item: bytes, kind: str, include: Sequence[str]) -> bytes:
    """An item without what can be included and is not; what was never kept is not invented."""
    if not include:
        return item
    for name, (concerned, path) in INCLUDABLE.items():
        if concerned == kind and name not in include:
            item = splice(item, _cuts(item, 0, path))
    return item


def _cuts(body: bytes, start: int, path: Sequence[str]) -> list[Edit]:
    """The edits that take the member at the end of `path` out of the value at `start`; `*` is each of an array."""
    step, rest = path[0], path[1:]
    if step == "*":
        spans = lenient.elements(body, start) if body[start : start + 1] == b"[" else []
        return [edit for begin, _ in spans for edit in _cuts(body, begin, rest)]
    if body[start : start + 1] != b"{":
        return []
    members = lenient.members(body, start)
    if not rest:
        return cut_members(members, {step}) if any(member.name == step for member in members) else []
    return [edit for member in members if member.name == step for edit in _cuts(body, member.value, rest)]


def is_reference(item: dict[str, Any]) -> bool:
    """Whether an item of a body, read, is a reference to another one."""
    return item.get("type") == REFERENCE.name or (item.keys() == {"id"})
