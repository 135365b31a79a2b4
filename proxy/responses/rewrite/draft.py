"""The input of a request while it is being made portable: every item, and what becomes of it.

An entry begins as *kept*. Rules mark it: *dropped*, *replaced* by other JSON, or kept with members cut or put; and they
add entries behind others. A mark is never taken back. Rules see what is still sent (`sent`, `turns`), and count what
they did in `Changes`. `Draft.edits` turns the marks into edits of the body, once, at the end, so that bytes without a
mark are never decoded and encoded again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from proxy.report import Name, RemovedName, RepairedName
from proxy.responses.body.edits import Edit, cut_members, cut_spans, splice
from proxy.responses.body.elements import Elements
from proxy.responses.body.item import Item
from proxy.responses.body.lenient import Span
from proxy.responses.body.member import Member
from proxy.responses.body.objects import members_of, objects
from proxy.responses.body.table import Array, item_of
from proxy.responses.rewrite.entry import Entry

ONLY_ID: Final = frozenset({"id"})

_Name = TypeVar("_Name", bound=str)


@dataclass(slots=True)
class Turn:
    """What the model made at one go, as far as it is sent."""

    entries: list[Entry]
    lost_reasoning: bool = False


class Counts(dict[_Name, int]):
    """How often; nothing that was not counted. Made in a tenth of a Counter's time."""

    def __missing__(self, _: _Name) -> int:
        return 0


class Changes:
    """What was done to a request."""

    def __init__(self) -> None:
        self.removed: Counts[RemovedName] = Counts()
        self.repaired: Counts[RepairedName] = Counts()
        self.lossy: set[Name] = set()
        """Names of `removed` and `repaired` by which the model sees less, or other things, than the client sent."""
        self.taken: list[tuple[RemovedName, Item | str]] = []
        """As what an item, or an id, was taken out."""


