"""What a process has learnt from refusals: bounded, forgotten after an hour, never on disk.

A lesson is a fact `(topic, scope, value)`. Refused ids and digests of refused blobs have a credential as their scope,
refused and demanded fields an upstream. A lesson is a hint: its loss costs one retry. Lessons are never shared between
credentials, but for the fields that an upstream takes.
"""

from collections import OrderedDict
from collections.abc import Iterable
from hashlib import sha256
from typing import Final, Literal

Topic = Literal["id", "blob", "refused", "demanded"]

_CAPACITY: Final = 10_000
_LIFETIME: Final = 3600.0


class Lessons:
    """Facts `(topic, scope, value)`, the least recently learnt forgotten first."""

    def __init__(self, capacity: int = _CAPACITY, lifetime: float = _LIFETIME) -> None:
        self._capacity = capacity
        self._lifetime = lifetime
        self._expiry: OrderedDict[tuple[Topic, str, str], float] = OrderedDict()
        self._values: dict[tuple[Topic, str], set[str]] = {}

    def __len__(self) -> int:
        return len(self._expiry)

    def learn(self, topic: Topic, scope: str, value: str, now: float) -> None:
        """Remember a fact at the time `now`, in seconds of any steady clock."""
        self._expiry[topic, scope, value] = now + self._lifetime
        self._expiry.move_to_end((topic, scope, value))
        self._values.setdefault((topic, scope), set()).add(value)
        while len(self._expiry) > self._capacity:
            self._forget(*next(iter(self._expiry)))

    def about(self, topic: Topic, scope: str, now: float) -> set[str]:
        """What is known on `topic` in `scope` at the time `now`."""
        while self._expiry:
            oldest = next(iter(self._expiry))
            if self._expiry[oldest] > now:
                break
            self._forget(*oldest)
        return self._values.get((topic, scope), set())

    def _forget(self, topic: Topic, scope: str, value: str) -> None:
        del self._expiry[topic, scope, value]
        values = self._values[topic, scope]
        values.discard(value)
        if not values:
            del self._values[topic, scope]


class _Extract(Lessons):
    """A snapshot of some scopes for another thread to read; what is learnt goes to the whole."""

    def __init__(self, whole: Lessons, scopes: Iterable[tuple[Topic, str]], now: float) -> None:
        super().__init__()
        self._whole = whole
        self._values = {(topic, scope): set(whole.about(topic, scope, now)) for topic, scope in scopes}

    def __len__(self) -> int:
        return sum(map(len, self._values.values()))

    def learn(self, topic: Topic, scope: str, value: str, now: float) -> None:
        """Remember a fact where it was not extracted from."""
        self._whole.learn(topic, scope, value, now)


class LessonScope:
    """The lessons that concern one request: those of its credential (a digest) and its upstream, at the time `now`."""

    __slots__ = ("credential", "lessons", "now", "upstream")

    def __init__(self, lessons: Lessons, credential: str = "", upstream: str = "", now: float = 0.0) -> None:
        self.lessons = lessons
        self.credential = credential
        self.upstream = upstream
        self.now = now

    @property
    def has_news(self) -> bool:
        """Whether something is known that could change what is sent to this upstream, or with this credential."""
        return bool(self.lessons) and bool(self.blobs() or self.fields("refused") or self.fields("demanded"))

    def extract(self) -> "LessonScope":
        """The same, to be read in another thread; only what is learnt is not to be learnt there."""
        scopes: tuple[tuple[Topic, str], ...] = (
            ("id", self.credential),
            ("blob", self.credential),
            ("refused", self.upstream),
            ("demanded", self.upstream),
        )
        return LessonScope(_Extract(self.lessons, scopes, self.now), self.credential, self.upstream, self.now)

    def ids(self) -> set[str]:
        """Ids that were refused to this credential."""
        return self.lessons.about("id", self.credential, self.now)

    def blobs(self) -> set[str]:
        """Digests of blobs that were refused to this credential."""
        return self.lessons.about("blob", self.credential, self.now)

    def fields(self, topic: Literal["refused", "demanded"]) -> frozenset[tuple[str, str]]:
        """(label of the kind, field) that this upstream refused or demanded."""
        pairs = (value.split(" ", 1) for value in self.lessons.about(topic, self.upstream, self.now))
        return frozenset((label, name) for label, name in pairs)

    def learn_id(self, id_: str) -> None:
        """Remember that `id_` was refused."""
        self.lessons.learn("id", self.credential, id_, self.now)

    def learn_blob(self, blob: bytes) -> None:
        """Remember that the blob was refused, by its digest."""
        self.lessons.learn("blob", self.credential, digest(blob), self.now)

    def learn_field(self, topic: Literal["refused", "demanded"], label: str, name: str) -> None:
        """Remember that a field of a kind of item was refused or demanded."""
        self.lessons.learn(topic, self.upstream, f"{label} {name}", self.now)


def digest(blob: bytes) -> str:
    """The digest by which a blob is remembered."""
    return sha256(blob).hexdigest()
