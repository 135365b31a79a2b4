"""How a database is connected to: its URL, its pool of connections, and what an SQLite file needs."""

import secrets
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

_DRIVERS: Final = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
_WAIT: Final = 5.0
"""Seconds that a connection, or SQLite's lock, is waited for."""


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