class Draft:
    """The entries of one `input`; what is done to them is noted in `changes`."""

    def __init__(self, array: Array, changes: Changes | None = None) -> None:
        self.array = array
        self.table = array.table
        self.entries = [*map(Entry, self.table.items, self.table.items)]
        self._came = self.entries
        self._of: dict[frozenset[str], list[Entry]] = {}
        self._moved: set[Entry] = set()
        self._dropped = False
        self._without_id: Mapping[int, Edit] = {}
        self.changes = changes or Changes()
        self.removed = self.changes.removed
        self.repaired = self.changes.repaired
        self.lossy = self.changes.lossy

    def sent(self) -> list[Entry]:
        """The entries that are sent, in order."""
        return [entry for entry in self.entries if entry.fate != "dropped"] if self._dropped else self.entries

    def of(self, kinds: frozenset[str]) -> list[Entry]:
        """The entries that came as items of these kinds, dropped ones as well, in order."""
        if self.entries is not self._came:
            return [entry for entry in self.entries if entry.came.kind.name in kinds]
        found = self._of.get(kinds)
        if found is None:
            found = self._of[kinds] = [self._came[place] for place in self.table.places(kinds)]
        return found

    def with_id(self) -> list[Entry]:
        """The entries that came with an id, dropped ones as well."""
        return [self._came[place] for place in self.table.id_places]

    def turns(self) -> Iterator[Turn]:
        """The runs of model-made items between client-made ones, without what is dropped."""
        turn = Turn([])
        for entry in self.entries:
            if entry.lost_reasoning:
                turn.lost_reasoning = True
            if entry.fate == "dropped":
                continue
            if entry.item.kind.made_by == "model":
                turn.entries.append(entry)
                continue
            if turn.entries:
                yield turn
            turn = Turn([])
        if turn.entries:
            yield turn

    def drop(self, entry: Entry, what: RemovedName) -> None:
        """Leave `entry` out, which counts as `what` and is a loss."""
        self.leave_out(entry, what)
        self.lossy.add(what)

    def leave_out(self, entry: Entry, what: RemovedName) -> None:
        """Leave `entry` out, which counts as `what`."""
        entry.fate = "dropped"
        self._dropped = True
        self.count_removed(what, entry.came)

    def replace(self, entry: Entry, json: bytes, what: RepairedName) -> None:
        """Send `json` in place of `entry`, which counts as the repair `what` and is a loss."""
        entry.replace(json)
        self.repaired[what] += 1
        self.lossy.add(what)

    def add_behind(self, additions: Mapping[Entry, list[bytes]], what: RepairedName) -> None:
        """Send the JSON of new items right behind the entries they are mapped from; they count as the repair `what`."""
        grown: list[Entry] = []
        for entry in self.entries:
            grown.append(entry)
            for json in additions.get(entry, ()):
                grown.append(_added(json))
                self.repaired[what] += 1
                self.lossy.add(what)
        self.entries = grown

    def move_behind(self, moves: Mapping[Entry, list[Entry]]) -> None:
        """Send entries right behind those that they are mapped from."""
        self._moved.update(entry for moved in moves.values() for entry in moved)
        stay = (entry for entry in self.entries if entry not in self._moved)
        self.entries = [one for entry in stay for one in (entry, *moves.get(entry, ()))]
        self.repaired["order"] += len(self._moved)

    def cut(self, entry: Entry, name: str, what: RemovedName) -> None:
        """Send `entry` without the member `name`, which counts as `what`."""
        entry.cut |= {name}
        self.count_removed(what, entry.came)

    def cut_ids(self, entries: list[Entry]) -> None:
        """Send the entries without their ids."""
        for entry in entries:
            entry.cut = ONLY_ID if not entry.cut else entry.cut | ONLY_ID
        if entries:
            self._without_id = self.array.id_edits
            self.removed["item_id"] += len(entries)
            self.changes.taken += [("item_id", entry.came) for entry in entries]

    def count_removed(self, what: RemovedName, came: Item) -> None:
        """Count `what` as taken out of, or with, an item."""
        self.removed[what] += 1
        if what != "envelope_field":
            self.changes.taken.append((what, came))

    def edits(self, body: bytes) -> list[Edit]:
        """The edits of `body` that make its input what this draft says."""
        changed = [entry for entry in self._came if entry.cut or entry.fate != "kept" or entry.cut_parts]
        is_longer = len(self.entries) != len(self._came)
        if not changed and not self._moved and not is_longer:
            return []
        edits: list[Edit] = []
        elements = self.array.elements
        if self._moved or self._dropped:
            doomed = [entry.fate == "dropped" or entry in self._moved for entry in self._came]
            edits = cut_spans(elements.spans, doomed)
        for entry in changed:
            if entry in self._moved:
                continue
            place = entry.came.place
            only_id = entry.cut is ONLY_ID and not entry.cut_parts
            without_id = self._without_id.get(place) if only_id else None
            if without_id is not None:
                edits.append(without_id)
            else:
                edits += _edits(entry, *elements.spans[place], body)
        if self._moved or is_longer:
            edits += self._additions(elements.spans)
        return edits

    def _additions(self, spans: Sequence[Span]) -> Iterator[Edit]:
        end = -1
        for entry in self.entries:
            if entry.fate == "added":
                yield end, end, b"," + (entry.json or b"")
            elif entry in self._moved and entry.sent:
                item = entry.came.json
                yield end, end, b"," + splice(item, _edits(entry, 0, len(item), item))
            elif entry.sent:
                end = spans[entry.came.place][1]


def _added(json: bytes) -> Entry:
    item = item_of(json)
    return Entry(item, item, "added", json)


def _edits(entry: Entry, start: int, end: int, body: bytes) -> Iterable[Edit]:
    """The edits of `body`, which has the entry's item from `start` to `end`."""
    if entry.fate == "replaced":
        return [(start, end, entry.json or b"")]
    if entry.fate == "dropped" or not (entry.cut or entry.put or entry.cut_parts):
        return []
    members = members_of(body, start, entry.came.fields)
    edits = cut_members(members, entry.cut)
    if entry.put:
        edits.append(_put(entry, members))
    if entry.cut_parts:
        edits += _part_edits(entry, members, body)
    return edits


def _put(entry: Entry, members: list[Member]) -> Edit:
    end = max(member.end for member in members if member.name not in entry.cut)
    return end, end, b"".join(b',"%s":%s' % (name.encode(), json) for name, json in entry.put.items())


def _part_edits(entry: Entry, members: list[Member], body: bytes) -> Iterator[Edit]:
    for content in members:
        if content.name != entry.came.kind.parts or body[content.value] != ord("["):
            continue
        parts = objects(memoryview(body)[content.value : content.end])
        for (start, _), fields in zip(Elements(body, (content.value, content.end)).spans, parts, strict=True):
            if fields:
                yield from cut_members(members_of(body, start, fields), entry.cut_parts)
