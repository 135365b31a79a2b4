"""What the routes of conversations are sent, read and checked; and what they answer, as bytes."""

import json
import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs

import orjson

from proxy.responses.body.document import Document, read
from proxy.responses.body.elements import Elements
from proxy.responses.body.lenient import MalformedError
from proxy.responses.body.size import holds_too_much
from proxy.responses.conversations import refused
from proxy.responses.conversations.items import INCLUDABLE, is_reference, shown
from proxy.responses.conversations.ledger import DIGEST, MARK, Kept, Ledger, Place, count_of, places, repeated
from proxy.responses.conversations.shapes import check_item, check_metadata

ID: Final = re.compile(r"conv_[0-9a-f]{48}")
"""A conversation's id, as we and upstream make them; nothing else is looked up."""
_ITEMS: Final = 20
_PAGE: Final = 20
_LONGEST_PAGE: Final = 100
_NUMBER: Final = re.compile(r"-?[0-9]{1,9}")


class Given(NamedTuple):
    """An item of a body, and its id, or that of the item that it refers to."""

    item: bytes
    id: str
    is_reference: bool


class Asked(NamedTuple):
    """A body that creates a conversation or adds to one."""

    items: tuple[Given, ...]
    metadata: bytes

    @property
    def references(self) -> tuple[str, ...]:
        """Ids of the items that it refers to."""
        return tuple(dict.fromkeys(given.id for given in self.items if given.is_reference))


def _document(body: bytes, *known: str) -> Document:
    if holds_too_much(body):
        raise refused.too_complex()
    try:
        found = read(body.strip() or b"{}")
    except MalformedError:
        raise refused.unreadable() from None
    if found is None:
        raise refused.unreadable()
    for member in found.members:
        if member.name not in known:
            raise refused.unknown(member.name[:64])
    return found


def _loaded(literal: bytes) -> Any:
    try:
        return orjson.loads(literal)
    except orjson.JSONDecodeError:  # a lone surrogate, NaN
        try:
            return json.loads(literal)
        except (ValueError, RecursionError):
            raise refused.unreadable() from None


def creation(body: bytes) -> Asked:
    """A body that creates a conversation. Raises Refused."""
    document = _document(body, "items", "metadata")
    return Asked(_items(document), _metadata(document))


def update(body: bytes) -> bytes:
    """The metadata of a body that changes a conversation. Raises Refused."""
    document = _document(body, "metadata")
    if not document.members:
        raise refused.missing("metadata")
    return _metadata(document)


def addition(body: bytes) -> Asked:
    """A body that adds items to a conversation. Raises Refused."""
    document = _document(body, "items")
    if not document.members:
        raise refused.missing("items")
    if document.raw("items") is None:
        raise refused.wrong_type("items", "an array of input items", None)
    return Asked(_items(document), b"{}")


def _metadata(document: Document) -> bytes:
    literal = document.raw("metadata")
    if literal is None:
        return b"{}"
    check_metadata(_loaded(literal))
    return literal


def _items(document: Document) -> tuple[Given, ...]:
    literal = document.raw("items")
    if literal is None:
        return ()
    if literal[:1] != b"[":
        raise refused.wrong_type("items", "an array of input items", _loaded(literal))
    spans = Elements(literal, (0, len(literal))).spans
    if len(spans) > _ITEMS:
        raise refused.too_many("items", _ITEMS, len(spans))
    return tuple(_given(literal[start:end], f"items[{place}]") for place, (start, end) in enumerate(spans))


def _given(item: bytes, place: str) -> Given:
    loaded = _loaded(item)
    if isinstance(loaded, dict) and is_reference(loaded):
        if not isinstance(loaded.get("id"), str):
            raise refused.missing(f"{place}.id")
        return Given(item, loaded["id"], is_reference=True)
    check_item(loaded, place)
    return Given(item, loaded.get("id") or "", is_reference=False)


