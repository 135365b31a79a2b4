"""The kinds of item of an input, each as one line of fields, and the check of their shape.

From OpenAI's OpenAPI description 2.3.0 and the 33 kinds that the API listed on 2026-08-30; where the live API accepts
an item without an id that the description requires, the line follows the API. Says nothing about what is stored or
belongs together.
"""

from collections.abc import Iterator
from typing import Any

from . import refusals
from .shapes import Check, check_object, fields, named

Item = dict[str, Any]

STATUS = "status:in_progress|completed|incomplete"
CALLER = "caller:caller?"
CALL = f"call_id!:str64 {CALLER}"

KINDS: dict[str, str] = {
    "additional_tools": "id:id-at? role!:developer tools!:tools",
    "agent_message": "id:id-amsg? author!:str recipient!:str content!:any",
    "apply_patch_call": f"id:id-apc? {CALL} status!:in_progress|completed operation!:obj",
    "apply_patch_call_output": f"id:id-apc? {CALL} status!:completed|failed output:str?",
    "code_interpreter_call": (
        "id:id-ci status!:in_progress|completed|incomplete|interpreting|failed container_id!:str code!:str? "
        "outputs!:arr?"
    ),
    "compaction": "id:id-cmp? encrypted_content!:str",
    "compaction_trigger": "",
    "computer_call": f"id!:id-cu call_id!:str action:obj actions:arr pending_safety_checks!:arr {STATUS}",
    "computer_call_output": f"id:id-cu? call_id!:str64 output!:screenshot acknowledged_safety_checks:arr? {STATUS}?",
    "configuration_update": "id:id-? reasoning:obj text:obj",
    "custom_tool_call": (f"id:id-ctc call_id!:str64 name!:str input!:str namespace:str async:bool? {STATUS} {CALLER}"),
    "custom_tool_call_output": f"id:id-ctc call_id!:str64 output!:output {CALLER}",
    "file_search_call": (
        "id:id-fs status!:in_progress|searching|completed|incomplete|failed queries!:words results:arr?"
    ),
    "function_call": (f"id:id-fc call_id!:str64 name!:str arguments!:str namespace:str async:bool? {STATUS} {CALLER}"),
    "function_call_output": (
        f"id:id-fc? call_id:str64? output!:output name:str128? namespace:str64? {STATUS}? {CALLER}"
    ),
    "image_generation_call": (
        "id:id-ig status!:in_progress|completed|generating|failed result!:str? action:str? background:str? "
        "output_format:str? quality:str? revised_prompt:str? size:str? error:obj svg_usage:obj"
    ),
    "item_reference": "id!:id-",
    "local_shell_call": f"id!:id-lsh call_id!:str64 action!:obj {STATUS}",
    "local_shell_call_output": f"id!:id- call_id:str64 output!:str {STATUS}?",
    "mcp_approval_request": "id!:id-mcpr server_label!:str name!:str arguments!:str",
    "mcp_approval_response": "id:id-? request_id:str approval_request_id!:str approve!:bool reason:str?",
    "mcp_call": (
        "id:id-mcp server_label!:str name!:str arguments!:str output:str? error:any? "
        "status:in_progress|completed|incomplete|calling|failed approval_request_id:str?"
    ),
    "mcp_list_tools": "id:id-mcpl server_label!:str tools!:arr error:any?",
    "message": "",
    "multi_agent_call": "id:id-mac call_id!:str64 action!:any arguments:any",
    "multi_agent_call_output": "id:id-mac call_id!:str64 action:any output!:any",
    "program": "id!:id-cm call_id!:str64 code!:str fingerprint!:str",
    "program_output": "id!:id-cm call_id!:str64 result!:str status!:completed|incomplete",
    "reasoning": "id:id-rs summary!:summary encrypted_content:str? content:thoughts",
    "shell_call": f"id:id-sh? {CALL} action!:commands environment:obj? {STATUS}?",
    "shell_call_output": f"id:id-sh? {CALL} output!:chunks max_output_length:int? {STATUS}?",
    "tool_search_call": f"id:id-ts? call_id:str64? execution:server|client arguments!:any {STATUS}?",
    "tool_search_output": f"id:id-ts? call_id:str64? execution:server|client tools!:tools {STATUS}?",
    "web_search_call": "id:id-ws status!:in_progress|searching|completed|failed action!:obj",
}
LISTED = tuple(KINDS)

ROLES = ("assistant", "system", "developer", "user")
MESSAGE = f"type:any? agent:any? id:id-msg role!:any content!:client_content {STATUS}"
ASSISTANT = f"type:any? agent:any? id:id-msg role!:any content!:model_content {STATUS} phase:commentary|final_answer?"

PARTS: dict[str, str] = {
    "input_text": "type!:any text!:str prompt_cache_breakpoint:obj?",
    "input_image": "type!:any image_url:str? file_id:str? detail:low|high|auto|original? prompt_cache_breakpoint:obj?",
    "input_audio": "type!:any input_audio!:obj",
    "output_text": "type!:any text!:str annotations:arr logprobs:arr?",
    "refusal": "type!:any refusal!:str",
    "input_file": (
        "type!:any file_id:str? filename:str? file_data:str? file_url:str? detail:str? prompt_cache_breakpoint:obj?"
    ),
    "computer_screenshot": "type!:any image_url:str? file_id:str? detail:str? prompt_cache_breakpoint:obj?",
    "summary_text": "type!:any text!:str",
    "encrypted_content": "type!:any encrypted_content!:str",
    "reasoning_text": "type!:any text!:str",
    "scoped_content": "type!:any content!:any scope:any",
}
LISTED_PARTS = tuple(name for name in PARTS if name not in {"reasoning_text", "scoped_content"})

