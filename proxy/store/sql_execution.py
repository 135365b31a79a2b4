"""How statements of many keys or rows are executed: in slices, so that no list is as long as a client makes it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from proxy.store import tables

SLICE: Final = 1000
"""Keys of one statement, and items of one transaction that forgets."""


async def release(connection: AsyncConnection, items: Sequence[bytes]) -> None:
    """Count one use less of each, and let go of what nothing has any more."""
    uses = sorted(Counter(items).items())
    await execute_each(connection, tables.RELEASE, [{"item": item, "times": times} for item, times in uses])
    await in_slices(connection, tables.SWEEP, [item for item, _ in uses])


async def execute_each(connection: AsyncConnection, statement: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Execute a statement for each of any number of rows; the event loop goes on in between."""
    for start in range(0, len(rows), SLICE):
        await connection.execute(statement, rows[start : start + SLICE])


async def in_slices(connection: AsyncConnection, statement: Any, keys: Sequence[bytes], **more: Any) -> list[Any]:
    """The rows of a statement for all `keys`, however many: a database bounds the parameters of one statement.

    PostgreSQL's protocol allows 32,767, SQLite 32,766 unless it was built with more. Every statement that takes keys
    goes through here.
    """
    rows: list[Any] = []
    for start in range(0, len(keys), SLICE):
        found = await connection.execute(statement, {"keys": tables.padded(keys[start : start + SLICE]), **more})
        if found.returns_rows:
            rows += found
    return rows
