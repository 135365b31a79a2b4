"""The table of an `input`: one row an item, with what the rules decide by; read once, whatever is made of the request.

msgspec reads the columns, and nothing else of an item, in one scan. A rule that needs more of an item asks for its
`fields`, which are then read; so it costs nothing where no item of its kind is there.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import KeysView, Mapping
from itertools import chain
from typing import Final

import msgspec
from msgspec import UNSET

from proxy.responses.body import lenient, objects, slices
from proxy.responses.body.edits import Edit
from proxy.responses.body.elements import Elements
from proxy.responses.body.giving_way import give_way
from proxy.responses.body.item import ABSENT, Item, row_of
from proxy.responses.body.lenient import Span
from proxy.responses.body.objects import OBJECTS, REFUSED, Fields, are_plain
from proxy.responses.items import ITEM_ENVELOPE, KINDS, MESSAGES, SEARCH_OUTPUT, kind_of

_ITEMS: Final = msgspec.json.Decoder(list[Item])
_ENVELOPE: Final = frozenset(ITEM_ENVELOPE)
# The key `id`; its value, where that is a plain string (group 1); and the comma behind it with white space (group 2).
_ID: Final = re.compile(rb'"id"(?:[ \t\n\r]*+:[ \t\n\r]*+"[^"\\]*+"()(?:[ \t\n\r]*+(,)[ \t\n\r]*+)?+)?+')
_VALUE: Final = 1
_COMMA: Final = 2
_ESCAPED: Final = b"\\u006"
"""How an escape of a letter of `id` begins."""
_MESSAGE: Final = ("message", "")
_MANY: Final = 1024
_KINDS: Final = {name: kind for name, kind in KINDS.items() if kind is not SEARCH_OUTPUT}
"""Those that an item's type alone tells."""


class Array:
    """One `input` of a body: its items, and what is among them.

    Raises what is in `REFUSED` where that takes the slower reader, which it then takes only if `closely` is set.
    """

    def __init__(self, body: bytes, span: Span, *, closely: bool = True) -> None:
        self.span = span
        self.elements = Elements(body, span)
        self.envelope: frozenset[str] = frozenset()
        """Names of fields of an answer that items have."""
        try:
            self._items = slices.decoded(_ITEMS, body, span)
        except REFUSED:
            self._items = self._read_by_names(body, closely=closely)
        self._places: dict[str, list[int]] | None = None
        self._id_places: list[int] = []
        self._parts_are_plain: bool | None = None
        self._id_edits: dict[int, Edit] | None = None

    def __len__(self) -> int:
        return len(self._items)

    @property
    def items(self) -> list[Item]:
        """The items, in order."""
        self._classify()
        return self._items

    @property
    def kinds(self) -> KeysView[str]:
        """Names of the kinds among the items, so that a rule for another kind costs nothing."""
        return self._classify().keys()

    @property
    def id_places(self) -> list[int]:
        """Where the items are that have an id, in order."""
        self._classify()
        return self._id_places

    def places(self, kinds: frozenset[str]) -> list[int]:
        """Where the items of these kinds are, in order."""
        by_kind = self._classify()
        if kinds.isdisjoint(by_kind):
            return []
        found = [places for kind, places in by_kind.items() if kind in kinds]
        return found[0] if len(found) == 1 else sorted(chain.from_iterable(found))

    @property
    def parts_are_plain(self) -> bool:
        """Whether no part of a message has a field of an answer; False where that takes a closer look."""
        if self._parts_are_plain is None:
            contents = [item.content for item in self._items if item.content is not ABSENT]
            self._parts_are_plain = self._is_short and are_plain(contents)
        return self._parts_are_plain

    @property
    def _is_short(self) -> bool:
        """Whether a copy of what is in it costs little."""
        return self.span[1] - self.span[0] <= slices.LONGEST

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
        places = self.id_places
        if not places or slices.holds(body, _ESCAPED, self.span):
            return {}
        found: list[re.Match[bytes]] = []
        for match in _ID.finditer(body, start, end):
            if not len(found) % _MANY:
                give_way()
            found.append(match)
        if len(found) != len(places):
            owners = [bisect_right(self.elements.spans, (match.start(), end)) - 1 for match in found]
            once = {place for place, count in Counter(owners).items() if count == 1}.intersection(places)
            found = [match for match, place in zip(found, owners, strict=True) if place in once]
            places = sorted(once)
        placed = [*zip(places, found, strict=True)]
        edits: dict[int, Edit] = {place: (*match.span(), b"") for place, match in placed if match.lastindex == _COMMA}
        for place, match in placed if len(edits) < len(placed) else ():
            first, last = match.span()
            if match.lastindex == _VALUE and body.startswith(b",", first - 1) and body.startswith(b"}", last):
                edits[place] = (first - 1, last, b"")
        return edits

    def _classify(self) -> dict[str, list[int]]:
        """Where the items of each kind are; found out once, and not before it is asked."""
        if self._places is None:
            self._places = self._classified()
        return self._places

    def _classified(self) -> dict[str, list[int]]:
        places: dict[str, list[int]] = {}
        for place, item in enumerate(self._items):
            if not place % _MANY:
                give_way()
            kind = _KINDS.get(item.type) or (MESSAGES.get(item.role) if item.type in _MESSAGE else None)
            if kind is None:
                has_id, has_call = item.id is not UNSET, item.call_id is not None
                kind = kind_of(item.type, item.role, has_id=has_id, has_call=has_call)
            item.kind = kind
            item.place = place
            item.elements = self.elements
            if item.id is not UNSET:
                self._id_places.append(place)
            if kind.name in places:
                places[kind.name].append(place)
            else:
                places[kind.name] = [place]
        return places

    def _read_by_names(self, body: bytes, *, closely: bool) -> list[Item]:
        try:
            found: list[Fields] = [*slices.decoded(OBJECTS, body, self.span)]
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
