"""How statements of many keys or rows are executed: in slices, so that no list is as long as a client makes it.

Each exists for a connection whose statements are awaited, and, called `…_now`, for one whose statements are not.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from proxy.store import tables
from proxy.store.tables import SLICE


def release_now(connection: Connection, items: Sequence[bytes]) -> None:
    """Count one use less of each, and let go of what nothing has any more."""
    uses = sorted(Counter(items).items())
    execute_each_now(connection, tables.RELEASE, [{"item": item, "times": times} for item, times in uses])
    in_slices_now(connection, tables.SWEEP, [item for item, _ in uses])


def execute_each_now(connection: Connection, statement: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Execute a statement for each of any number of rows; an event loop goes on in between."""
    for start in range(0, len(rows), SLICE):
        connection.execute(statement, rows[start : start + SLICE])


def in_slices_now(connection: Connection, statement: Any, keys: Sequence[bytes], **more: Any) -> list[Any]:
    """The rows of a statement for all `keys`, however many: a database bounds the parameters of one statement.

    PostgreSQL's protocol allows 32,767, SQLite 32,766 unless it was built with more. Every statement that takes keys
    goes through here.
    """
    rows: list[Any] = []
    for start in range(0, len(keys), SLICE):
        found = connection.execute(statement, {"keys": tables.padded(keys[start : start + SLICE]), **more})
        if found.returns_rows:
            rows += found
    return rows


async def release(connection: AsyncConnection, items: Sequence[bytes]) -> None:
    """As `release_now`."""
    await connection.run_sync(release_now, items)


async def execute_each(connection: AsyncConnection, statement: Any, rows: Sequence[dict[str, Any]]) -> None:
    """As `execute_each_now`."""
    await connection.run_sync(execute_each_now, statement, rows)


async def in_slices(connection: AsyncConnection, statement: Any, keys: Sequence[bytes], **more: Any) -> list[Any]:
    """As `in_slices_now`."""
    return await connection.run_sync(lambda here: in_slices_now(here, statement, keys, **more))
