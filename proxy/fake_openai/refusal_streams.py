"""How relays say a refusal inside a 200: the shapes, by name.

A relay or a bridge answers before its upstream has, and then gives the refusal as events. Seen in 2026 at new-api,
OpenRouter and bridges from WebSocket mode; `status`, as OpenAI does it, is no stream at all.
"""

import json
from collections.abc import Callable
from typing import Any, Final, Literal

from . import answers
from .events import Event, line
from .refusals import Refusal

Shape = Literal["status", "flat", "nested", "response.error", "failed", "created+failed", "error+failed", "bare"]

COMMENT: Final = b": OPENROUTER PROCESSING\n\n"
END: Final = b"data: [DONE]\n\n"


def flat(refusal: Refusal) -> Event:
    """The error event as the types of the SDKs have it."""
    return {"type": "error", "code": refusal.code, "message": refusal.message, "param": refusal.param}


def nested(refusal: Refusal) -> Event:
    """The error event as WebSocket mode has it: with its status."""
    return {"type": "error", "status": refusal.status, **refusal.body()}


def _failed(refusal: Refusal) -> Event:
    error = {"code": refusal.code, "message": refusal.message}
    return {"type": "response.failed", "response": {**_begun("failed"), "error": error}}


def _begun(status: str) -> dict[str, Any]:
    return {**answers.response({}, "resp_relay", 0, [], []), "status": status, "usage": None}


def _created() -> list[Event]:
    return [{"type": f"response.{name}", "response": _begun("in_progress")} for name in ("created", "in_progress")]


EVENTS: Final[dict[Shape, Callable[[Refusal], list[Event]]]] = {
    "flat": lambda refusal: [flat(refusal)],
    "nested": lambda refusal: [nested(refusal)],
    "response.error": lambda refusal: [{"type": "response.error", **refusal.body()}],
    "failed": lambda refusal: [_failed(refusal)],
    "created+failed": lambda refusal: [*_created(), _failed(refusal)],
    "error+failed": lambda refusal: [*_created(), nested(refusal), _failed(refusal)],
    "bare": lambda refusal: [{"error": {"code": refusal.status, "message": refusal.message}}],
}
SHAPES: Final = ("status", *EVENTS)


def lines(shape: Shape, refusal: Refusal) -> list[bytes]:
    """The refusal as a stream of server-sent events."""
    events = EVENTS[shape](refusal)
    if shape == "bare":
        return [COMMENT, COMMENT, *(b"data: %s\n\n" % json.dumps(event).encode() for event in events), END]
    return [line({**event, "sequence_number": number}) for number, event in enumerate(events)]
