"""What the fake model can do: for each type of tool the words by which a user asks for it and the items it makes.

A table, and one function a row. Deterministic; knows nothing of requests beyond their tools.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .identifiers import digest
from .items import Item, kind_of
from .model import argument
from .schemas import filled
from .turn import Turn

Tool = Mapping[str, Any]

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="  # one pixel


def tools(given: Mapping[str, Any], history: list[Item]) -> list[Tool]:
    """All tools of a request, those that items bring included, namespaces opened."""
    found = list(given.get("tools", ()))
    for item in history:
        if kind_of(item) in {"additional_tools", "tool_search_output"}:
            found += item["tools"]
    return [inner for tool in found for inner in _opened(tool)]


def _opened(tool: Tool) -> Iterator[Tool]:
    if tool["type"] != "namespace":
        yield tool
    elif isinstance(tool["tools"], list):
        inside = (inner for inner in tool["tools"] if isinstance(inner, dict) and isinstance(inner.get("type"), str))
        yield from ({**inner, "namespace": tool["name"]} for inner in inside)


def wanted(turn: Turn, text: str) -> list[Tool]:
    """The tools that a request demands or a text names."""
    choice = turn.given.get("tool_choice", "auto")
    known = [tool for tool in tools(turn.given, turn.history) if tool["type"] in MAKERS]
    if choice == "none":
        return []
    if choice == "required":
        return known[:1]
    if isinstance(choice, dict):
        return [tool for tool in known if chosen(tool, choice)][:1]
    found = [tool for tool in known if _is_named(tool, text.lower())]
    return found if turn.given.get("parallel_tool_calls", True) else found[:1]


def chosen(tool: Tool, choice: Mapping[str, Any]) -> bool:
    """Whether a `tool_choice` object means this tool."""
    same_name = "name" not in choice or choice["name"] == tool.get("name")
    return choice["type"] == tool["type"] and same_name


def _is_named(tool: Tool, text: str) -> bool:
    if tool["type"] in {"function", "custom"}:
        name = str(tool.get("name", "")).lower()
        words = [word for word in re.split(r"[^a-z0-9]+", name) if len(word) > 3]
        return name in text or "use the tool" in text or any(word in text for word in words)
    return any(words in text.replace("_", " ") for words in WORDS[tool["type"]])


def _function(turn: Turn, tool: Tool) -> None:
    what = turn.seen
    arguments = filled(tool.get("parameters") or {"type": "object"}, lambda name: argument(what, name))
    extra = {key: tool[key] for key in ("namespace", "caller") if key in tool}
    turn.wait(
        "fc",
        "function_call",
        status="completed",
        arguments=json.dumps(arguments, separators=(",", ":")),
        call_id=turn.call_id(),
        name=str(tool.get("name")),
        **extra,
    )


def _custom(turn: Turn, tool: Tool) -> None:
    turn.wait(
        "ctc", "custom_tool_call", status="completed", call_id=turn.call_id(), name=tool["name"], input=turn.seen.last
    )


def _web_search(turn: Turn, _tool: Tool) -> None:
    action = {"type": "search", "query": turn.seen.last, "queries": [turn.seen.last]}
    turn.add("ws", "web_search_call", status="completed", action=action)


def _file_search(turn: Turn, _tool: Tool) -> None:
    turn.add("fs", "file_search_call", status="completed", queries=[turn.seen.last], results=None)


def _code_interpreter(turn: Turn, tool: Tool) -> None:
    container = (
        tool["container"] if isinstance(tool["container"], str) else f"cntr_{digest('container', turn.link)[:32]}"
    )
    outputs = (
        [{"type": "logs", "logs": "2\n"}] if "code_interpreter_call.outputs" in turn.given.get("include", ()) else None
    )
    turn.add(
        "ci", "code_interpreter_call", status="completed", code="print(1 + 1)", container_id=container, outputs=outputs
    )


def _image_generation(turn: Turn, _tool: Tool) -> None:
    turn.add("ig", "image_generation_call", status="completed", output_format="png", result=PIXEL)


def _mcp(turn: Turn, tool: Tool) -> None:
    arguments = json.dumps({"question": turn.seen.last})
    if tool.get("require_approval") == "never":
        call_mcp(turn, str(tool["server_label"]), arguments, None)
    else:
        turn.wait("mcpr", "mcp_approval_request", server_label=tool["server_label"], name="ask", arguments=arguments)


def call_mcp(turn: Turn, label: str, arguments: str, request: str | None) -> None:
    """A call to an MCP server, made and answered by the API itself."""
    turn.add(
        "mcp",
        "mcp_call",
        status="completed",
        approval_request_id=request,
        arguments=arguments,
        error=None,
        name="ask",
        output="It is 42.",
        server_label=label,
    )


def _local_shell(turn: Turn, _tool: Tool) -> None:
    action = {"type": "exec", "command": ["ls"], "env": {}}
    turn.wait("lsh", "local_shell_call", status="completed", call_id=turn.call_id(), action=action)


def _shell(turn: Turn, _tool: Tool) -> None:
    action = {"commands": ["ls"], "timeout_ms": None, "max_output_length": None}
    turn.wait("sh", "shell_call", status="completed", call_id=turn.call_id(), action=action)


def _apply_patch(turn: Turn, _tool: Tool) -> None:
    operation = {"type": "create_file", "path": "notes.txt", "diff": "+hello\n"}
    turn.wait("apc", "apply_patch_call", status="completed", call_id=turn.call_id(), operation=operation)


def _computer(turn: Turn, tool: Tool) -> None:
    shot = {"type": "screenshot"}
    action = {"action": shot} if tool["type"] == "computer_use_preview" else {"actions": [shot]}
    turn.wait("cu", "computer_call", status="completed", call_id=turn.call_id(), pending_safety_checks=[], **action)


def _tool_search(turn: Turn, tool: Tool) -> None:
    execution = tool.get("execution") or "server"
    call = {"status": "completed", "execution": execution, "arguments": {"query": turn.seen.last}}
    if execution == "client":
        turn.wait("tsc", "tool_search_call", call_id=turn.call_id(), **call)
        return
    turn.add("tsc", "tool_search_call", call_id=None, **call)
    turn.add("tso", "tool_search_output", call_id=None, status="completed", execution=execution, tools=[])


def _program(turn: Turn, _tool: Tool) -> None:
    call_id = turn.call_id()
    turn.add("cm", "program", call_id=call_id, code="await ask()", fingerprint=digest("program", turn.link)[:16])
    functions = [tool for tool in tools(turn.given, turn.history) if tool["type"] == "function"]
    for tool in functions[:1]:
        _function(turn, {**tool, "caller": {"type": "program", "caller_id": call_id}})
    if not functions:
        turn.add("cmo", "program_output", call_id=call_id, result="done", status="completed")


WORDS: dict[str, tuple[str, ...]] = {
    "web_search": ("web search", "search the web"),
    "web_search_preview": ("web search", "search the web"),
    "file_search": ("file search",),
    "code_interpreter": ("code interpreter",),
    "image_generation": ("image generation", "draw "),
    "mcp": ("mcp",),
    "local_shell": ("local shell",),
    "shell": ("shell",),
    "apply_patch": ("apply patch",),
    "computer": ("computer",),
    "computer_use_preview": ("computer",),
    "tool_search": ("tool search",),
    "programmatic_tool_calling": ("program",),
}
MAKERS: dict[str, Callable[[Turn, Tool], None]] = {
    "function": _function,
    "custom": _custom,
    "web_search": _web_search,
    "web_search_preview": _web_search,
    "file_search": _file_search,
    "code_interpreter": _code_interpreter,
    "image_generation": _image_generation,
    "mcp": _mcp,
    "local_shell": _local_shell,
    "shell": _shell,
    "apply_patch": _apply_patch,
    "computer": _computer,
    "computer_use_preview": _computer,
    "tool_search": _tool_search,
    "programmatic_tool_calling": _program,
}