CLIENT_PARTS = ("input_text", "input_image", "input_file", "scoped_content", "input_audio")
MODEL_PARTS = ("output_text", "refusal")
OUTPUT_PARTS = ("input_text", "input_image", "input_file")


def prefix(kind: str) -> str:
    """What the ids of a kind begin with."""
    known = fields(KINDS[kind]).get("id")
    return known.rule.removeprefix("id-") or "item" if known else "msg"


def kind_of(item: Item) -> str:
    """The kind of a checked item: a bare `{"id"}` is a reference, what has a role and no type a message."""
    return str(item.get("type") or ("message" if "role" in item else "item_reference"))


def check_item(item: object, place: str, profile: str) -> None:
    """Refuse an item whose shape is wrong."""
    if not isinstance(item, dict):
        raise refusals.wrong_type(place, "an input item", named(item))
    kind = _checked_kind(item, place)
    if kind == "message":
        _check_message(item, place, profile)
        return
    check_object(item, f"type:any? agent:any? {KINDS[kind]}", place, RULES)
    if kind == "reasoning":
        _check_reasoning(item, place, profile)


def _checked_kind(item: Item, place: str) -> str:
    named_kind = item.get("type")
    if named_kind is None:
        return "message" if "role" in item or "id" not in item else "item_reference"
    if not isinstance(named_kind, str) or named_kind not in KINDS:
        raise refusals.wrong_choice(place, named_kind if isinstance(named_kind, str) else "", LISTED)
    return named_kind


def _check_message(item: Item, place: str, profile: str) -> None:
    role = item.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise refusals.wrong_choice(place, role if isinstance(role, str) else "", ROLES)
    line = ASSISTANT if role == "assistant" else MESSAGE
    # Azure takes no `status` on messages (litellm's azure transformation removes it).
    line = line.replace(STATUS, "") if profile == "azure" else line
    check_object(item, line, place, RULES)


def _check_reasoning(item: Item, place: str, profile: str) -> None:
    """Without an id reasoning must bring its blob or be readable; Azure wants the id (openai/codex#3528)."""
    self_contained = item.get("encrypted_content") or item["summary"] or item.get("content")
    if "id" not in item and (profile == "azure" or not self_contained):
        raise refusals.missing(f"{place}.id")


def _check_parts(value: object, place: str, allowed: tuple[str, ...]) -> None:
    """Refuse parts that the slot does not take, in the two sentences of the live API."""
    for part, where in _objects(value, place):
        _check_part(part, where, allowed)


def _objects(value: object, place: str, expected: str = "an array of objects") -> Iterator[tuple[Item, str]]:
    """Each object of an array with its place; refuses what is none when it is its turn."""
    if not isinstance(value, list):
        raise refusals.wrong_type(place, expected, named(value))
    for index, one in enumerate(value):
        yield _object(one, f"{place}[{index}]"), f"{place}[{index}]"


def _object(value: object, place: str) -> Item:
    if not isinstance(value, dict):
        raise refusals.wrong_type(place, "an object", named(value))
    return value


def _check_part(part: Item, place: str, allowed: tuple[str, ...]) -> None:
    kind = part.get("type")
    if kind is None:
        raise refusals.missing(f"{place}.type")
    if not isinstance(kind, str) or kind not in PARTS:
        raise refusals.wrong_choice(f"{place}.type", kind if isinstance(kind, str) else "", LISTED_PARTS)
    if kind not in allowed:
        raise refusals.wrong_choice(place, kind, allowed)
    check_object(part, PARTS[kind], place, RULES)


def _text_or(allowed: tuple[str, ...]) -> Check:
    def check(value: object, place: str) -> None:
        if isinstance(value, str):
            return
        if not isinstance(value, list):
            raise refusals.wrong_type(place, "one of a string or array of objects", named(value))
        _check_parts(value, place, allowed)

    return check


def _only(*allowed: str) -> Check:
    return lambda value, place: _check_parts(value, place, allowed)


def _check_screenshot(value: object, place: str) -> None:
    _check_part(_object(value, place), place, ("computer_screenshot",))


def _check_caller(value: object, place: str) -> None:
    check_object(_object(value, place), "type!:direct|program caller_id:str", place, RULES)


def _check_commands(value: object, place: str) -> None:
    check_object(_object(value, place), "commands!:words timeout_ms:int? max_output_length:int?", place, RULES)


def _check_chunks(value: object, place: str) -> None:
    for chunk, where in _objects(value, place):
        check_object(chunk, "stdout!:str stderr!:str outcome!:obj", where, RULES)


def check_tools(value: object, place: str) -> None:
    """Refuse tools without a type, or without the name that their type has."""
    for tool, where in _objects(value, place, "an array of tools"):
        for field in ("type", *NEEDED.get(str(tool.get("type")), ())):
            if field not in tool:
                raise refusals.missing(f"{where}.{field}")
            if field in {"type", "name", "server_label"} and not isinstance(tool[field], str):
                raise refusals.wrong_type(f"{where}.{field}", "a string", named(tool[field]))


NEEDED = {
    "function": ("name",),
    "custom": ("name",),
    "mcp": ("server_label",),
    "file_search": ("vector_store_ids",),
    "code_interpreter": ("container",),
    "computer_use_preview": ("environment", "display_width", "display_height"),
    "namespace": ("name", "description", "tools"),
}

RULES: dict[str, Check] = {
    "client_content": _text_or(CLIENT_PARTS),
    "model_content": _text_or(MODEL_PARTS),
    "output": _text_or(OUTPUT_PARTS),
    "summary": _only("summary_text"),
    "thoughts": _only("reasoning_text"),
    "screenshot": _check_screenshot,
    "caller": _check_caller,
    "commands": _check_commands,
    "chunks": _check_chunks,
    "tools": check_tools,
}
