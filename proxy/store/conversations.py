"""Conversations in a store: what every engine does with them, and what is the same whichever engine it is.

One conversation is a record (its metadata, its lock), a row a turn, and the items, which are shared with responses. All
that changes one is done under its lock, which has an owner and an end: a *token* that only its holder knows, and a time
at which the lock is free again, so that a process that dies gives it back. Each change names the token, and an engine
makes it only while the lock is that holder's: one that was late changes nothing.

What no key opens or signed, and what is incomplete, is not known; half of a conversation is none.
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple, Protocol

from proxy.responses.conversations.ledger import MARK, Head, Kept, Ledger, Turn
from proxy.store.beside import beside
from proxy.store.envelope import DIGEST, Entry, Envelope, entries, opened, owner

NotTaken = Literal["held", "unknown"]
"""Why a lock is not taken: another one has it, or there is no such conversation."""

Row = tuple[int, bytes]
"""Number and value of a turn."""

_LOOKS: Final = 3
"""How often a conversation is looked at that changes meanwhile: its record and its rows are read apart."""
_DONE: Final = 1
_SIZE: Final = 8
_NUMBER: Final = 8


class Lock(NamedTuple):
    """A conversation, and the token of the request that holds its lock or wants it."""

    scope: str
    conversation_id: str
    token: str


class Waiting(NamedTuple):
    """The lock and the turn that wait for the end of a response that is made in the background."""

    lock: Lock
    number: int


class Found(NamedTuple):
    """A conversation as an engine has it."""

    metadata: bytes
    made: int
    turns: int
    """How many rows there must be."""
    head: Head
    locked: bool
    rows: Sequence[Row]
    """In order; there may be more of them than there were when the record was read."""

    @property
    def known(self) -> Sequence[Row]:
        """The rows that the record counts."""
        return [row for row in self.rows if row[0] < self.turns]

    @property
    def is_whole(self) -> bool:
        """Whether there are as many rows as the record counts."""
        return [number for number, _ in self.known] == [*range(self.turns)]


class Change(NamedTuple):
    """What becomes of a conversation, at once or not at all."""

    number: int
    value: bytes = b""
    """The turn with that number afterwards; `b""`: there is none."""
    turns: int = 0
    """How many turns there are afterwards."""
    added: Sequence[Entry] = ()
    """Items that get one use more."""
    released: Sequence[bytes] = ()
    """Digests of items that get one use less."""
    head: Head | None = None
    """The head afterwards; None: as it was."""
    unlocks: bool = True


class ConversationEngine(Protocol):
    """What an engine does. What it raises is its own."""

    async def create(self, lock: Lock, metadata: bytes, made: int, first: Change) -> None:
        """Make a conversation with its lock free, and its first turn if `first.value` is one."""

    async def lock(self, lock: Lock, seconds: float) -> Found | NotTaken:
        """Take the lock for so many seconds, if it is free or this holder's; the conversation counts as used.

        What there is when it is taken stays so, except by its holder's changes.
        """

    async def renew(self, lock: Lock, seconds: float, waiting: tuple[str, int] | None) -> bool:
        """Hold the lock for so many seconds from now, for a response in the background and its turn where given."""

    async def release(self, lock: Lock) -> None:
        """Give the lock back, and change nothing."""

    async def look(self, scope: str, conversation_id: str) -> Found | None:
        """The record and its turns; None where there is none."""

    async def values(self, scope: str, digests: Sequence[bytes]) -> Sequence[bytes]:
        """What is kept of items; `b""` of one that is not there."""

    async def change(self, lock: Lock, change: Change) -> bool:
        """Make a change while the lock is held; whether it was."""

    async def describe(self, lock: Lock, metadata: bytes) -> bool:
        """Replace the metadata and give the lock back; whether it was held."""

    async def forget(self, lock: Lock) -> bool:
        """Forget the conversation, and its items where nothing else has them; whether the lock was held."""

    async def waiting(self, scope: str, response_id: str) -> Waiting | None:
        """What waits for a response that is made in the background."""

    async def purge(self, progress: Callable[[int], None], *, everything: bool) -> int:
        """Forget what was not used for the TTL, or everything; the number of conversations."""


class Conversations:
    """The conversations of a store."""

    def __init__(self, engine: ConversationEngine, envelope: Envelope) -> None:
        self._engine = engine
        self._envelope = envelope
        self.release = engine.release
        self.waiting = engine.waiting
        self.forget = engine.forget
        self.purge = engine.purge

    async def create(self, lock: Lock, metadata: bytes, made: int, kept: Sequence[Kept]) -> None:
        """Make a conversation with these items; its lock is free."""
        change = await self._change(lock, Turn(0, True, b"", 0), kept) if kept else Change(0)
        await self._engine.create(lock, self._sealed(lock, metadata), made, change)

    async def ledger(self, scope: str, conversation_id: str) -> Ledger | None:
        """What a conversation holds, without its items."""
        for _ in range(_LOOKS):
            found = await self._engine.look(scope, conversation_id)
            if found is None:
                return None
            if found.is_whole:
                return await self._read(scope, conversation_id, found)
        return None

    async def lock(self, lock: Lock, seconds: float) -> Ledger | NotTaken:
        """Take the lock for so many seconds, if it is free or this holder's; the conversation counts as used.

        The ledger is as its holder sees it: not locked.
        """
        found = await self._engine.lock(lock, seconds)
        if not isinstance(found, Found):
            return found
        ledger = await self._read(lock.scope, lock.conversation_id, found) if found.is_whole else None
        if ledger is None:
            await self._engine.release(lock)
            return "unknown"
        return ledger

    async def _read(self, scope: str, conversation_id: str, found: Found) -> Ledger | None:
        rows = found.known
        return await beside([value for _, value in rows], self._opened, scope, conversation_id, found, rows)

    def _opened(self, scope: str, conversation_id: str, found: Found, rows: Sequence[Row]) -> Ledger | None:
        name, metadata = _name(scope, conversation_id), found.metadata
        plain = self._envelope.open(owner(scope), metadata[:DIGEST], metadata[DIGEST:])
        turns = [turn for number, value in rows if (turn := self._turn(name, number, value)) is not None]
        if plain is None or len(turns) < len(rows):
            return None
        return Ledger(plain, found.made, tuple(turns), found.head, found.locked)

    async def items(self, scope: str, marks: Sequence[bytes]) -> list[bytes] | None:
        """The items with these marks; None where one of them cannot be read."""
        digests = [mark[:DIGEST] for mark in marks]
        values = await self._engine.values(scope, digests)
        found = await opened(self._envelope, owner(scope), [*zip(digests, values, strict=True)])
        items = [item for item, value in zip(found, values, strict=True) if item is not None and value]
        return items if len(items) == len(marks) else None

    async def append(self, lock: Lock, turn: Turn, kept: Sequence[Kept], *, unlocks: bool = False) -> Turn | None:
        """Add a turn with these items; None where the lock was not held."""
        change = await self._change(lock, turn, kept)
        written = await self._engine.change(lock, change._replace(unlocks=unlocks))
        if not written and unlocks:  # the answer to a first attempt, which gave the lock back, may have been lost
            found = await self._engine.look(lock.scope, lock.conversation_id)
            written = found is not None and (turn.number, change.value) in found.rows
        return self._turn(_name(lock.scope, lock.conversation_id), turn.number, change.value) if written else None

    async def renew(self, lock: Lock, seconds: float, waiting: tuple[str, int] | None = None) -> bool:
        """Hold the lock for so many seconds from now, where given for a response in the background and its turn."""
        return await self._engine.renew(lock, seconds, waiting)

    async def done(self, lock: Lock, turn: Turn, kept: Sequence[Kept], head: Head | None) -> bool:
        """Add what was answered to a turn, which is done, and give the lock back; whether it was held."""
        change = await self._change(lock, turn._replace(done=True), kept, made=len(kept))
        return await self._engine.change(lock, change._replace(head=head))

    async def drop(self, lock: Lock, turn: Turn) -> bool:
        """Take the last turn out, as if it had never been asked, and give the lock back; whether it was held."""
        return await self._engine.change(lock, Change(turn.number, turns=turn.number, released=turn.digests))

    async def take_out(self, lock: Lock, ledger: Ledger, turn: Turn, digest: bytes) -> bool:
        """Put a turn without one of its items in its place, and give the lock back; whether it was held."""
        value = self._value(_name(lock.scope, lock.conversation_id), turn)
        return await self._engine.change(
            lock, Change(turn.number, value, len(ledger.turns), released=(digest,), head=Head())
        )

    async def describe(self, lock: Lock, metadata: bytes) -> bool:
        """Replace the metadata and give the lock back; whether it was held."""
        return await self._engine.describe(lock, self._sealed(lock, metadata))

    async def _change(self, lock: Lock, turn: Turn, kept: Sequence[Kept], made: int = 0) -> Change:
        added = await entries(self._envelope, owner(lock.scope), [one.item for one in kept], made)
        marks = b"".join(entry.digest + one.name for entry, one in zip(added, kept, strict=True))
        size = sum(len(one.item) for one in kept)
        changed = turn._replace(marks=turn.marks + marks, size=turn.size + size)
        value = self._value(_name(lock.scope, lock.conversation_id), changed)
        return Change(turn.number, value, turn.number + 1, added)

    def _sealed(self, lock: Lock, metadata: bytes) -> bytes:
        digest = self._envelope.digest(metadata)
        return digest + self._envelope.close(owner(lock.scope), digest, metadata)

    def _value(self, name: bytes, turn: Turn) -> bytes:
        said = bytes((turn.done,)) + turn.size.to_bytes(_SIZE) + turn.marks
        signature = self._envelope.sign(name + turn.number.to_bytes(_NUMBER), b"", said)
        return bytes((len(signature),)) + signature + said

    def _turn(self, name: bytes, number: int, value: bytes) -> Turn | None:
        """The turn with this value; None where it is not as it was written."""
        end = 1 + value[0] if value else 0
        signature, said = value[1:end], value[end:]
        marks = said[_DONE + _SIZE :]
        if len(said) < _DONE + _SIZE or len(marks) % MARK:
            return None
        if not self._envelope.signed(name + number.to_bytes(_NUMBER), b"", said, signature):
            return None
        return Turn(number, bool(said[0]), marks, int.from_bytes(said[_DONE : _DONE + _SIZE]))


def digests_in(value: bytes) -> list[bytes]:
    """The digests of the items of a turn with this value, signed or not."""
    marks = value[1 + value[0] + _DONE + _SIZE :] if value else b""
    return [marks[start : start + DIGEST] for start in range(0, len(marks), MARK)]


def _name(scope: str, conversation_id: str) -> bytes:
    """What a signature calls a conversation: no response has a NUL in its name."""
    return owner(scope) + conversation_id.encode() + b"\0"
