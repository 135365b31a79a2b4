"""The words of a refusal of any shape: message, code and param.

Bodies are `{"error": {"message", "code", "param"}}`, FastAPI's `{"detail": …}`, `{"message": …}`, or plain text. A
gateway may put upstream's whole refusal, as text, into its own message: as JSON, or as Python prints it. Nothing is
judged here.
"""

import ast
import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

import orjson

from proxy.responses.recovery.pattern import Pattern

_LONGEST: Final = 2048
"""Characters of a message that are looked at. The longest known has 500; 2,048 cost 13 ms at worst."""
_ALTOGETHER: Final = 2 * _LONGEST
"""Characters of all that one refusal says, the likeliest first: a gateway quotes upstream's message within its own."""

_MOST: Final = 16
"""Sayings of one refusal that are looked at."""
_PARSED_SLOWLY: Final = 64 * 1024
"""Bytes of a refusal that the parser of the standard library reads where the quick one does not: it holds all else."""

_DEEPEST: Final = 8
# errorMessage: Azure API Management; faultstring: Apigee.
_MESSAGES: Final = ("message", "msg", "errorMessage", "error_message", "faultstring", "detail", "title")
# metadata.raw: OpenRouter; fault: Apigee.
_INNER: Final = ("error", "detail", "errors", "response", "metadata", "raw", "fault")
_LITELLM: Final = Pattern(r"\.?\s*Received Model Group=.*")
"""What LiteLLM's router adds to a message: names of models, which would say that a model was not found."""
_NAME: Final = Pattern(r"[a-z_][a-z0-9_]*", re.NOFLAG)


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
    left = _ALTOGETHER
    for said in islice(_within(payload, 0), _MOST):
        yield said._replace(message=said.message[:left])
        left -= len(said.message)
        if left <= 0:
            return


def _json(text: str) -> object:
    try:
        return orjson.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(text) if len(text) <= _PARSED_SLOWLY else None  # it knows lone surrogates and NaN
    except (ValueError, RecursionError):
        return None


def _within(part: object, depth: int) -> Iterator[Said]:
    """What `part` of a refusal says, and what is said inside of it, the innermost first."""
    if depth > _DEEPEST:
        return
    if isinstance(part, list):
        yield from _within(part[0] if part else None, depth + 1)
    elif isinstance(part, str):
        yield from _quoted(part, depth)
        yield Said(_tidy(part), "", "")
    elif isinstance(part, dict):
        for name in _INNER:
            yield from _within(part.get(name), depth + 1)
        if isinstance(part.get("message"), dict | list):
            yield from _within(part["message"], depth + 1)
        message = next((part[name] for name in _MESSAGES if isinstance(part.get(name), str)), "")
        yield from _quoted(message, depth)
        code, param = (value if isinstance(value, str) else "" for value in (part.get("code"), part.get("param")))
        yield Said(_tidy(message), code, param or _location(part.get("loc")))


def _quoted(text: str, depth: int) -> Iterator[Said]:
    """What the object says that stands in the text of a message; else the objects that stand there line by line.

    vLLM prints the errors of pydantic so, one a line; LiteLLM the body of upstream's refusal.
    """
    text = text[: 2 * _LONGEST]
    start = text.find("{")
    if start < 0:
        return
    whole = _object(text[start : text.rfind("}") + 1])
    if whole is not None:
        yield from _within(whole, depth + 1)
        return
    for line in text.splitlines():
        if line.lstrip().startswith("{"):
            yield from _within(_object(line.strip()), depth + 1)


def _object(text: str) -> object:
    """An object as JSON, or as Python prints it."""
    found = _json(text)
    if found is None and "':" in text:
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return None
    return found


def _tidy(message: str) -> str:
    return " ".join(_LITELLM.compiled().sub("", message[:_LONGEST]).split())


def _location(loc: object) -> str:
    """FastAPI's `["body", "input", 7, "status"]` as `input[7].status`, without the names of types among them."""
    if not isinstance(loc, list | tuple):
        return ""
    steps = [step for step in loc if isinstance(step, int) or (_NAME.fullmatch(str(step)) and step != "body")]
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")
