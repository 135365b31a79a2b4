"""`response.steer`: what is accepted while a response runs, and what becomes of it when the response has ended.

As the types of SDK 3.57 say. A response that waits for its client keeps the input, and says which results are due; any
other is followed by a successor that the server creates by itself. Nothing here sends anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .events import Event
from .items import Item, kind_of

_KEYS: Final = frozenset({"type", "previous_response_id", "input"})

# What a client owes a call, by the kind of the call: the kind of the result, and the fields that identify it.
_DUE: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "function_call": ("function_call_output", ("call_id", "name")),
    "custom_tool_call": ("custom_tool_call_output", ("call_id",)),
    "computer_call": ("computer_call_output", ("call_id",)),
    "shell_call": ("shell_call_output", ("call_id",)),
    "apply_patch_call": ("apply_patch_call_output", ("call_id",)),
    "tool_search_call": ("tool_search_output", ("call_id", "execution")),
}


class NotSteered(Exception):  # noqa: N818 -- it is an answer
    """A steering that is not accepted, or cannot be committed."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass
class Steer:
    """Accepted input, which the server owns."""

    id: str
    response_id: str
    given: Any

    @property
    def items(self) -> list[Item]:
        """The input as items."""
        if isinstance(self.given, str):
            return [{"type": "message", "role": "user", "content": self.given}]
        return [{"type": "message", **item} for item in self.given]

    def named(self) -> dict[str, str]:
        """How events name it."""
        return {"id": self.id, "previous_response_id": self.response_id}


def check(event: Mapping[str, Any]) -> None:
    """Refuse an event with other keys, and input that is no message of the user's."""
    given = event.get("input")
    named = isinstance(event.get("previous_response_id"), str)
    said = isinstance(given, str) or (isinstance(given, list) and bool(given) and all(map(_is_said, given)))
    if set(event) != _KEYS or not named or not said:
        raise NotSteered("invalid_input", "Steering takes a previous_response_id, and messages of the user as input.")


def _is_said(item: object) -> bool:
    if not isinstance(item, dict) or not set(item) <= {"type", "role", "content"}:
        return False
    return item.get("role") == "user" and item.get("type", "message") == "message"


def due(output: list[Item]) -> list[dict[str, Any]]:
    """What the client has to answer before the model goes on, as stubs."""
    stubs = []
    for item in output:
        kind = kind_of(item)
        if kind == "mcp_approval_request":
            stubs.append({"type": "mcp_approval_response", "approval_request_id": item["id"]})
        elif kind in _DUE and item.get("execution", "client") == "client":
            result, fields = _DUE[kind]
            stubs.append({"type": result, **{name: item[name] for name in fields}})
    return stubs


def accepted(steer: Steer) -> Event:
    """The server owns the input from now on."""
    return {"type": "response.steer.accepted", "steer": steer.named()}


def pending(steer: Steer, stubs: list[dict[str, Any]]) -> Event:
    """The response has ended and waits for its client; the input waits with it."""
    waiting = {"reason": "waiting_for_required_input", "required_input": stubs}
    return {"type": "response.steer.pending", "steer": steer.named(), **waiting}


def failed(event: Mapping[str, Any], reason: NotSteered) -> Event:
    """The input goes back to the client."""
    error = {"type": "invalid_request_error", "code": reason.code, "message": reason.message}
    steer = {name: event[name] for name in ("id", "previous_response_id", "input") if name in event}
    return {"type": "response.steer.failed", "error": error, "steer": steer}
