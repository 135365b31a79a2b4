"""A request that was found in what people have at hand, or a sentence that says why there is none."""

import json
import re
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from proxy.commands.explain.verdict import Refusal
from proxy.observers.redaction import masked
from proxy.report import Route
from proxy.responses.routes import route_of

ASKS: Final = ("input", "previous_response_id", "conversation", "prompt")
"""Members of which a request has at least one: "One of … must be provided", as the API says."""
_OTHERS: Final = (
    (lambda it: "messages" in it, "it is a request of Chat Completions, which passes untouched"),
    (lambda it: "choices" in it, "it is an answer of Chat Completions"),
    (lambda it: it.get("object") == "response", "it is a response: what is to be explained is the request"),
    (
        lambda it: "error" in it or "detail" in it,
        "it is a refusal: give it with --after-refusal, and the request as well",
    ),
    (lambda it: "log" in it, "it is a HAR without a request to …/responses that has a body"),
)


class NotJsonError(ValueError):
    """A body that is no JSON: a sentence that says where."""


class NoRequestError(ValueError):
    """There is no request of the Responses API in it: a sentence that says what it is instead."""


class Taken(NamedTuple):
    """A request, as it was found."""

    body: bytes
    what: str = ""
    """What it was taken from, in a few words; nothing where it is the file itself."""
    route: Route | None = None
    """The route, where the capture says it."""
    refusal: Refusal | None = None
    """What upstream answered, where the capture says it and it is a refusal."""


def path_of(address: str) -> str:
    """The path of a URL; nothing where it is none."""
    return urlsplit(address).path if re.match(r"https?://|/", address) else ""


def request(body: str, path: str, what: str, *, must_be_routed: bool = False) -> Taken | None:
    """The request with this body, unless its path is that of something else."""
    route = route_of("POST", path.encode("utf-8", "surrogateescape")) if path else None
    if route == "other" or (must_be_routed and route is None):
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or (route is None and not any(name in value for name in ASKS)):
        return None
    where = f"{what}, POST {masked(path)}" if path else what
    return Taken(body.encode("utf-8", "surrogateescape"), where, route)


def written(value: Any) -> str:
    """A value as JSON, in ASCII: half a surrogate pair, which JSON may hold, is nothing that UTF-8 has."""
    return json.dumps(value, separators=(",", ":"))


def none(value: Any) -> list[Taken]:
    """Raises NoRequestError with what a value is instead."""
    for holds, sentence in _OTHERS if isinstance(value, dict) else ():
        if holds(value):
            raise NoRequestError(sentence)
    raise NoRequestError("it has none of " + ", ".join(f"`{name}`" for name in ASKS))
