"""Conversations in Redis: see `conversations` for what holds, `conversation_scripts` for the keys and the scripts.

Items are added with the change that needs them, or before it where they are many or large, and released behind the one
that does not: what is broken off in between leaves items with too many uses, which expire by themselves.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, Protocol

from proxy.responses.conversations.ledger import Head
from proxy.store import conversation_scripts as scripts
from proxy.store.conversations import Change, Found, Lock, NotTaken, Row, Waiting, digests_in
from proxy.store.envelope import DIGEST, Entry
from proxy.store.interface import Options
from proxy.store.redis_reading import Reading
from proxy.store.redis_scripts import VERSION, prefix, told

_ROWS: Final = 200
"""Turns that one script or command reads."""
_KEPT: Final = 500
"""Items that one script renews: 1 ms."""
_ALL: Final = f"unpinned:{VERSION}:*:c:conv_*"


class Server(Protocol):
    """What is needed of a store in Redis."""

    async def run(self, script: str, scope: str, *arguments: Any) -> Any:
        """What a script answers that is given a scope's prefix, the lifetime and these arguments."""

    async def each(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """What comes of commands, many of them in one round trip."""

    async def add_first(self, scope: str, kept: Sequence[Entry]) -> Sequence[Entry]:
        """Count one use more of items, and keep those that are new; the last, which the script that needs them adds."""

    async def release(self, scope: str, digests: bytes) -> None:
        """Count one use less of each item."""

    async def read(self, scope: str, reading: Reading) -> None:
        """Perform a lookup."""

    def scan(self, pattern: str) -> AsyncIterator[list[bytes]]:
        """The keys that match, so many at a time."""


class RedisConversations:
    """Conversations in the Redis of `server`."""

    def __init__(self, server: Server, options: Options) -> None:
        self._server = server
        self._options = options

    async def _run(self, script: str, lock: Lock, *arguments: Any) -> Any:
        return await self._server.run(script, lock.scope, lock.conversation_id, lock.token, *arguments)

    async def create(self, lock: Lock, metadata: bytes, made: int, first: Change) -> None:
        """Make a conversation with its lock free."""
        last = await self._server.add_first(lock.scope, first.added)
        await self._run(scripts.CREATE, lock, metadata, made, first.turns, first.value, *told(last))

    async def lock(self, lock: Lock, seconds: float) -> Found | NotTaken:
        """Take the lock, if it is free."""
        answer = await self._run(scripts.LOCK, lock, _ROWS, int(seconds * 1000))
        if answer == b"held":
            return "held"
        found = await self._found(lock.scope, lock.conversation_id, answer)
        return found._replace(locked=False) if found is not None else "unknown"

    async def renew(self, lock: Lock, seconds: float, waiting: tuple[str, int] | None) -> bool:
        """Hold the lock from now on for so many seconds."""
        response_id, number = waiting or ("", 0)
        return bool(await self._run(scripts.RENEW, lock, int(seconds * 1000), response_id, number))

    async def release(self, lock: Lock) -> None:
        """Give the lock back."""
        await self._run(scripts.FREE, lock)

    async def look(self, scope: str, conversation_id: str) -> Found | None:
        """The record and its turns; it counts as used."""
        answer = await self._run(scripts.LOOK, Lock(scope, conversation_id, ""), _ROWS)
        return await self._found(scope, conversation_id, answer)

    async def _found(self, scope: str, conversation_id: str, answer: Sequence[Any]) -> Found | None:
        """What a script answered, with the turns that it left out."""
        if not answer:
            return None
        metadata, made, turns, head, covered, locked, due, first = answer
        count, key = int(turns), prefix(scope) + f"t:{conversation_id}"
        commands = [
            ("HMGET", key, *range(start, min(start + _ROWS, count))) for start in range(len(first), count, _ROWS)
        ]
        further = await self._server.each(commands) if commands else []
        values = [*first, *(value for answer in further for value in answer)]
        rows: list[Row] = [(number, value) for number, value in enumerate(values) if value]
        if due:
            await self._keep(scope, rows)
        return Found(metadata, int(made), count, Head(head.decode(), int(covered)), bool(locked), rows)

    async def _keep(self, scope: str, rows: Sequence[Row]) -> None:
        """Let the items live as long as their conversation."""
        digests = b"".join(digest for _, value in rows for digest in digests_in(value))
        for start in range(0, len(digests), _KEPT * DIGEST):
            await self._server.run(scripts.KEEP, scope, digests[start : start + _KEPT * DIGEST])

    async def values(self, scope: str, digests: Sequence[bytes]) -> Sequence[bytes]:
        """What is kept of items."""
        reading = Reading(None, (), self._options.largest, digests)
        await self._server.read(scope, reading)
        return reading.values(digests)

    async def change(self, lock: Lock, change: Change) -> bool:
        """Make a change while the lock is held."""
        last = await self._server.add_first(lock.scope, change.added)
        head, moves = change.head or Head(), int(change.head is not None)
        what = (change.number, change.value, change.turns, moves, head.response_id, head.turns, int(change.unlocks))
        held = bool(await self._run(scripts.CHANGE, lock, *what, *told(last)))
        added = Counter(entry.digest for entry in change.added) - Counter(entry.digest for entry in last)
        await self._server.release(lock.scope, b"".join(change.released if held else added.elements()))
        return held

    async def describe(self, lock: Lock, metadata: bytes) -> bool:
        """Replace the metadata."""
        return bool(await self._run(scripts.DESCRIBE, lock, metadata))

    async def forget(self, lock: Lock) -> bool:
        """Forget a conversation, and then release its items."""
        found = await self.look(lock.scope, lock.conversation_id)
        if not await self._run(scripts.FORGET, lock):
            return False
        rows = found.rows if found is not None else ()
        digests = (digest for _, value in rows for digest in digests_in(value))
        await self._server.release(lock.scope, b"".join(digests))
        return True

    async def waiting(self, scope: str, response_id: str) -> Waiting | None:
        """What waits for a response that is made in the background."""
        (found,) = await self._server.each([("GET", prefix(scope) + f"b:{response_id}")])
        if found is None:
            return None
        conversation_id, number, token = found.decode().split(" ")
        return Waiting(Lock(scope, conversation_id, token), int(number))

    async def purge(self, progress: Callable[[int], None], *, everything: bool) -> int:
        """Forget everything; what exceeds its TTL expires by itself. Items go with the responses."""
        count = 0
        if not everything:
            return count
        async for keys in self._server.scan(_ALL):
            found = [key.rpartition(b":c:") for key in keys]
            others = [front + kind + name for front, _, name in found for kind in (b":t:", b":l:")]
            gone = await self._server.each([("UNLINK", key) for key in [*keys, *others]])
            count += sum(gone[: len(keys)])
            progress(count)
        return count
