"""The store of one process: bounded by bytes, gone with the process.

What was used longest ago is forgotten first. Each item is held once, however many responses it belongs to. Calls are
served one after the other, and in another thread where a response of many items is concerned.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Final

from proxy.responses.history.recording import is_response
from proxy.store.beside import beside
from proxy.store.conversations import Conversations
from proxy.store.conversations_memory import MemoryConversations
from proxy.store.envelope import Entry, Plain, entries
from proxy.store.interface import DEFAULTS, Options, Progress, Recalled, Remembered, counted, quietly

_OVERHEAD: Final = 550
"""Bytes that a response, and an item, take besides what they hold (measured, Python 3.11, 2026-11)."""
_LISTED: Final = 9
"""Bytes of an item in the list of a response: the digest itself is shared with the item."""

_EXPIRED: Final = 100
"""Responses that a lookup lets go of at most: what has expired is not known in any case."""

_PLAIN: Final = Plain()

Key = tuple[str, str]


class _Turn:
    """A response."""

    __slots__ = ("items", "previous", "used")

    def __init__(self, previous: str | None, items: tuple[bytes, ...], used: float) -> None:
        self.previous = previous
        self.items = items
        """Digests."""
        self.used = used


class _Shared:
    """An item with its id, and how many turns it belongs to."""

    __slots__ = ("digest", "id", "json", "turns")

    def __init__(self, digest: bytes, json: bytes, id_: str) -> None:
        self.digest = digest
        self.json = json
        self.id = id_
        self.turns = 0


class MemoryStore:
    """Remembers responses while their items and lists take no more than the options' `capacity`."""

    lookups = 1000

    def __init__(self, options: Options = DEFAULTS, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._clock = clock
        self._size = 0
        self._alone = asyncio.Lock()
        self._longest: tuple[bytes, ...] = ()
        """The digests of the response that has the most: to let go of it takes so long."""
        self._turns: OrderedDict[Key, _Turn] = OrderedDict()
        self._items: dict[tuple[str, bytes], _Shared] = {}
        self._ids: dict[Key, bytes] = {}
        self._kept = MemoryConversations(self, options.lifetime, clock)
        self.conversations = Conversations(self._kept, _PLAIN)

    async def recall(self, scope: str, response_id: str | None, item_ids: Collection[str]) -> Recalled:
        """What is known; it counts as used."""
        async with self._alone:
            return await beside(self._longest, self._recall, scope, response_id, item_ids)

    def _recall(self, scope: str, response_id: str | None, item_ids: Collection[str]) -> Recalled:
        self._expire(_EXPIRED)
        return Recalled(self._conversation(scope, response_id), self._named(scope, item_ids))

    def _named(self, scope: str, item_ids: Collection[str]) -> dict[str, bytes]:
        items: dict[str, bytes] = {}
        left = self._options.largest
        for id_ in item_ids:
            digest = self._ids.get((scope, id_))
            item = self._items[scope, digest].json if digest is not None else b""
            left -= len(item)
            if item and left >= 0:
                items[id_] = item
        return items

    def _conversation(self, scope: str, response_id: str | None) -> tuple[bytes, ...] | None:
        if response_id is None:
            return None
        turns: list[_Turn] = []
        seen: set[str] = set()
        while response_id is not None:
            turn = self._turns.get((scope, response_id))
            if turn is None or response_id in seen or turn.used <= self._oldest():
                return None
            seen.add(response_id)
            turn.used = self._clock()
            self._turns.move_to_end((scope, response_id))
            turns.append(turn)
            response_id = turn.previous
        items = tuple(self._items[scope, digest].json for turn in reversed(turns) for digest in turn.items)
        return items if sum(map(len, items)) <= self._options.largest else None

    async def remember(self, scope: str, response: Remembered) -> None:
        """Remember a response, and forget what was used longest ago where there is no room."""
        for record in response.records:
            kept = await entries(_PLAIN, b"", record.items, record.made)
            async with self._alone:
                longest = max(record.items, self._longest, key=len)
                await beside(longest, self._remember, scope, record, kept)

    def _remember(self, scope: str, response: Remembered, kept: list[Entry]) -> None:
        self._drop((scope, response.response_id))
        digests = tuple(self.add(scope, entry) for entry in kept)
        self._turns[scope, response.response_id] = _Turn(response.previous, digests, self._clock())
        self._longest = max(self._longest, digests, key=len)
        self.take(_OVERHEAD + _LISTED * len(digests))

    def take(self, size: int) -> None:
        """Count so many bytes more, or less; where they are too many, what was used longest ago makes room."""
        self._size += size
        while self._size > self._options.capacity:
            if self._turns:
                self._drop(next(iter(self._turns)))
            elif not self._kept.drop_oldest():
                return

    def value(self, scope: str, digest: bytes) -> bytes:
        """What is kept of an item, or `b""`."""
        shared = self._items.get((scope, digest))
        return shared.json if shared is not None else b""

    def add(self, scope: str, entry: Entry) -> bytes:
        """Keep an item, or count one use more of it; its digest."""
        shared = self._items.get((scope, entry.digest))
        if shared is None:
            shared = self._items[scope, entry.digest] = _Shared(entry.digest, entry.value, entry.id)
            self._size += len(entry.value) + _OVERHEAD
        if entry.id:
            self._ids[scope, entry.id] = entry.digest
        shared.turns += 1
        return shared.digest

    def _drop(self, key: Key) -> None:
        turn = self._turns.pop(key, None)
        if turn is None:
            return
        self._size -= _OVERHEAD + _LISTED * len(turn.items)
        for digest in turn.items:
            self.release(key[0], digest)

    def release(self, scope: str, digest: bytes) -> None:
        """Count one use less of an item, and let go of it where that was the last."""
        shared = self._items[scope, digest]
        shared.turns -= 1
        if shared.turns:
            return
        del self._items[scope, digest]
        self._size -= len(shared.json) + _OVERHEAD
        if self._ids.get((scope, shared.id)) == digest:
            del self._ids[scope, shared.id]

    async def forget(self, scope: str, response_id: str) -> None:
        """Forget a response, and its items where no other response has them."""
        async with self._alone:
            await beside(self._longest, self._drop, (scope, response_id))

    def is_unreachable(self, error: Exception) -> bool:  # noqa: ARG002 -- it is always there
        """A process's own memory can always be reached."""
        return False

    async def close(self) -> None:
        """There is nothing to let go of."""

    async def prepare(self) -> str:
        """There is nothing to make."""
        return "no schema needed"

    async def standing(self) -> str:
        """How much it holds."""
        responses = sum(is_response(name) for _, name in self._turns)
        return f"this process's memory: {counted(responses, len(self._items), len(self._kept))}"

    async def purge(self, *, everything: bool = False, progress: Progress = quietly) -> int:
        """Forget what was not used for the TTL, or everything; the number of responses."""
        await self._kept.purge(quietly, everything=everything)
        async with self._alone:
            most = len(self._turns)
            count = await beside(self._longest, self._drop_all if everything else self._expire, most)
        progress(count)
        return count

    def _oldest(self) -> float:
        return self._clock() - self._options.lifetime

    def _expire(self, most: int) -> int:
        """Let go of what nobody used for the TTL; the number of responses."""
        count, oldest = 0, self._oldest()
        for _ in range(most):
            # In the order of their use, so that the first that stays is the last that is looked at.
            if not self._turns or next(iter(self._turns.values())).used > oldest:
                break
            count += self._drop_first()
        return count

    def _drop_all(self, most: int) -> int:
        return sum(self._drop_first() for _ in range(most))

    def _drop_first(self) -> bool:
        """Let go of what was used longest ago; whether that was a response."""
        key = next(iter(self._turns))
        self._drop(key)
        return is_response(key[1])
