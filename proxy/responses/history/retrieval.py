"""A response as it was answered, so that it is retrieved by its id where upstream does not know it.

It is a record of its own in the store, beside the one by which its conversation goes on: a head, which names the place
where the response was made, its outline, what stands apart from that, and its output. An engine keeps an item once,
however many records have it: the output is that of the conversation, tools and instructions are those of every
response that has the same. A response that is not finished, which only its maker can poll, has a head and no more.

Pure. Which requests ask for one, which refusal says that upstream has none, and what is said where only its maker can
help.
"""

import re
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple
from urllib.parse import unquote

import msgspec

from proxy.responses.body.lenient import MalformedError
from proxy.responses.history.outline import Outline, whole
from proxy.responses.history.recall import is_id
from proxy.responses.history.recording import Made, Remembered, name_of_answer
from proxy.responses.recovery.error_bodies import sayings
from proxy.responses.recovery.pattern import Pattern

_PATH: Final = re.compile(rb"/responses/([^/]+)(/input_items|/cancel)?\Z")
FORGETTING: Final = frozenset({200, 204, 404})
"""Statuses of a deletion after which the response is forgotten; 404 as well: another server's key may not know it."""
_STREAMS: Final = re.compile(rb"(?:^|&)stream=(?:true|1)(?:&|$)", re.IGNORECASE)
_MISSING: Final = Pattern(r"\bresponses?\b.{0,300}\b(?:not\s+found|does\s+not\s+exist)")
_PLACE: Final = re.compile(r"[A-Za-z0-9.:_-]{1,255}")


class Asked(NamedTuple):
    """A request about one response."""

    response_id: str
    wants: Literal["response", "maker"]
    """The response as it is, or something that only its maker can do."""


class Named(NamedTuple):
    """A response, as a path names it."""

    response_id: str
    part: bytes
    """What of it is meant: `b""` for itself, `b"/input_items"`, `b"/cancel"`."""


def named(path: bytes) -> Named | None:
    """The response that a raw path names, under any prefix; None where it names none, or something that is no id."""
    match = _PATH.search(path)
    response_id = unquote(match[1].decode("latin-1")) if match is not None else None
    return Named(response_id, match[2] or b"") if match is not None and response_id and is_id(response_id) else None


def asked(method: str, path: bytes, query: bytes) -> Asked | None:
    """What a request wants of a response, by its raw path, under any prefix; None where it is about none."""
    found = named(path) if method in _ASKING else None
    if found is None or found.part not in _ASKING[method]:
        return None
    plain = method == "GET" and not found.part and not _STREAMS.search(query)
    return Asked(found.response_id, "response" if plain else "maker")


_ASKING: Final = {"GET": (b"", b"/input_items"), "POST": (b"/cancel",), "DELETE": (b"",)}


def is_missing(body: bytes) -> bool:
    """Whether the body of a 404 says that upstream does not know the response."""
    return any(_MISSING.search(said.message) for said in sayings(body))


class _Head(msgspec.Struct):
    place: str
    shared: tuple[str, ...] = ()


_HEAD: Final = msgspec.json.Decoder(_Head)


def answered(made: Made, place: str) -> Remembered | None:
    """What is remembered of a response besides its conversation; None where upstream itself would not keep it."""
    if not made.stored:
        return None
    name, outline = name_of_answer(made.response_id), made.outline
    if outline is None:
        return Remembered(name, None, (msgspec.json.encode(_Head(place)),))
    head = msgspec.json.encode(_Head(place, tuple(shared for shared, _ in outline.shared)))
    parts = (head + b"\n" + outline.response, *(literal for _, literal in outline.shared))
    return Remembered(name, None, parts + made.output, len(made.output))


class Answer(NamedTuple):
    """What a store knows of a response."""

    place: str
    """Where it was made, as header fields can say it; nothing where that is not known."""
    response: bytes | None = None
    """Its JSON; None where it was not finished, or was remembered without it."""


def answer(items: Sequence[bytes]) -> Answer | None:
    """The response out of its record; None where that is none."""
    head, _, response = (items[0] if items else b"").partition(b"\n")
    try:
        told = _HEAD.decode(head)
        end = 1 + len(told.shared)
        outline = Outline(response, tuple(zip(told.shared, items[1:end], strict=False)))
        body = whole(outline, tuple(items[end:])) if response else None
    except (msgspec.MsgspecError, UnicodeDecodeError, MalformedError):
        return None
    return Answer(told.place if _PLACE.fullmatch(told.place) else "", body)
