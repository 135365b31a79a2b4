"""The tables of a store in a database, and what is asked of them: the same for SQLite and PostgreSQL.

A response is a row with what it continues, and one for the place of each of its own items. An item is a row however
many responses have it, and lives as long as one of them does.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import (
    BigInteger,
    Column,
    Executable,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    and_,
    bindparam,
    delete,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

METADATA: Final = MetaData()
RESPONSES: Final = Table(
    "unpinned_responses",
    METADATA,
    Column("scope", LargeBinary, primary_key=True),
    Column("id", String, primary_key=True),
    Column("previous", String),
    Column("length", Integer, nullable=False, comment="How many items it has: a part of them is none."),
    Column("expires", BigInteger, nullable=False, comment="Seconds since 1970."),
    Index("unpinned_responses_expires", "expires"),
)
PLACES: Final = Table(
    "unpinned_places",
    METADATA,
    Column("scope", LargeBinary, primary_key=True),
    Column("response", String, primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
ITEMS: Final = Table(
    "unpinned_items",
    METADATA,
    Column("scope", LargeBinary, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("id", String),
    Column("responses", Integer, nullable=False, comment="How many responses have it; twice in one is two."),
    Column("written", BigInteger, nullable=False, comment="Milliseconds since 1970."),
    Column("value", LargeBinary, nullable=False),
    Index("unpinned_items_id", "scope", "id"),
)
SCHEMA: Final = Table("unpinned_schema", METADATA, Column("version", Integer, nullable=False))

_Value = TypeVar("_Value", bytes, str)

_R: Final = RESPONSES.c
_P: Final = PLACES.c
_I: Final = ITEMS.c
_WHOSE: Final[Any] = bindparam("whose")
_DIGESTS: Final[Any] = bindparam("digests", expanding=True)
_IDS: Final[Any] = bindparam("ids", expanding=True)


def _conversation() -> Executable:
    """A response and all that it continues, as far as that is known; a circle ends where it closes."""
    columns = (_R.id, _R.previous, _R.length, _R.expires)
    of_scope = (_R.scope == _WHOSE, _R.expires > bindparam("now"))
    chain = select(*columns).where(*of_scope, _R.id == bindparam("response_id")).cte("chain", recursive=True)
    chain = chain.union(select(*columns).join(chain, _R.id == chain.c.previous).where(*of_scope))
    placed = chain.outerjoin(PLACES, and_(_P.scope == _WHOSE, _P.response == chain.c.id))
    whole = placed.outerjoin(ITEMS, and_(_I.scope == _WHOSE, _I.digest == _P.digest))
    return select(chain, _P.place, _P.digest, _I.value).select_from(whole)


CONVERSATION: Final = _conversation()
"""whose, now, response_id -> id, previous, length, expires, place, digest, value: a row for each item, in no order.

A response without items has a row without a place, and a place whose item is gone has no value.
"""
BY_ID: Final = select(_I.id, _I.digest, _I.value).where(_I.scope == _WHOSE, _I.id.in_(_IDS)).order_by(_I.written)
"""whose, ids -> id, digest, value; what was written last comes last."""
RENEW: Final = update(RESPONSES).where(_R.scope == _WHOSE, _R.id.in_(_IDS)).values(expires=bindparam("until"))
"""whose, ids, until."""

DROP: Final = delete(RESPONSES).where(_R.scope == _WHOSE, _R.id.in_(_IDS))
"""whose, ids."""
VACATE: Final = delete(PLACES).where(_P.scope == _WHOSE, _P.response.in_(_IDS)).returning(_P.digest)
"""whose, ids of responses -> digest."""
_EXPIRED: Final = select(_R.scope, _R.id).where(_R.expires <= bindparam("now")).limit(bindparam("most"))
EXPIRE: Final = (
    delete(RESPONSES)
    .where(tuple_(_R.scope, _R.id).in_(_EXPIRED.with_for_update(skip_locked=True)))
    .returning(_R.scope, _R.id)
)
"""now, most -> scope, id of at most so many responses that nobody used for too long."""
RELEASE: Final = (
    update(ITEMS)
    .where(_I.scope == _WHOSE, _I.digest == bindparam("which"))
    .values(responses=_I.responses - bindparam("times"))
)
"""whose, which, times."""
SWEEP: Final = delete(ITEMS).where(_I.scope == _WHOSE, _I.digest.in_(_DIGESTS), _I.responses <= 0)
"""whose, digests."""
COUNTS: Final = select(
    select(func.count()).select_from(RESPONSES).scalar_subquery(),
    select(func.count()).select_from(ITEMS).scalar_subquery(),
)


class Inserts(NamedTuple):
    """How a database adds a response, a place, and an item or one more use of it."""

    response: Executable
    place: Executable
    item: Executable


def inserts(dialect: str) -> Inserts:
    """The words of a database for that."""
    insert: Any = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[dialect]
    item = insert(ITEMS)
    more = {"responses": _I.responses + item.excluded.responses, "written": item.excluded.written}
    item = item.on_conflict_do_update(index_elements=("scope", "digest"), set_=more)
    return Inserts(insert(RESPONSES), insert(PLACES), item)


def padded(asked: Sequence[_Value]) -> list[_Value]:
    """The same values in a list as long as a power of two: a database then sees few different statements."""
    values = list(asked)
    return values + values[-1:] * ((1 << (len(values) - 1).bit_length()) - len(values)) if values else []
