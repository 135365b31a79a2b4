"""The words of a refusal of any shape: message, code and param.

Bodies are `{"error": {"message", "code", "param"}}`, FastAPI's `{"detail": …}`, `{"message": …}`, or plain text. A
gateway may put upstream's whole refusal, as text, into its own message. Nothing is judged here.
"""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

_LONGEST: Final = 2048
"""Characters of a message that are looked at. The longest known has 500; 2,048 cost 13 ms at worst."""

_MOST: Final = 16
"""Sayings of one refusal that are looked at."""

_DEEPEST: Final = 8
_MESSAGES: Final = ("message", "msg", "detail", "title")
_INNER: Final = ("error", "detail", "errors", "response", "metadata", "raw")  # metadata.raw: OpenRouter


class Said(NamedTuple):
    """The parts of a refusal; `""` where it has none."""

    message: str
    code: str
    param: str


def sayings(body: bytes) -> Iterator[Said]:
    """What a refusal may be saying, the likeliest first, at most 16; nothing if it is a page of HTML."""
    text = body.decode("utf-8", "replace").strip()
    payload = _json(text)
    if payload is None and not text.startswith("<"):
        payload = text or None
    return islice(_within(payload, 0), _MOST)


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _within(part: object, depth: int) -> Iterator[Said]:
    """What `part` of a refusal says, and what is said inside of it, the innermost first."""
    if depth > _DEEPEST:
        return
    if isinstance(part, list):
        yield from _within(part[0] if part else None, depth + 1)
    elif isinstance(part, str):
        yield from _within(_quoted(part), depth + 1)
        yield Said(_tidy(part), "", "")
    elif isinstance(part, dict):
        for name in _INNER:
            yield from _within(part.get(name), depth + 1)
        message = next((part[name] for name in _MESSAGES if isinstance(part.get(name), str)), "")
        yield from _within(_quoted(message), depth + 1)
        code, param = (value if isinstance(value, str) else "" for value in (part.get("code"), part.get("param")))
        yield Said(_tidy(message), code, param or _location(part.get("loc")))


def _quoted(text: str) -> object:
    """The JSON object that stands in the text of a message."""
    start = text.find("{", 0, _LONGEST)
    return _json(text[start : text.rfind("}") + 1]) if start >= 0 else None


def _tidy(message: str) -> str:
    return " ".join(message[:_LONGEST].split())


def _location(loc: object) -> str:
    """FastAPI's `["body", "input", 7, "status"]` as `input[7].status`."""
    if not isinstance(loc, list):
        return ""
    names = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc if step != "body"]
    return "".join(names).removeprefix(".")
