"""The input of a request while it is being made portable: every item, and what becomes of it.

An entry begins as *kept*. Rules mark it: *dropped*, *replaced* by other JSON, or kept with members cut or put; and they
add entries behind others. A mark is never taken back. Rules see what is still sent (`sent`, `turns`), and count what
they did in `Changes`. `Draft.edits` turns the marks into edits of the body, once, at the end, so that bytes without a
mark are never decoded and encoded again.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from proxy.report import Name, RemovedName, RepairedName
from proxy.responses.body.document import Array, Item, item_of, members_of, objects
from proxy.responses.body.edits import Edit, cut_id, cut_members, cut_spans, splice
from proxy.responses.body.lenient import Member, Span

NOTHING: Final[frozenset[str]] = frozenset()
_NO_MEMBERS: Final[Mapping[str, bytes]] = MappingProxyType({})
_ONLY_ID: Final = {"id"}
_ESCAPED: Final = b"\\u006"
"""How an escape of a letter of `id` begins."""

Fate = Literal["kept", "dropped", "replaced", "added"]


class Entry:
    """One item of the input: as it arrived (`came`), and as it will be sent (`item`, `fate`, `cut`, `put`)."""

    fate: Fate = "kept"
    json: bytes | None = None
    """What stands in the item's place, or is added."""
    cut: frozenset[str] = NOTHING
    """Names of members to take out."""
    put: Mapping[str, bytes] = _NO_MEMBERS
    """Members to add behind the others, as raw JSON."""
    cut_parts: frozenset[str] = NOTHING
    """Names of members to take out of every part of `content`."""
    lost_reasoning = False
    """It was a reasoning that only one server could resolve, and is gone or has lost what it held."""

    def __init__(self, came: Item) -> None:
        self.came = came
        self.item = came

    @property
    def sent(self) -> bool:
        """Whether something of it is sent upstream."""
        return self.fate != "dropped"

    @property
    def is_changed(self) -> bool:
        """Whether anything but its own bytes is sent."""
        return self.fate != "kept" or bool(self.cut or self.put or self.cut_parts)

    def set(self, name: str, json: bytes) -> None:
        """Send it with the member `name` as `json`, behind its other members."""
        self.cut |= {name}
        self.put = {**self.put, name: json}

    def replace(self, json: bytes) -> None:
        """Send `json`, an item, in its place."""
        self.fate = "replaced"
        self.json = json
        self.item = item_of(json)


@dataclass(slots=True)
class Turn:
    """What the model made at one go, as far as it is sent."""

    entries: list[Entry]
    lost_reasoning: bool = False


class Changes:
    """What was done to a request."""

    def __init__(self) -> None:
        self.removed: Counter[RemovedName] = Counter()
        self.repaired: Counter[RepairedName] = Counter()
        self.lossy: set[Name] = set()
        """Names of `removed` and `repaired` by which the model sees less, or other things, than the client sent."""
        self.taken: list[tuple[RemovedName, Item | str]] = []
        """As what an item, or an id, was taken out."""


class Draft:
    """The entries of one `input`; what is done to them is noted in `changes`."""

    def __init__(self, array: Array, changes: Changes | None = None) -> None:
        self._array = array
        self.entries = [Entry(item) for item in array.items]
        self._came = self.entries
        self._moved: set[Entry] = set()
        self.kinds = {item.kind.name for item in array.items}
        """Names of the kinds in the input, so that a rule for another kind costs nothing."""
        self.names: frozenset[str] = frozenset().union(*[item.fields for item in array.items])
        """Names of all members of all items, for the same end."""
        self.changes = changes or Changes()
        self.removed = self.changes.removed
        self.repaired = self.changes.repaired
        self.lossy = self.changes.lossy

    def sent(self) -> list[Entry]:
        """The entries that are sent, in order."""
        return [entry for entry in self.entries if entry.fate != "dropped"]

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
        entry.fate = "dropped"
        self.count_removed(what, entry.came)
        self.lossy.add(what)

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

    def count_removed(self, what: RemovedName, came: Item) -> None:
        """Count `what` as taken out of, or with, an item."""
        self.removed[what] += 1
        if what != "envelope_field":
            self.changes.taken.append((what, came))

    def edits(self, body: bytes) -> list[Edit]:
        """The edits of `body` that make its input what this draft says."""
        changed = [entry for entry in self._came if entry.is_changed]
        if not changed and not self._moved and len(self.entries) == len(self._came):
            return []
        spans = dict(zip(self._came, self._array.spans(), strict=True))
        edits: list[Edit] = []
        if self._moved or any(entry.fate == "dropped" for entry in changed):
            edits = cut_spans([*spans.values()], [entry.fate == "dropped" or entry in self._moved for entry in spans])
        plain = body.find(_ESCAPED) < 0
        for entry in changed:
            if entry not in self._moved:
                edits += _edits(entry, spans[entry], body, plain=plain)
        if self._moved or len(self.entries) != len(self._came):
            edits += self._additions(spans, body)
        return edits

    def _additions(self, spans: Mapping[Entry, Span], body: bytes) -> Iterator[Edit]:
        end = -1
        for entry in self.entries:
            if entry.fate == "added":
                yield Edit(end, end, b"," + (entry.json or b""))
            elif entry in self._moved and entry.sent:
                item = body[spans[entry].start : spans[entry].end]
                yield Edit(end, end, b"," + splice(item, list(_edits(entry, Span(0, len(item)), item, plain=False))))
            elif entry.sent:
                end = spans[entry].end


def _added(json: bytes) -> Entry:
    entry = Entry(item_of(json))
    entry.fate, entry.json = "added", json
    return entry


def _edits(entry: Entry, span: Span, body: bytes, *, plain: bool) -> Iterable[Edit]:
    if entry.fate == "replaced":
        return [Edit(span.start, span.end, entry.json or b"")]
    if entry.fate == "dropped" or not (entry.cut or entry.put or entry.cut_parts):
        return []
    if entry.cut == _ONLY_ID and not entry.put and not entry.cut_parts:
        short = cut_id(body, span, plain=plain)
        if short is not None:
            return [short]
    members = members_of(body, span.start, entry.came.fields)
    edits = cut_members(members, entry.cut)
    if entry.put:
        edits.append(_put(entry, members))
    if entry.cut_parts:
        edits += _part_edits(entry, members, body)
    return edits


def _put(entry: Entry, members: list[Member]) -> Edit:
    end = max(member.end for member in members if member.name not in entry.cut)
    return Edit(end, end, b"".join(b',"%s":%s' % (name.encode(), json) for name, json in entry.put.items()))


def _part_edits(entry: Entry, members: list[Member], body: bytes) -> Iterator[Edit]:
    for content in members:
        if content.name != entry.came.kind.parts or body[content.value] != ord("["):
            continue
        array = Array(body, Span(content.value, content.end), [])
        parts = objects(memoryview(body)[content.value : content.end])
        for span, fields in zip(array.spans(), parts, strict=True):
            if fields:
                yield from cut_members(members_of(body, span.start, fields), entry.cut_parts)
