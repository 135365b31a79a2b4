"""One turn of the fake model: what it does with a conversation, in which order.

Deterministic: the same conversation has the same answer, but for the ids in it.
"""

from collections.abc import Mapping
from typing import Any

from .items import Item, kind_of
from .model import text_of
from .state import Account
from .tools import MAKERS, call_mcp, tools, wanted
from .turn import Turn, compact, speak, think


def taken(account: Account, given: Mapping[str, Any], history: list[Item], link: str) -> list[Item]:
    """The items that the model answers a conversation with."""
    turn = Turn(account, given, history, link)
    last = history[-1] if history else {}
    if last and kind_of(last) == "compaction_trigger":
        compact(turn)
        return turn.output
    _list_mcp_tools(turn)
    think(turn)
    _act(turn, last)
    if not turn.waits:
        speak(turn)
    return turn.output


def _list_mcp_tools(turn: Turn) -> None:
    listed = {item["server_label"] for item in turn.history if kind_of(item) == "mcp_list_tools"}
    for tool in tools(turn.given, turn.history):
        if tool["type"] == "mcp" and tool["server_label"] not in listed:
            offered = {
                "name": "ask",
                "description": "Ask anything.",
                "input_schema": {"type": "object"},
                "annotations": None,
            }
            turn.add("mcpl", "mcp_list_tools", server_label=tool["server_label"], tools=[offered])


def _act(turn: Turn, last: Item) -> None:
    kind = kind_of(last) if last else ""
    if kind == "mcp_approval_response":
        _approved(turn, last)
    elif kind.endswith("_output"):
        _end_program(turn)
    elif kind == "message" and last["role"] == "user":
        for tool in wanted(turn, text_of(last["content"])):
            MAKERS[tool["type"]](turn, tool)


def _approved(turn: Turn, response: Item) -> None:
    for item in turn.history:
        if response["approve"] and item.get("id") == response["approval_request_id"] and "server_label" in item:
            call_mcp(turn, item["server_label"], item["arguments"], item["id"])
            return


def _end_program(turn: Turn) -> None:
    """A program whose calls have all been answered ends with its output."""
    ended = {item["call_id"] for item in turn.history if kind_of(item) == "program_output"}
    for item in turn.history:
        if kind_of(item) == "program" and item["call_id"] not in ended:
            turn.add("cmo", "program_output", call_id=item["call_id"], result=turn.seen.last_output, status="completed")
