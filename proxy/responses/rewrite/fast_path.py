"""The fast path for an ordinary request: whole pairs, reasoning with blobs, and nothing to take out but labels.

All other requests take the whole way through `rewriter`, which passes over an input some ten times and gives the same
result for these (a property in the tests). The fast path may decline a request that it could take, and never takes one
that it should decline.

Why it may encode what it did not read. A body is decoded into members with raw values and, without the labels, encoded
again. That changes no other byte if the original was *canonical*: no white space between tokens, no key twice, no key
with escapes. Every other way to write the same members is longer. `_without_labels` adds up the lengths of all members,
their quotes, colons, commas and brackets: if the sum is the body's length, the body is canonical, and so is the result.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from msgspec import Raw

from proxy.responses.body.document import Fields, are_plain, quick_kind
from proxy.responses.items import CALLS, ITEM_ENVELOPE, PAIRED, REASONING, REQUEST_ENVELOPE, Kind
from proxy.responses.rewrite.rewriter import Rewrite

if TYPE_CHECKING:
    from proxy.report import RemovedName

_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_OBJECTS: Final = msgspec.json.Decoder(list[dict[str, Raw]])
_ENCODER: Final = msgspec.json.Encoder()
_REFUSED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ITEM_ENVELOPE: Final = frozenset(ITEM_ENVELOPE)
_NULL: Final = Raw(b"null")
_EMPTY: Final = Raw(b'""')
_HEAD: Final = 64
"""Bytes by which one sees how a body is written."""
_MOST: Final = 200_000
"""Items of an input that the fast path takes. A body long enough to hold so many is read in another thread."""


class Ordinary(NamedTuple):
    """An ordinary request made portable, for the dialect of OpenAI; `rewrite` is without its entries."""

    rewrite: Rewrite
    items: int
    found: int
    """Ids of upstream's that were in it."""


def quick_rewrite(body: bytes) -> Ordinary | None:
    """The portable form of `body`; None where it takes a closer look."""
    if b'": ' in body[:_HEAD]:
        return None  # with white space, as Python's json writes it: it cannot be canonical
    try:
        fields = _OBJECT.decode(body)
        items = _OBJECTS.decode(fields.get("input", _NULL))
        kinds = _kinds(items)
    except _REFUSED:
        return None
    if kinds is None or not REQUEST_ENVELOPE.isdisjoint(fields) or fields.get("conversation", _NULL) != _NULL:
        return None
    if b"comparison_response_id" in bytes(fields.get("prompt_cache_options", _NULL)):
        return None
    previous = fields.get("previous_response_id", _NULL) != _NULL
    if previous and not (_is_plain_text(fields["previous_response_id"]) and _stands_alone(kinds)):
        return None
    return _without_labels(body, fields, items, previous=previous)


def _kinds(items: Sequence[Fields]) -> list[Kind] | None:
    """The kinds of all items; None where one of them needs more than to lose its id. Raises where a part does."""
    kinds: list[Kind] = []
    waiting: dict[bytes, str] = {}
    reasoned = False
    if len(items) > _MOST or not _ITEM_ENVELOPE.isdisjoint(set().union(*items)):
        return None
    for fields in items:
        kind = quick_kind(fields)
        if kind is None or kind.id != "label" or (reasoned and kind.made_by == "client"):
            return None
        if kind.parts != "content" or not kind.stray.isdisjoint(fields):
            return None
        reasoned = kind is REASONING
        if reasoned:
            if not _is_signed(fields):
                return None
        elif kind.name in PAIRED and not _is_in_turn(kind, fields, waiting):
            return None
        if "content" in fields and (reasoned or kind.role):
            content = memoryview(fields["content"])
            if content[0] == ord("[") and not are_plain(content):
                return None
        kinds.append(kind)
    return None if waiting or reasoned else kinds


def _is_signed(fields: Fields) -> bool:
    """Whether a reasoning can be sent as it is, to any server."""
    blob = fields.get("encrypted_content", _NULL)
    if blob in (_NULL, _EMPTY) or "status" in fields:
        return False
    return fields.get("summary", _NULL) != _NULL and fields.get("content") != _NULL


def _is_in_turn(kind: Kind, fields: Fields, waiting: dict[bytes, str]) -> bool:
    """Whether a call is the only one `waiting` under its call id, and an output answers one of them."""
    call_id = bytes(fields.get("call_id", b""))
    if kind.name not in CALLS:
        return waiting.pop(call_id, "") in kind.answers
    if call_id in waiting or call_id[:1] != b'"' or call_id == b'""':
        return False
    waiting[call_id] = kind.name
    return True


def _is_plain_text(value: Raw) -> bool:
    literal = bytes(value)
    return literal[:1] == b'"' and b"\\" not in literal


def _stands_alone(kinds: Sequence[Kind]) -> bool:
    """Whether an input holds the history that its previous response stands for, and asks something."""
    begins = next((kind for kind in kinds if kind.role or not kind.is_setting), None)
    ends = next((kind for kind in reversed(kinds) if not kind.is_setting), None)
    if begins is None or ends is None:
        return False
    return begins.is_beginning and ends.essential and any(kind.is_answer for kind in kinds)


def _without_labels(
    body: bytes, fields: dict[str, Any], items: list[dict[str, Raw]], *, previous: bool
) -> Ordinary | None:
    removed: dict[RemovedName, int] = {}
    size = len(body)
    if 1 + _length(fields, fields.values()) != size:
        return None
    if previous:
        removed["previous_response_id"] = 1
        name = "previous_response_id"
        size -= _length((name,), (fields.pop(name),))
    ids = [item.pop("id") for item in items if "id" in item]
    if ids:
        removed["item_id"] = len(ids)
        size -= _length(("id",) * len(ids), ids)
    sent = _ENCODER.encode({**fields, "input": items}) if removed else body
    if len(sent) != size:
        return None
    return Ordinary(Rewrite(sent, removed, took_references=previous), len(items), len(ids) + previous)


def _length(names: Collection[str], values: Iterable[Any]) -> int:
    """Bytes of the members of an object, each with its quotes, its colon, and the comma or bracket behind it."""
    sizes = map(len, map(memoryview, values))  # type: ignore[arg-type]
    return 4 * len(names) + len("".join(names)) + sum(sizes)
