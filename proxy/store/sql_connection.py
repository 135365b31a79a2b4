"""How a database is connected to: its URL, its pool of connections, and what an SQLite file needs."""

import asyncio
import secrets
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

_DRIVERS: Final = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
_WAIT: Final = 5.0
"""Seconds that a connection, or SQLite's lock, is waited for."""
_READERS: Final = 4

_Result = TypeVar("_Result")
Work = Callable[[Connection], _Result]
"""Executes statements without awaiting them."""


def located(url: str) -> URL:
    """The URL of a setting as SQLAlchemy and its drivers want it."""
    where = make_url(url)
    where = where.set(drivername=_DRIVERS[where.get_backend_name()])
    if "sslmode" in where.query:  # as all other clients call it
        where = where.difference_update_query(["sslmode"]).update_query_dict({"ssl": where.query["sslmode"]})
    return where


def engine(where: URL, connections: int, **options: Any) -> AsyncEngine:
    """A pool of so many connections to the database."""
    engine = create_async_engine(
        where, pool_size=connections, max_overflow=0, pool_timeout=_WAIT, hide_parameters=True, **options
    )
    if where.get_backend_name() == "sqlite":
        event.listen(engine.sync_engine, "do_connect", _make)
        event.listen(engine.sync_engine, "connect", _configure)
    return engine


class _Threads:
    """A pool of connections to an SQLite file, and as many threads: what is not performed yet waits in no thread."""

    def __init__(self, where: URL, connections: int, **options: Any) -> None:
        self.engine = _engine_here(where, connections, **options)
        self._threads = ThreadPoolExecutor(connections, "unpinned-sqlite")

    async def run(self, perform: Callable[[Engine, Work[_Result]], _Result], work: Work[_Result]) -> _Result:
        """What comes of `work`."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, perform, self.engine, work)

    async def close(self) -> None:
        """Let go of the connections, and of the threads."""
        await asyncio.get_running_loop().run_in_executor(self._threads, self.engine.dispose)
        self._threads.shutdown(wait=False)


class Database:
    """Performs work of several statements: in SQLite all of it in one change of threads, not in one for each statement.

    `reading` is the pool for lookups in another database.
    """

    def __init__(self, where: URL, reading: AsyncEngine, writers: int) -> None:
        self._readers: _Threads | None = None
        self._reading = reading
        if where.get_backend_name() == "sqlite":
            self._readers = _Threads(where, _READERS, isolation_level="AUTOCOMMIT")
            self._writer = _Threads(where, 1)
        else:
            self._writing = engine(where, writers)
            self._each = self._writing.execution_options(isolation_level="AUTOCOMMIT")

    async def read(self, work: Work[_Result]) -> _Result:
        """What comes of `work`, whose statements each stand for themselves."""
        if self._readers is not None:
            return await self._readers.run(_read, work)
        async with self._reading.connect() as connection:
            return await connection.run_sync(work)

    async def write(self, work: Work[_Result]) -> _Result:
        """What comes of `work`, which is one transaction."""
        if self._readers is not None:
            return await self._writer.run(_written, work)
        async with self._writing.begin() as connection:
            return await connection.run_sync(work)

    async def each(self, work: Work[_Result]) -> _Result:
        """What comes of work that writes, of which each statement may be a transaction: in SQLite all of it is one."""
        if self._readers is not None:
            return await self.write(work)
        async with self._each.connect() as connection:
            return await connection.run_sync(work)

    async def close(self) -> None:
        """Let go of the connections."""
        if self._readers is None:
            return await self._writing.dispose()
        await self._readers.close()
        return await self._writer.close()


def _engine_here(where: URL, connections: int, **options: Any) -> Engine:
    """A pool of so many connections to an SQLite file, each used by one thread at a time."""
    engine = create_engine(
        where.set(drivername="sqlite"),
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=_WAIT,
        pool_reset_on_return=None,
        hide_parameters=True,
        connect_args={"check_same_thread": False},
        **options,
    )
    event.listen(engine, "do_connect", _make)
    event.listen(engine, "connect", _configure)
    return engine


def _read(engine: Engine, work: Work[_Result]) -> _Result:
    with engine.connect() as connection:
        return work(connection)


def _written(engine: Engine, work: Work[_Result]) -> _Result:
    with engine.begin() as connection:
        return work(connection)


def _make(_dialect: Any, _record: Any, arguments: list[Any], _options: Any) -> None:
    """Make the file where there is none: readable by its owner alone, as are SQLite's files beside it, and with a log.

    It appears under its name when it is ready. An existing file is not opened here: closing it would drop the
    locks that SQLite holds on it (sqlite.org/howtocorrupt.html, 2.2).
    """
    path = Path(arguments[0])
    if path.exists():
        return
    new = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    new.touch(0o600, exist_ok=False)
    try:
        with closing(sqlite3.connect(new)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")  # kept in the file: readers and a writer do not wait
        with suppress(FileExistsError):
            path.hardlink_to(new)
    finally:
        new.unlink()


def _configure(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    # What was written last may be lost with the machine's power.
    for pragma in (f"busy_timeout = {_WAIT * 1000:.0f}", "synchronous = NORMAL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
