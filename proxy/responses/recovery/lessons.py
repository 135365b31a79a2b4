"""What a process has learnt from refusals: each caller's own, bounded, forgotten after an hour, never on disk.

A lesson belongs to one credential, and nothing that one caller makes upstream refuse changes what another caller's
requests become or cost. Where several callers share an upstream that refuses a field, each learns it once.

A caller without a credential learns nothing: its lessons would be those of everybody else without one. A lesson is a
hint, and its loss costs one retry.

Bounds: `_MOST` lessons of each topic for a credential, 256 characters for a lesson, `_CAPACITY` lessons in all. Beyond
them the least recently learnt go first, of all lessons those of the credential that has learnt nothing for longest.
"""

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

Topic = Literal["id", "blob", "refused", "demanded", "manner"]
Field = tuple[str, str]
"""(label of the kind of item, path of the field)"""

_CAPACITY: Final = 10_000
_LIFETIME: Final = 3600.0
_LONGEST: Final = 256
_MOST: Final[dict[Topic, int]] = {
    "id": 1000,
    "blob": 1000,
    "refused": 64,
    "demanded": 64,
    "manner": 1000,
}


class Facts(NamedTuple):
    """What is known for one credential at one moment. Immutable, so that any thread may read it."""

    ids: frozenset[str] = frozenset()
    """Ids that were refused."""
    blobs: frozenset[str] = frozenset()
    """Digests of blobs that were refused."""
    refused: frozenset[Field] = frozenset()
    demanded: frozenset[Field] = frozenset()
    manners: Mapping[str, frozenset[str]] = MappingProxyType({})
    """By an id, a call id or a model: the names of what a form had that was answered."""


_NOTHING: Final = Facts()


class _Caller:
    """The lessons of one credential: for each topic values with their expiry, the least recently learnt first."""

    __slots__ = ("_facts", "_topics")

    def __init__(self) -> None:
        self._topics: dict[Topic, OrderedDict[str, float]] = {topic: OrderedDict() for topic in _MOST}
        self._facts: Facts | None = None

    def __len__(self) -> int:
        return sum(map(len, self._topics.values()))

    def learn(self, topic: Topic, value: str, expiry: float) -> None:
        values = self._topics[topic]
        values[value] = expiry
        values.move_to_end(value)
        if len(values) > _MOST[topic]:
            values.popitem(last=False)
        self._facts = None

    def forget(self, now: float) -> None:
        """Forget what has expired."""
        for values in self._topics.values():
            while values and next(iter(values.values())) <= now:
                values.popitem(last=False)
                self._facts = None

    def facts(self) -> Facts:
        """What is known; made anew after a change only."""
        if self._facts is None:
            topics = self._topics
            self._facts = Facts(
                frozenset(topics["id"]),
                frozenset(topics["blob"]),
                _fields(topics["refused"]),
                _fields(topics["demanded"]),
                _manners(topics["manner"]),
            )
        return self._facts


def _fields(values: OrderedDict[str, float]) -> frozenset[Field]:
    pairs = (value.split(" ", 1) for value in values)
    return frozenset((label, name) for label, name in pairs)


def _manners(values: OrderedDict[str, float]) -> dict[str, frozenset[str]]:
    known: dict[str, frozenset[str]] = {}
    for value in values:
        names, _, mark = value.partition(" ")
        known[mark] = known.get(mark, frozenset()) | frozenset(names.split("+"))
    return known


class Lessons:
    """The lessons of all credentials."""

    def __init__(self, capacity: int = _CAPACITY, lifetime: float = _LIFETIME) -> None:
        self._capacity = capacity
        self._lifetime = lifetime
        self._callers: OrderedDict[str, _Caller] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def learn(self, topic: Topic, credential: str, value: str, now: float) -> None:
        """Remember a fact at the time `now`, in seconds of any steady clock."""
        if not credential or len(value) > _LONGEST:
            return
        caller = self._callers.setdefault(credential, _Caller())
        self._callers.move_to_end(credential)
        before = len(caller)
        caller.learn(topic, value, now + self._lifetime)
        self._count += len(caller) - before
        while self._count > self._capacity and len(self._callers) > 1:
            self._count -= len(self._callers.popitem(last=False)[1])

    def about(self, credential: str, now: float) -> Facts:
        """What is known for a credential at the time `now`."""
        caller = self._callers.get(credential)
        if caller is None:
            return _NOTHING
        before = len(caller)
        caller.forget(now)
        self._count += len(caller) - before
        if not len(caller):
            del self._callers[credential]
            return _NOTHING
        return caller.facts()


class LessonScope:
    """The lessons that concern one request, as they are at its time `now`: those of its credential, a digest."""

    __slots__ = ("_lessons", "_now", "credential", "facts")

    def __init__(self, lessons: Lessons | None = None, credential: str = "", now: float = 0.0) -> None:
        self._lessons = Lessons() if lessons is None else lessons
        self._now = now
        self.credential = credential
        self.facts = self._lessons.about(credential, now)

    @property
    def has_news(self) -> bool:
        """Whether something is known that could change the form of a request, beyond which ids were refused."""
        facts = self.facts
        return bool(facts.blobs or facts.refused or facts.demanded or facts.manners)

    def learn_id(self, id_: str) -> None:
        """Remember that `id_` was refused."""
        self._lessons.learn("id", self.credential, id_, self._now)

    def learn_blob(self, blob: bytes) -> None:
        """Remember that the blob was refused, by its digest."""
        self._lessons.learn("blob", self.credential, digest(blob), self._now)

    def learn_field(self, topic: Literal["refused", "demanded"], label: str, name: str) -> None:
        """Remember that a field of a kind of item was refused or demanded."""
        self._lessons.learn(topic, self.credential, f"{label} {name}", self._now)

    def learn_manner(self, mark: str, names: frozenset[str]) -> None:
        """Remember that a request with this id, call id or model was answered in a form that had what is named."""
        self._lessons.learn("manner", self.credential, f"{'+'.join(sorted(names))} {mark}", self._now)


def digest(blob: bytes) -> str:
    """The digest by which a blob is remembered."""
    return sha256(blob).hexdigest()