def resolved(asked: Asked, known: Mapping[str, bytes], before: Ledger) -> list[bytes]:
    """The items to be kept, what was referred to in the place of references. Raises Refused."""
    missing = next((item_id for item_id in asked.references if item_id not in known), None)
    if missing is not None:
        raise refused.item_not_found(missing[:64])
    twice = repeated(before.turns, [given.id for given in asked.items])
    if twice:
        raise refused.duplicate(twice)
    return [known[given.id] if given.is_reference else given.item for given in asked.items]


class Query(NamedTuple):
    """What a list of items is asked for with."""

    after: str = ""
    limit: int = _PAGE
    ascending: bool = False
    include: tuple[str, ...] = ()


def query(text: str) -> Query:
    """The query of a request for a list, or for an item. Raises Refused."""
    given = parse_qs(text, keep_blank_values=True)
    last = {name: values[-1] for name, values in given.items()}
    limit, order = last.get("limit", str(_PAGE)), last.get("order", "desc")
    if not _NUMBER.fullmatch(limit):
        raise refused.wrong_type("limit", "an integer", limit)
    if not 1 <= int(limit) <= _LONGEST_PAGE:
        raise refused.out_of_bounds("limit", 1, _LONGEST_PAGE, int(limit))
    if order not in ("asc", "desc"):
        raise refused.wrong_choice("order", order, ("asc", "desc"))
    include = tuple(chain(given.get("include", ()), given.get("include[]", ())))
    for name in include:
        if name not in INCLUDABLE:
            raise refused.wrong_choice("include", name, tuple(INCLUDABLE))
    return Query(last.get("after", ""), int(limit), order == "asc", include)


class Page(NamedTuple):
    """A part of a conversation's items: their marks, and whether more follow."""

    marks: list[bytes]
    has_more: bool


def page(ledger: Ledger, wanted: Query) -> Page:
    """The items that a list shows. Raises Refused where `after` is none of this conversation."""
    joined, start = b"".join([turn.marks for turn in ledger.visible]), 0
    count = len(joined) // MARK
    if wanted.after:
        found = next(places(ledger.visible, wanted.after), None)
        if found is None:
            raise refused.item_not_found(wanted.after[:64], "after")
        before = count_of(turn for turn in ledger.visible if turn.number < found.turn.number) + found.offset // MARK
        start = before + 1 if wanted.ascending else count - before
    shown = range(start, min(start + wanted.limit, count))
    offsets = [MARK * (place if wanted.ascending else count - 1 - place) for place in shown]
    return Page([joined[offset : offset + MARK] for offset in offsets], start + wanted.limit < count)


def place_of(ledger: Ledger, item_id: str) -> Place:
    """Where an item stands. Raises Refused."""
    found = next(places(ledger.visible, item_id), None)
    if found is None:
        raise refused.item_not_found(item_id)
    return found


def conversation(conversation_id: str, ledger: Ledger) -> bytes:
    """The JSON of a conversation."""
    return b'{"id":"%b","object":"conversation","created_at":%d,"metadata":%b}' % (
        conversation_id.encode(),
        ledger.made,
        ledger.metadata,
    )


def deleted(conversation_id: str) -> bytes:
    """What is answered to the deletion of a conversation."""
    return b'{"id":"%b","object":"conversation.deleted","deleted":true}' % conversation_id.encode()


def listed(conversation_id: str, kept: Sequence[Kept], *, has_more: bool, include: Sequence[str] = ()) -> bytes:
    """The JSON of a list of items. Raises MalformedError where one of them is none."""
    items = [shown(one.item, one.name, conversation_id, include) for one in kept]
    # Of an id that no UTF-8 can hold, the escapes.
    first, last = (json.dumps(items[place][0] if items else None).encode() for place in (0, -1))
    data = b",".join(item for _, item in items)
    more = b"true" if has_more else b"false"
    return b'{"object":"list","data":[%b],"first_id":%b,"last_id":%b,"has_more":%b}' % (data, first, last, more)


def with_names(items: Sequence[bytes], marks: Sequence[bytes]) -> list[Kept]:
    """Items with the names that their marks have."""
    return [Kept(item, mark[DIGEST:]) for item, mark in zip(items, marks, strict=True)]
