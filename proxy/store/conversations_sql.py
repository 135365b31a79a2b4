"""Conversations in a database: see `conversations` for what holds, `conversation_tables` for the statements.

A change is one transaction, which begins with the update that only the lock's holder can make.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from sqlalchemy import URL, Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from proxy.responses.conversations.ledger import Head
from proxy.store import conversation_tables as tables
from proxy.store.conversations import Change, Found, Lock, NotTaken, Row, Waiting, digests_in
from proxy.store.envelope import owner
from proxy.store.interface import Options, Progress
from proxy.store.sql_connection import Database
from proxy.store.sql_execution import execute_each_now, release_now
from proxy.store.sql_rows import key_of, rows_of
from proxy.store.tables import SLICE, inserts

_WRITERS: Final = 8
"""Connections to PostgreSQL for changes, each of a conversation of its own."""
_AT_ONCE: Final = 100
_ROWS: Final = 50
"""Turns that are forgotten in one transaction, at most."""
_RENEWED_AFTER: Final = 1 / 30
_FOREVER: Final = 1 << 62


class SqlConversations:
    """Conversations in a database of which `reading` is the pool for lookups; `ready` waits until it has its tables."""

    def __init__(
        self, where: URL, options: Options, reading: AsyncEngine, ready: Callable[[], Awaitable[None]]
    ) -> None:
        self._options = options
        self._ready = ready
        self._database = Database(where, reading, _WRITERS)
        self._timed = tables.timed(where.get_backend_name())
        self._inserts = inserts(where.get_backend_name())

    async def create(self, lock: Lock, metadata: bytes, made: int, first: Change) -> None:
        """Make a conversation with its lock free."""
        await self._ready()
        key = _key(lock)
        record = {"key": key, "metadata": metadata, "made": made, "turns": first.turns, "head": "", "covered": 0}

        def create(connection: Connection) -> None:
            connection.execute(tables.CREATE, record | {"expires": self._until()})
            if first.value:
                self._put(connection, lock, first)

        await self._database.write(create)

    async def lock(self, lock: Lock, seconds: float) -> Found | NotTaken:
        """Take the lock, if it is free."""
        await self._ready()
        asked = {"conversation": _key(lock), "now": int(time.time())}
        span = {"token": lock.token, "milliseconds": int(seconds * 1000), "until": self._until()}

        def taken(connection: Connection) -> Found | NotTaken:
            record = connection.execute(self._timed.lock, asked | span).first()
            if record is not None:
                # Behind the first statement, which may have waited for a change: one snapshot would miss its row.
                return _found(record, _rows(connection, _key(lock)), locked=False)
            return "unknown" if connection.execute(self._timed.record, asked).first() is None else "held"

        return await self._database.each(taken)

    async def renew(self, lock: Lock, seconds: float, waiting: tuple[str, int] | None) -> bool:
        """Hold the lock from now on for so many seconds."""
        response = key_of(owner(lock.scope), waiting[0]) if waiting is not None else None
        turn = waiting[1] if waiting is not None else None
        asked = {"milliseconds": int(seconds * 1000), "response": response, "turn": turn}
        return await self._database.write(lambda connection: _is_held(connection, self._timed.renew, lock, **asked))

    async def release(self, lock: Lock) -> None:
        """Give the lock back."""
        await self._database.write(lambda connection: _is_held(connection, tables.FREE, lock))

    async def look(self, scope: str, conversation_id: str) -> Found | None:
        """The record and its turns; it counts as used."""
        await self._ready()
        now, asked = int(time.time()), {"conversation": key_of(owner(scope), conversation_id)}

        def look(connection: Connection) -> Found | None:
            record = connection.execute(self._timed.record, asked | {"now": now}).first()
            if record is None:
                return None
            rows = _rows(connection, asked["conversation"])
            if record.expires < self._until() - self._options.lifetime * _RENEWED_AFTER:
                connection.execute(tables.USED, asked | {"until": self._until()})
            return _found(record, rows, locked=bool(record.held))

        return await self._database.read(look)

    async def values(self, scope: str, digests: Sequence[bytes]) -> Sequence[bytes]:
        """What is kept of items."""
        keys = [owner(scope) + digest for digest in digests]
        found = await self._database.read(lambda connection: dict(tables.values(connection, [*dict.fromkeys(keys)])))
        return [found.get(key, b"") for key in keys]

    async def change(self, lock: Lock, change: Change) -> bool:
        """Make a change while the lock is held."""
        head = change.head or Head()
        asked = {"count": change.turns, "moves": change.head is not None}
        named = {"response": head.response_id, "covers": head.turns}
        first = tables.CHANGE_LAST if change.unlocks else tables.CHANGE
        together = self._timed.together.get(change.unlocks)
        if together is not None and change.value and not change.released and len(change.added) <= SLICE:
            return await self._in_one(together, lock, change, asked | named)

        def changed(connection: Connection) -> bool:
            if not _is_held(connection, first, lock, **asked, **named):
                return False
            self._put(connection, lock, change)
            return True

        return await self._database.write(changed)

    async def _in_one(self, statement: Any, lock: Lock, change: Change, said: dict[str, Any]) -> bool:
        """Make a change by one statement, which is a transaction of its own."""
        items, _ = rows_of(owner(lock.scope), _key(lock), change.added)
        asked = {"conversation": _key(lock), "token": lock.token, "number": change.number, "value": change.value}
        columns = {f"item_{name}": [item[name] for item in items] for name in tables.ITEM_COLUMNS}

        def changed(connection: Connection) -> bool:
            return connection.execute(statement, asked | said | columns).first() is not None

        return await self._database.each(changed)

    def _put(self, connection: Connection, lock: Lock, change: Change) -> None:
        whose, key = owner(lock.scope), _key(lock)
        if change.value:
            row = {"conversation": key, "number": change.number, "value": change.value}
            connection.execute(self._timed.row, row)
        else:
            connection.execute(tables.DROP_ROW, {"conversation": key, "turn": change.number})
        items, _ = rows_of(whose, key, change.added)
        execute_each_now(connection, self._inserts.item, items)
        release_now(connection, [whose + digest for digest in change.released])

    async def describe(self, lock: Lock, metadata: bytes) -> bool:
        """Replace the metadata."""
        return await self._database.write(
            lambda connection: _is_held(connection, tables.DESCRIBE, lock, sealed=metadata)
        )

    async def forget(self, lock: Lock) -> bool:
        """Forget a conversation: it is not known from the first transaction on, and gone with the last."""
        if not await self._database.write(lambda connection: _is_held(connection, tables.GIVE_UP, lock)):
            return False
        await self._clear(_key(lock), owner(lock.scope))
        return True

    async def _clear(self, key: bytes, whose: bytes) -> None:
        """Forget a conversation's turns, some at a time, and then itself."""

        def cleared(connection: Connection) -> bool:
            # A statement that writes comes first: SQLite then has its lock from the first one on.
            connection.execute(tables.USED, {"conversation": key, "until": 0})
            rows = connection.execute(tables.FIRST_ROWS, {"conversation": key, "most": _ROWS}).all()
            for row in rows:
                connection.execute(tables.DROP_ROW, {"conversation": key, "turn": row.number})
            release_now(connection, [whose + digest for row in rows for digest in digests_in(row.value)])
            if len(rows) < _ROWS:
                connection.execute(tables.DROP, {"conversation": key})
            return len(rows) < _ROWS

        while not await self._database.write(cleared):
            pass

    async def waiting(self, scope: str, response_id: str) -> Waiting | None:
        """What waits for a response that is made in the background."""
        await self._ready()
        whose = owner(scope)
        asked = {"response": key_of(whose, response_id)}
        row = await self._database.read(lambda connection: connection.execute(tables.WAITING, asked).first())
        if row is None or row.lock is None:
            return None
        return Waiting(Lock(scope, row.key[len(whose) :].decode(), row.lock), row.waiting_turn)

    async def purge(self, progress: Progress, *, everything: bool) -> int:
        """Forget what was not used for the TTL, or everything; the number of conversations."""
        await self._ready()
        asked: dict[str, Any] = {"now": _FOREVER if everything else int(time.time()), "most": _AT_ONCE}
        count = 0
        while True:
            keys = await self._database.read(
                lambda connection: connection.execute(tables.EXPIRED, asked).scalars().all()
            )
            for key in keys:
                await self._clear(key, key[: len(owner(""))])
                count += 1
            progress(count)
            if not keys:
                return count

    async def close(self) -> None:
        """Let go of the connections."""
        await self._database.close()

    def _until(self) -> int:
        return int(time.time()) + self._options.lifetime


def _rows(connection: Connection, key: bytes) -> list[Row]:
    return [(row.number, row.value) for row in connection.execute(tables.ROWS, {"conversation": key})]


def _found(record: Any, rows: Sequence[Row], *, locked: bool) -> Found:
    head = Head(record.head, record.covered)
    return Found(record.metadata, record.made, record.turns, head, locked, rows)


def _is_held(connection: Connection, statement: Any, lock: Lock, **more: Any) -> bool:
    """Execute an update that concerns a conversation whose lock is held with this token; whether it is."""
    found = connection.execute(statement, {"conversation": _key(lock), "token": lock.token, **more})
    return bool(found.rowcount)


def _key(lock: Lock) -> bytes:
    return key_of(owner(lock.scope), lock.conversation_id)
