"""The versions of the tables: a process migrates an older version, and leaves a newer one alone."""

from typing import Final

from sqlalchemy import Connection, LargeBinary, delete, insert, inspect, select, text

from proxy.store.conversation_tables import CONVERSATIONS, TURNS
from proxy.store.tables import METADATA, SCHEMA

VERSION: Final = 3
_MIGRATIONS: Final[dict[int, tuple[str, ...]]] = {2: ("ALTER TABLE unpinned_responses ADD COLUMN signature {bytes}",)}
"""By version: the statements that lead to it from the one before, with a database's name of a type in braces."""
_NEW_TABLES: Final = {3: (CONVERSATIONS, TURNS)}
"""By version: tables that the one before has not; they are made as they are defined."""
_LOCK: Final = 8_176_173_620_011
"""PostgreSQL's advisory lock under which the tables are made: an arbitrary number of our own."""


class SchemaError(Exception):
    """The tables are missing, or not of this version: a sentence that says what to do."""


def version(connection: Connection) -> int | None:
    """Which version the tables have; None where there are none."""
    if not inspect(connection).has_table(SCHEMA.name):
        return None
    return connection.execute(select(SCHEMA.c.version)).scalar_one_or_none()


def check(connection: Connection) -> None:
    """Raises SchemaError unless the tables are there, and of this version."""
    found = version(connection)
    if found is None:
        raise SchemaError("its tables are missing: run `unpinned store init`")
    if found < VERSION:
        raise SchemaError(f"its tables are of version {found}, not {VERSION}: run `unpinned store init`")
    if found > VERSION:
        raise SchemaError(f"its tables are of version {found}, and this Unpinned knows only {VERSION}: update it")


def migrate(connection: Connection) -> int | None:
    """Make the tables, or bring them up to date, within a transaction; the version that was found. Raises SchemaError.

    Several processes may do so concurrently.
    """
    alone = f"SELECT pg_advisory_xact_lock({_LOCK})" if connection.dialect.name == "postgresql" else "BEGIN IMMEDIATE"
    connection.execute(text(alone))
    found = version(connection)
    if found is None:
        METADATA.create_all(connection)
    bytes_ = LargeBinary().compile(connection.dialect)
    for step in range(found or VERSION, VERSION):
        METADATA.create_all(connection, _NEW_TABLES.get(step + 1, ()))
        for statement in _MIGRATIONS.get(step + 1, ()):
            connection.execute(text(statement.format(bytes=bytes_)))
    if found is None or found < VERSION:
        connection.execute(delete(SCHEMA))
        connection.execute(insert(SCHEMA).values(version=VERSION))
    check(connection)
    return found
