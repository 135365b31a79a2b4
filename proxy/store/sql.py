"""The store in a database: SQLite for the processes of one machine, PostgreSQL for many.

A lookup is one statement for a conversation of any length, or two where items are requested as well; a response is
written in one transaction.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.ext.asyncio import AsyncConnection

from proxy.responses.history.recording import is_response
from proxy.store import conversation_tables, migrations, tables
from proxy.store.beside import beside
from proxy.store.conversations import Conversations
from proxy.store.conversations_sql import SqlConversations
from proxy.store.envelope import DIGEST, entries, id_of, opened, owner, whole
from proxy.store.interface import Options, Progress, Recalled, Remembered, counted, quietly
from proxy.store.sql_connection import engine, located
from proxy.store.sql_execution import execute_each, in_slices, release
from proxy.store.sql_rows import Turn, Written, few_of, in_one_order, in_order, key_of, rows_of, turns_of
from proxy.store.tables import SLICE

_READING: Final = {"sqlite": 4, "postgresql": 16}
"""Connections for lookups (each of SQLite's is a thread). Writes are serialised."""
_PURGED_EVERY: Final = 600.0
_AT_ONCE: Final = 100
"""Responses that are forgotten together, at most."""
_RENEWED_AFTER: Final = 1 / 30
"""Part of its life after which what is used is renewed: not every look is a write."""

_FOREVER: Final = 1 << 62

_Result = TypeVar("_Result")


class SqlStore:
    """Remembers responses in the database at `url`."""

    def __init__(self, url: str, options: Options) -> None:
        self._options = options
        where = located(url)
        self.lookups = _READING[where.get_backend_name()]
        # A lookup is no transaction: what it finds is whole or not known.
        self._reading = engine(
            where, _READING[where.get_backend_name()], isolation_level="AUTOCOMMIT", pool_reset_on_return=None
        )
        self._writing = engine(where, 1)
        self._inserts = tables.inserts(where.get_backend_name())
        self._prepared = False
        self._preparing = asyncio.Lock()
        self._kept = SqlConversations(where, options, self._reading, self._ready)
        self.conversations = Conversations(self._kept, options.envelope)
        self._purged = time.monotonic()

    async def recall(self, scope: str, response_id: str | None, item_ids: Collection[str]) -> Recalled:
        """What is known; it counts as used."""
        return await self._tried(lambda: self._recall(owner(scope), response_id, list(item_ids)))

    async def _recall(self, scope: bytes, response_id: str | None, item_ids: list[str]) -> Recalled:
        await self._ready()
        async with self._reading.connect() as connection:
            conversation = await self._conversation(connection, scope, response_id) if response_id else None
            return Recalled(conversation, await self._named(connection, scope, item_ids) if item_ids else {})

    async def _conversation(
        self, connection: AsyncConnection, scope: bytes, response_id: str
    ) -> tuple[bytes, ...] | None:
        now, response = int(time.time()), key_of(scope, response_id)
        asked = {"response": response, "largest": self._options.largest}
        turns = turns_of(await connection.execute(tables.CONVERSATION, asked))
        places = in_order(turns, response, now, self._options.envelope)
        if places is None:
            return None
        kept = [(place.item[DIGEST:], place.value) for place in places]
        items = whole(await opened(self._options.envelope, scope, kept))
        if items is not None:
            await self._renew(connection, turns, now)
        return items

    async def _named(self, connection: AsyncConnection, scope: bytes, ids: Sequence[str]) -> dict[str, bytes]:
        keys = {key_of(scope, id_): id_ for id_ in ids}
        rows = await in_slices(connection, tables.NAMED, [*keys], largest=self._options.largest)
        items = await opened(self._options.envelope, scope, [(row.key[DIGEST:], row.value) for row in rows])
        found = ((keys[row.named], item) for row, item in zip(rows, items, strict=True) if item is not None)
        return {id_: item for id_, item in found if id_of(item) == id_}

    async def _renew(self, connection: AsyncConnection, turns: Mapping[bytes, Turn], now: int) -> None:
        until = now + self._options.lifetime
        soon = until - self._options.lifetime * _RENEWED_AFTER
        keys = [key for key, turn in turns.items() if turn.expires < soon]
        if keys:
            await in_slices(connection, tables.RENEW, keys, until=until)

    async def remember(self, scope: str, response: Remembered) -> None:
        """Remember a response, with what belongs to it, in one transaction."""
        written = [await self._written(owner(scope), record) for record in response.records]
        await self._tried(lambda: self._remember(written))
        if time.monotonic() - self._purged > _PURGED_EVERY:
            self._purged = time.monotonic()
            with suppress(DBAPIError):  # the response is written; what could not be purged is purged the next time
                await self.purge()

    async def _written(self, scope: bytes, response: Remembered) -> Written:
        """The rows of a record."""
        kept = await entries(self._options.envelope, scope, response.items, response.made)
        key = key_of(scope, response.response_id)
        previous = key_of(scope, response.previous) if response.previous is not None else None
        digests = b"".join(entry.digest for entry in kept)
        row = {
            "key": key,
            "previous": previous,
            "length": len(kept),
            "size": sum(len(entry.value) for entry in kept),
            "expires": int(time.time()) + self._options.lifetime,
            "signature": self._options.envelope.sign(key, previous or b"", digests) or None,
        }
        return Written(row, *(await beside(response.items, rows_of, scope, key, kept)))

    async def _remember(self, written: Sequence[Written]) -> None:
        await self._ready()
        keys = [record.response["key"] for record in written]
        async with self._writing.begin() as connection:
            # What is replaced goes first: SQLite then has its lock from the first statement on.
            before = await _vacated(connection, keys, _FOREVER)
            await in_slices(connection, tables.DROP, keys)
            await execute_each(connection, self._inserts.response, [record.response for record in written])
            await execute_each(connection, self._inserts.item, in_one_order(written))
            await execute_each(connection, self._inserts.place, [row for record in written for row in record.places])
            await release(connection, before)

    async def forget(self, scope: str, response_id: str) -> None:
        """Forget a response, and its items where no other response has them."""
        key = key_of(owner(scope), response_id)

        async def forget() -> None:
            await self._ready()
            async with self._writing.begin() as connection:
                await in_slices(connection, tables.RENEW, [key], until=0)  # unknown from now on, whatever happens
            await self._clear([key])

        await self._tried(forget)

    async def _clear(self, responses: Sequence[bytes]) -> list[bytes]:
        """Forget responses in transactions of `SLICE` items; the keys of those that are gone.

        A response goes when its last item has gone: one that is cut in between is not known, and its rest is found.
        """
        while True:
            async with self._writing.begin() as connection:
                items = await _vacated(connection, responses, SLICE)
                await release(connection, items)
                if len(items) < SLICE:
                    return [row.key for row in await in_slices(connection, tables.DROP, responses)]

    def is_unreachable(self, error: Exception) -> bool:
        """The database is away, or closed the connection; a statement that fails by itself says nothing of others."""
        if isinstance(error, DBAPIError):
            return error.connection_invalidated or isinstance(error, InterfaceError)
        return isinstance(error, OSError) and not isinstance(error, TimeoutError)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._reading.dispose()
        await self._writing.dispose()
        await self._kept.close()

    async def prepare(self) -> str:
        """Make the tables, or bring them up to date."""
        async with self._writing.begin() as connection:
            found = await connection.run_sync(migrations.migrate)
        self._prepared = True
        if found is None:
            return f"the tables are made, version {migrations.VERSION}"
        before = f", were {found}" if found < migrations.VERSION else ""
        return f"the tables are of version {migrations.VERSION}{before}"

    async def _ready(self) -> None:
        if self._prepared:
            return
        async with self._preparing:  # concurrent first uses wait for one of them
            if not self._prepared:
                await self.prepare()

    async def standing(self) -> str:
        """Which database it is, and how many responses and items it holds."""
        async with self._reading.connect() as connection:
            await connection.run_sync(migrations.check)
            responses, items = (await connection.execute(tables.COUNTS)).one()
            conversations = (await connection.execute(conversation_tables.COUNT)).scalar_one()
            version = ".".join(map(str, connection.dialect.server_version_info or ()))
            held = counted(responses, items, conversations)
            return f"{connection.dialect.name} {version}: {held}"

    async def purge(self, *, everything: bool = False, progress: Progress = quietly) -> int:
        """Forget what was not used for the TTL, or everything; the number of responses.

        Two that purge at a time share the work. An interrupted purge has forgotten what it reported, and goes on when
        it is started again.
        """
        await self._ready()
        await self._kept.purge(quietly, everything=everything)
        asked = {"now": _FOREVER if everything else int(time.time()), "most": _AT_ONCE}
        count = 0
        while True:
            async with self._reading.connect() as connection:
                expired = few_of(await connection.execute(tables.EXPIRED, asked), SLICE)
            gone = await self._clear(expired) if expired else []
            count += len([key for key in gone if is_response(key[DIGEST:].decode())])
            progress(count)
            if not gone:
                return count

    async def _tried(self, work: Callable[[], Awaitable[_Result]]) -> _Result:
        """What comes of `work`; once more where the database had closed the connection, as when it was restarted."""
        try:
            return await work()
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        return await work()


async def _vacated(connection: AsyncConnection, responses: Sequence[bytes], most: int) -> list[bytes]:
    """Delete the places of at most so many items of responses; the items."""
    return [row.item for row in await in_slices(connection, tables.VACATE, responses, most=most)]
