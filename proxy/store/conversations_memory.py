"""Conversations in one process's memory: see `conversations` for what holds. They share the store's items and bound.

Nothing is awaited within a change, so that each is atomic. What was used longest ago is forgotten where there is no
room, responses before conversations.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from proxy.responses.conversations.ledger import Head
from proxy.store.conversations import Change, Found, Lock, NotTaken, Waiting, digests_in
from proxy.store.envelope import Entry

_OVERHEAD: Final = 1000
"""Bytes that a conversation takes besides what it holds, and a turn of it at most."""

Key = tuple[str, str]


class Shelf(Protocol):
    """What is needed of a store in memory."""

    def add(self, scope: str, entry: Entry) -> bytes:
        """Count one use more of an item."""

    def release(self, scope: str, digest: bytes) -> None:
        """Count one use less of an item."""

    def value(self, scope: str, digest: bytes) -> bytes:
        """What is kept of an item, or `b""`."""

    def take(self, size: int) -> None:
        """Count so many bytes more, or less, and make room."""


class _Record:
    """A conversation."""

    def __init__(self, metadata: bytes, made: int, used: float) -> None:
        self.metadata = metadata
        self.made = made
        self.used = used
        self.head = Head()
        self.rows: dict[int, bytes] = {}
        self.token = ""
        self.until = 0.0
        self.waiting: tuple[str, int] | None = None

    def free(self) -> None:
        """Give the lock back."""
        self.token, self.waiting = "", None

    def found(self, *, locked: bool) -> Found:
        """What there is of it."""
        rows = sorted(self.rows.items())
        return Found(self.metadata, self.made, len(rows), self.head, locked, rows)


class MemoryConversations:
    """Conversations on the shelf of a store, forgotten `lifetime` seconds after their last use."""

    def __init__(self, shelf: Shelf, lifetime: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._shelf = shelf
        self._lifetime = lifetime
        self._clock = clock
        self._records: OrderedDict[Key, _Record] = OrderedDict()

    def __len__(self) -> int:
        return len(self._records)

    async def create(self, lock: Lock, metadata: bytes, made: int, first: Change) -> None:
        """Make a conversation with its lock free."""
        record = self._records[lock.scope, lock.conversation_id] = _Record(metadata, made, self._clock())
        self._shelf.take(_OVERHEAD + len(metadata) + self._put(lock.scope, record, first))

    def _record(self, scope: str, conversation_id: str) -> _Record | None:
        """A conversation, which counts as used."""
        record = self._records.get((scope, conversation_id))
        if record is None or record.used <= self._clock() - self._lifetime:
            return None
        record.used = self._clock()
        self._records.move_to_end((scope, conversation_id))
        return record

    def _held(self, lock: Lock) -> _Record | None:
        record = self._records.get((lock.scope, lock.conversation_id))
        return record if record is not None and lock.token and record.token == lock.token else None

    async def lock(self, lock: Lock, seconds: float) -> Found | NotTaken:
        """Take the lock, if it is free."""
        record = self._record(lock.scope, lock.conversation_id)
        if record is None:
            return "unknown"
        if record.token not in ("", lock.token) and record.until > self._clock():
            return "held"
        record.free()
        record.token, record.until = lock.token, self._clock() + seconds
        return record.found(locked=False)

    async def renew(self, lock: Lock, seconds: float, waiting: tuple[str, int] | None) -> bool:
        """Hold the lock from now on for so many seconds."""
        record = self._held(lock)
        if record is not None:
            record.until, record.waiting = self._clock() + seconds, waiting
        return record is not None

    async def release(self, lock: Lock) -> None:
        """Give the lock back."""
        record = self._held(lock)
        if record is not None:
            record.free()

    async def look(self, scope: str, conversation_id: str) -> Found | None:
        """The record and its turns."""
        record = self._record(scope, conversation_id)
        if record is None:
            return None
        return record.found(locked=bool(record.token) and record.until > self._clock())

    async def values(self, scope: str, digests: Sequence[bytes]) -> Sequence[bytes]:
        """What is kept of items."""
        return [self._shelf.value(scope, digest) for digest in digests]

    async def change(self, lock: Lock, change: Change) -> bool:
        """Make a change while the lock is held."""
        record = self._held(lock)
        if record is None:
            return False
        record.head = record.head if change.head is None else change.head
        if change.unlocks:
            record.free()
        self._shelf.take(self._put(lock.scope, record, change))
        return True

    def _put(self, scope: str, record: _Record, change: Change) -> int:
        """Put a turn in its place; how many bytes more that takes, besides its items."""
        for entry in change.added:
            self._shelf.add(scope, entry)
        before = record.rows.pop(change.number, b"")
        if change.value:
            record.rows[change.number] = change.value
        for digest in change.released:
            self._shelf.release(scope, digest)
        return len(change.value) - len(before)

    async def describe(self, lock: Lock, metadata: bytes) -> bool:
        """Replace the metadata."""
        record = self._held(lock)
        if record is not None:
            self._shelf.take(len(metadata) - len(record.metadata))
            record.metadata = metadata
            record.free()
        return record is not None

    async def forget(self, lock: Lock) -> bool:
        """Forget a conversation."""
        if self._held(lock) is None:
            return False
        self._drop((lock.scope, lock.conversation_id))
        return True

    def _drop(self, key: Key) -> None:
        record = self._records.pop(key)
        for value in record.rows.values():
            for digest in digests_in(value):
                self._shelf.release(key[0], digest)
        self._shelf.take(-_OVERHEAD - len(record.metadata) - sum(map(len, record.rows.values())))

    async def waiting(self, scope: str, response_id: str) -> Waiting | None:
        """What waits for a response that is made in the background."""
        for (whose, conversation_id), record in self._records.items():
            if whose == scope and record.waiting is not None and record.waiting[0] == response_id:
                return Waiting(Lock(scope, conversation_id, record.token), record.waiting[1])
        return None

    def drop_oldest(self) -> bool:
        """Forget what was used longest ago; whether there was anything."""
        if self._records:
            self._drop(next(iter(self._records)))
            return True
        return False

    async def purge(self, progress: Callable[[int], None], *, everything: bool) -> int:
        """Forget what was not used for the TTL, or everything; the number of conversations."""
        oldest = self._clock() - self._lifetime
        gone = [key for key, record in self._records.items() if everything or record.used <= oldest]
        for key in gone:
            self._drop(key)
        progress(len(gone))
        return len(gone)
