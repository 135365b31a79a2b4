"""The events of a streamed response, in the order and with the fields of the real API.

Made from the finished response; nothing here sends anything.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .answers import unfinished
from .items import Item

Event = dict[str, Any]

# The events by which the API shows a hosted tool at work, between the item's `added` and its `done`.
STEPS: dict[str, tuple[str, ...]] = {
    "web_search_call": ("in_progress", "searching", "completed"),
    "file_search_call": ("in_progress", "searching", "completed"),
    "image_generation_call": ("in_progress", "generating", "completed"),
    "mcp_list_tools": ("in_progress", "completed"),
}
# Fields that arrive in pieces: the field, the name of their events, what comes before and after.
STREAMED: dict[str, tuple[str, str, tuple[str, ...], tuple[str, ...]]] = {
    "function_call": ("arguments", "function_call_arguments", (), ()),
    "custom_tool_call": ("input", "custom_tool_call_input", (), ()),
    "mcp_call": ("arguments", "mcp_call_arguments", ("mcp_call.in_progress",), ("mcp_call.completed",)),
    "code_interpreter_call": (
        "code",
        "code_interpreter_call_code",
        ("code_interpreter_call.in_progress",),
        ("code_interpreter_call.interpreting", "code_interpreter_call.completed"),
    ),
}


def events(response: Mapping[str, Any]) -> Iterator[Event]:
    """All events of a response, numbered."""
    for number, event in enumerate(_all(response)):
        yield {**event, "sequence_number": number}


def line(event: Event) -> bytes:
    """One event as it goes over the wire."""
    return f"event: {event['type']}\ndata: {json.dumps(event, separators=(',', ':'))}\n\n".encode()


def _all(response: Mapping[str, Any]) -> Iterator[Event]:
    first = unfinished(response, "queued" if response["background"] else "in_progress")
    yield {"type": "response.created", "response": first}
    if response["background"]:
        yield {"type": "response.queued", "response": first}
    yield {"type": "response.in_progress", "response": unfinished(response, "in_progress")}
    for index, item in enumerate(response["output"]):
        yield {"type": "response.output_item.added", "output_index": index, "item": _begun(item)}
        for event in _inside(item):
            yield {**event, "item_id": item["id"], "output_index": index}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": "response.completed", "response": response}


def _begun(item: Item) -> Item:
    """An item before its content. Its blob is not the final one yet: a client that keeps this one is refused later."""
    begun = {**item, "status": "in_progress"} if "status" in item else dict(item)
    empty: Item = {
        "content": [],
        "arguments": "",
        "input": "",
        "summary": [],
        "code": "",
        "result": None,
        "output": None,
    }
    begun.update({name: value for name, value in empty.items() if name in item and item["type"] != "program"})
    if isinstance(item.get("encrypted_content"), str):
        begun["encrypted_content"] = item["encrypted_content"][:64]
    return begun


def _inside(item: Item) -> Iterator[Event]:
    kind = item["type"]
    if kind == "message":
        for index, part in enumerate(item["content"]):
            yield from _text(index, part)
    elif kind == "reasoning":
        for index, part in enumerate(item["summary"]):
            yield from _summary(index, part)
    elif kind in STREAMED:
        yield from _field(item)
    for step in STEPS.get(kind, ()):
        yield {"type": f"response.{kind}.{step}"}


def _text(index: int, part: Mapping[str, Any]) -> Iterator[Event]:
    where = {"content_index": index}
    yield {"type": "response.content_part.added", **where, "part": {**part, "text": ""}}
    for piece in pieces(part["text"]):
        yield {"type": "response.output_text.delta", **where, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **where, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **where, "part": part}


def _summary(index: int, part: Mapping[str, Any]) -> Iterator[Event]:
    where = {"summary_index": index}
    yield {"type": "response.reasoning_summary_part.added", **where, "part": {**part, "text": ""}}
    for piece in pieces(part["text"]):
        yield {"type": "response.reasoning_summary_text.delta", **where, "delta": piece}
    yield {"type": "response.reasoning_summary_text.done", **where, "text": part["text"]}
    yield {"type": "response.reasoning_summary_part.done", **where, "part": part}


def _field(item: Item) -> Iterator[Event]:
    name, event, before, after = STREAMED[item["type"]]
    yield from ({"type": f"response.{step}"} for step in before)
    for piece in pieces(item[name]):
        yield {"type": f"response.{event}.delta", "delta": piece}
    # The SDKs know a function's name at the end of its arguments.
    extra = {"name": item["name"]} if item["type"] == "function_call" else {}
    yield {"type": f"response.{event}.done", name: item[name], **extra}
    yield from ({"type": f"response.{step}"} for step in after)


def pieces(text: str) -> list[str]:
    """A text in words, each with the spaces in front of it."""
    return re.findall(r"\s*\S+|\s+$", text)
