"""What a conversation holds: its turns in order, each with marks of its items; the items themselves are read apart.

A *turn* is what was added together: items that a client sent, or a request's input and what was answered. It is
*asked* before its request leaves, and *done* when its answer has been seen. Its items are in the history once it is
done, or when no lock holds it any more: then it was broken off, and the conversation has a *gap* there.

A *mark* is the digest by which a store finds an item, and a name of eight bytes by which an id finds the mark: of an
item with an id a digest of that, of one without an id what its id is made of. So an item is kept as it came, byte for
byte, and once, however many conversations and responses have it; its id is added where it is shown.
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

DIGEST: Final = 16
NAME: Final = 8
MARK: Final = DIGEST + NAME
_HEXADECIMAL: Final = 48
"""Digits of an id of ours, as of upstream's."""


class Kept(NamedTuple):
    """An item to be kept, and its name."""

    item: bytes
    name: bytes


class Turn(NamedTuple):
    """What was added to a conversation together."""

    number: int
    done: bool
    marks: bytes
    """The marks of its items, one after the other."""
    size: int
    """Bytes of its items."""

    @property
    def digests(self) -> list[bytes]:
        """Those of its items, in order."""
        return [self.marks[start : start + DIGEST] for start in range(0, len(self.marks), MARK)]


class Head(NamedTuple):
    """A response that a store remembers with the first `turns` turns as its history and itself."""

    response_id: str = ""
    turns: int = 0


class Ledger(NamedTuple):
    """A conversation without its items."""

    metadata: bytes
    """JSON."""
    made: int
    """Seconds since 1970."""
    turns: tuple[Turn, ...] = ()
    head: Head = Head()
    locked: bool = False
    """A request is under way, whose turn may be the last."""

    @property
    def visible(self) -> tuple[Turn, ...]:
        """The turns that are in the history."""
        last = self.turns[-1] if self.turns else None
        return self.turns[:-1] if last is not None and self.locked and not last.done else self.turns

    @property
    def has_gap(self) -> bool:
        """Whether the answer to a turn was never seen."""
        return any(turn.marks and not turn.done for turn in self.visible)

    @property
    def next(self) -> int:
        """The number of the next turn."""
        return self.turns[-1].number + 1 if self.turns else 0


def marks_of(turns: Iterable[Turn]) -> list[bytes]:
    """The marks of all items of these turns, in order."""
    joined = b"".join([turn.marks for turn in turns])
    return [joined[start : start + MARK] for start in range(0, len(joined), MARK)]


def count_of(turns: Iterable[Turn]) -> int:
    """How many items these turns have."""
    return sum([len(turn.marks) for turn in turns]) // MARK


def size_of(turns: Iterable[Turn]) -> int:
    """Bytes of all items of these turns."""
    return sum(turn.size for turn in turns)


def name_of(item_id: str) -> bytes:
    """The name of an item that has an id."""
    return sha256(item_id.encode("utf-8", "surrogatepass")).digest()[:NAME]


def names(ids: Sequence[str], seed: bytes) -> list[bytes]:
    """The names of items with these ids; of one without, `""`, a new one, made of a `seed` that is used once."""
    return [
        name_of(item_id) if item_id else sha256(seed + place.to_bytes(4)).digest()[:NAME]
        for place, item_id in enumerate(ids)
    ]


def minted(conversation_id: str, prefix: str, name: bytes) -> str:
    """The id of an item that came without one: the same whenever and wherever it is shown."""
    rest = sha256(conversation_id.encode() + name).hexdigest()
    return f"{prefix}_{(name.hex() + rest)[:_HEXADECIMAL]}"


def candidates(item_id: str) -> set[bytes]:
    """The names that an item with this id may have."""
    digits = item_id.rpartition("_")[2]
    found = {name_of(item_id)}
    if len(digits) == _HEXADECIMAL and set(digits) <= set("0123456789abcdef"):
        found.add(bytes.fromhex(digits[: 2 * NAME]))
    return found


class Place(NamedTuple):
    """Where an item stands."""

    turn: Turn
    offset: int

    @property
    def mark(self) -> bytes:
        """Its mark."""
        return self.turn.marks[self.offset : self.offset + MARK]

    def without(self, size: int) -> Turn:
        """The turn without the item, which takes `size` bytes."""
        marks = self.turn.marks[: self.offset] + self.turn.marks[self.offset + MARK :]
        return self.turn._replace(marks=marks, size=self.turn.size - size)


def places(turns: Iterable[Turn], item_id: str) -> Iterator[Place]:
    """Where an item with this id may stand."""
    wanted = candidates(item_id)
    for turn in turns:
        for name in wanted:
            found = turn.marks.find(name)
            while found >= 0:
                if found % MARK == DIGEST:  # else it is a part of something else
                    yield Place(turn, found - DIGEST)
                found = turn.marks.find(name, found + 1)


def repeated(turns: Iterable[Turn], ids: Iterable[str]) -> str:
    """The first of `ids` that is there twice, or in these turns already; `""` where there is none."""
    given = [item_id for item_id in ids if item_id]
    if not given:
        return ""
    seen = {mark[DIGEST:] for mark in marks_of(turns)}
    for item_id in given:
        name = name_of(item_id)
        if name in seen:
            return item_id
        seen.add(name)
    return ""
