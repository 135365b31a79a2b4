"""The table of an `input`: one row an item, with what the rules decide by; read once, whatever is made of the request.

msgspec reads the columns, and nothing else of an item, in one scan. A rule that needs more of an item asks for its
`fields`, which are then read; so it costs nothing where no item of its kind is there.
"""

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

import msgspec
from msgspec import UNSET

from proxy.responses.body import lenient, objects, slices
from proxy.responses.body.edits import Edit
from proxy.responses.body.elements import Elements
from proxy.responses.body.giving_way import give_way
from proxy.responses.body.item import Item, PlainItem, row_of
from proxy.responses.body.lenient import Span
from proxy.responses.body.objects import OBJECTS, REFUSED, Fields
from proxy.responses.items import ITEM_ENVELOPE, KINDS, MESSAGES, SEARCH_OUTPUT, kind_of

_ITEMS: Final = msgspec.json.Decoder(list[Item])
_PLAIN_ITEMS: Final = msgspec.json.Decoder(list[PlainItem])
_ENVELOPE: Final = frozenset(ITEM_ENVELOPE)
# The key `id`; its value, where that is a plain string (group 1); and the comma behind it with white space (group 2).
_ID: Final = re.compile(rb'"id"(?:[ \t\n\r]*+:[ \t\n\r]*+"[^"\\]*+"()(?:[ \t\n\r]*+(,)[ \t\n\r]*+)?+)?+')
_VALUE: Final = 1
_COMMA: Final = 2
_ESCAPED: Final = b"\\u006"
"""How an escape of a letter of `id` begins."""
_MESSAGE: Final = ("message", "")
_MANY: Final = 1024
_SHORT: Final = 2 * slices.LONGEST
"""Bytes of items of which the text is read as well, to tell it from parts: a millisecond."""
_KINDS: Final = {name: kind for name, kind in KINDS.items() if kind is not SEARCH_OUTPUT}
"""Those that an item's type alone tells."""


@dataclass(slots=True)
class Table:
    """The items of an array, and where each kind stands, so that a rule for another kind costs nothing."""

    items: list[Item]
    """The items, in order."""
    by_kind: Mapping[str, list[int]]
    """Where the items of each kind are, by its name."""
    id_places: list[int]
    """Where the items are that have an id."""

    def places(self, kinds: frozenset[str]) -> list[int]:
        """Where the items of these kinds are, in order."""
        if kinds.isdisjoint(self.by_kind):
            return []
        found = [places for kind, places in self.by_kind.items() if kind in kinds]
        return found[0] if len(found) == 1 else sorted(chain.from_iterable(found))


class Array:
    """One `input` of a body: its items, and what is among them.

    Raises what is in `REFUSED` where that takes the slower reader, which it then takes only if `closely` is set.
    """

    def __init__(self, body: bytes, span: Span, *, closely: bool = True) -> None:
        self.span = span
        self.elements = Elements(body, span)
        self.envelope: frozenset[str] = frozenset()
        """Names of fields of an answer that items have."""
        self.parts_are_plain = True
        """No part of a message has a field of an answer; False where that takes a closer look."""
        self._items = self._read(body, closely=closely)
        self._table: Table | None = None
        self._id_edits: dict[int, Edit] | None = None

    def __len__(self) -> int:
        return len(self._items)

    @property
    def items(self) -> list[Item]:
        """The items, in order."""
        return self.table.items

    @property
    def table(self) -> "Table":
        """What is among the items; found out once, and not before it is asked."""
        if self._table is None:
            self._table = self._classified()
        return self._table

    @property
    def id_edits(self) -> Mapping[int, Edit]:
        """The edit that takes its one `id` out of an item, by the item's place, of those that need no closer look."""
        if self._id_edits is None:
            self._id_edits = self._found_ids()
        return self._id_edits

    def _found_ids(self) -> dict[int, Edit]:
        """Where `"id"` stands once in an item that has an id, this is its key: in a string the quotes are escaped.

        Where it stands as often as there are ids, it stands once in each of these items.
        """
        body, (start, end) = self.elements.body, self.span
        places = self.table.id_places
        if not places or slices.holds(body, _ESCAPED, self.span):
            return {}
        found: list[re.Match[bytes]] = []
        matches = _ID.finditer(body, start, end)
        while more := [*islice(matches, _MANY)]:
            found += more
            give_way()
        if len(found) != len(places):
            owners = [bisect_right(self.elements.spans, (match.start(), end)) - 1 for match in found]
            once = {place for place, count in Counter(owners).items() if count == 1}.intersection(places)
            found = [match for match, place in zip(found, owners, strict=True) if place in once]
            places = sorted(once)
        edits: dict[int, Edit] = {
            place: (match.start(), match.end(), b"")
            for place, match in zip(places, found, strict=True)
            if match.lastindex == _COMMA
        }
        for place, match in zip(places, found, strict=True) if len(edits) < len(found) else ():
            first, last = match.span()
            if match.lastindex == _VALUE and body.startswith(b",", first - 1) and body.startswith(b"}", last):
                edits[place] = (first - 1, last, b"")
        return edits

    def _classified(self) -> "Table":
        items, elements = self._items, self.elements
        kind_by_type, message_by_role = _KINDS.get, MESSAGES.get
        places: defaultdict[str, list[int]] = defaultdict(list)
        id_places: list[int] = []
        for start in range(0, len(items), _MANY):
            give_way()
            for place, item in enumerate(items[start : start + _MANY], start):
                type_ = item.type
                kind = kind_by_type(type_) or (message_by_role(item.role) if type_ in _MESSAGE else None)
                if kind is None:
                    has_id, has_call = item.id is not UNSET, item.call_id is not None
                    kind = kind_of(type_, item.role, has_id=has_id, has_call=has_call)
                item.kind = kind
                item.place = place
                item.elements = elements
                if item.id is not UNSET:
                    id_places.append(place)
                places[kind.name].append(place)
        return Table(items, places, id_places)

    def _read(self, body: bytes, *, closely: bool) -> list[Item]:
        try:
            return slices.decoded(self._decode, body, self.span)
        except REFUSED:
            self.parts_are_plain = False
            return self._read_by_names(body, closely=closely)

    def _decode(self, items: bytes | memoryview) -> list[Item]:
        if self.parts_are_plain and len(items) <= _SHORT:
            try:
                return _PLAIN_ITEMS.decode(items)
            except msgspec.ValidationError:
                pass
        self.parts_are_plain = False
        return _ITEMS.decode(items)

    def _read_by_names(self, body: bytes, *, closely: bool) -> list[Item]:
        try:
            found: list[Fields] = [*slices.decoded(OBJECTS.decode, body, self.span)]
        except REFUSED:
            if not closely:
                raise
            found = objects.elements(body, self.span[0])
        self.envelope = _ENVELOPE.intersection(*[set().union(*found)])
        return [row_of(fields) for fields in found]


def items_of(array: bytes) -> list[Item]:
    """The items in a JSON array. Raises MalformedError where it is none."""
    return Array(array, (0, len(array))).items


def item_of(json: bytes) -> Item:
    """The item that `json` is. Raises MalformedError where it is not one value."""
    found = items_of(b"[%b]" % json)
    if len(found) != 1:
        raise lenient.MalformedError
    return found[0]
