"""The tables of a store in a database, and its statements: the same for SQLite and PostgreSQL.

A response is a row with what it continues, and one for the place of each of its own items. An item is a row however
many responses have it, and lives as long as one of them does.

A key holds the scope and the name in one column, and statements look up keys only: with a second condition (scope, age)
PostgreSQL scanned all rows that meet it for each turn of a conversation.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Executable,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    bindparam,
    delete,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from proxy.responses.history.recording import ANSWER
from proxy.store.envelope import DIGEST

SLICE: Final = 1000
"""Keys of one statement, and items of one transaction that forgets."""

METADATA: Final = MetaData()
RESPONSES: Final = Table(
    "unpinned_responses",
    METADATA,
    Column("key", LargeBinary, primary_key=True),
    Column("previous", LargeBinary, comment="The key of the response that this one continues."),
    Column("length", Integer, nullable=False, comment="How many items it has: a part of them is none."),
    Column("size", BigInteger, nullable=False, comment="Bytes that these take."),
    Column("expires", BigInteger, nullable=False, comment="Seconds since 1970."),
    Column("signature", LargeBinary, comment="What shows that its items are those that were written."),
    Index("unpinned_responses_expires", "expires"),
)
PLACES: Final = Table(
    "unpinned_places",
    METADATA,
    Column("response", LargeBinary, primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("item", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
ITEMS: Final = Table(
    "unpinned_items",
    METADATA,
    Column("key", LargeBinary, primary_key=True),
    Column("named", LargeBinary, comment="The key made of its id."),
    Column("responses", Integer, nullable=False, comment="How many responses have it; twice in one is two."),
    Column("written", BigInteger, nullable=False, comment="Milliseconds since 1970."),
    Column("size", BigInteger, nullable=False, comment="Bytes of the value."),
    Column("value", LargeBinary, nullable=False),
    Index("unpinned_items_named", "named"),
)
SCHEMA: Final = Table("unpinned_schema", METADATA, Column("version", Integer, nullable=False))

_R: Final = RESPONSES.c
_P: Final = PLACES.c
_I: Final = ITEMS.c
_KEYS: Final[Any] = bindparam("keys", expanding=True)


def _conversation() -> Executable:
    """A response and all that it continues, as far as that is known; a circle ends where it closes.

    The previous response is looked up, not joined: PostgreSQL joins by a scan for each turn while the table
    is small (500 turns: 21 instead of 9 ms, PostgreSQL 15, 2026-11).
    """
    chain = select(_R.key, _R.previous).where(_R.key == bindparam("response")).cte("chain", recursive=True)
    before = select(_R.previous).where(_R.key == chain.c.previous).scalar_subquery()
    chain = chain.union(select(chain.c.previous, before).where(chain.c.previous.is_not(None)))
    turns = chain.join(RESPONSES, _R.key == chain.c.key)
    whole = turns.outerjoin(PLACES, _P.response == _R.key).outerjoin(ITEMS, _I.key == _P.item)
    size = select(func.sum(_R.size)).where(_R.key.in_(select(chain.c.key))).scalar_subquery()
    found = select(_R.key, _R.previous, _R.length, _R.expires, _R.signature, _P.place, _P.item, _I.value)
    return found.select_from(whole).where(size <= bindparam("largest"))


def _named() -> Executable:
    """Items by the keys made of their ids, the newest first until they are too much."""
    before = func.sum(_I.size).over(order_by=(_I.written.desc(), _I.key))
    sized = select(_I.key, before.label("total")).where(_I.named.in_(_KEYS)).cte("sized")
    found = select(_I.named, _I.key, _I.value).join(sized, sized.c.key == _I.key)
    return found.where(sized.c.total <= bindparam("largest")).order_by(_I.written)


CONVERSATION: Final = _conversation()
"""response, largest -> key, previous, length, expires, signature, place, item, value: a row for each item, in no order.

A response without items has a row without a place, and a place whose item is gone has no value. Of a conversation of
more than `largest` bytes there is no row.
"""
NAMED: Final = _named()
"""keys made of ids, largest -> named, key, value of at most so many bytes; what was written last comes last."""
RENEW: Final = update(RESPONSES).where(_R.key.in_(_KEYS)).values(expires=bindparam("until"))
"""keys, until."""

EXPIRED: Final = select(_R.key, _R.length).where(_R.expires <= bindparam("now")).limit(bindparam("most"))
"""now, most -> key, length of at most so many responses that were not used for the TTL."""
_PLACES: Final = select(_P.response, _P.place).where(_P.response.in_(_KEYS)).limit(bindparam("most"))
VACATE: Final = delete(PLACES).where(tuple_(_P.response, _P.place).in_(_PLACES)).returning(_P.item)
"""keys of responses, most -> item, of at most so many places."""
_VACANT: Final = ~select(_P.response).where(_P.response == _R.key).exists()
DROP: Final = delete(RESPONSES).where(_R.key.in_(_KEYS), _VACANT).returning(_R.key)
"""keys -> key, of those that have no place any more."""
RELEASE: Final = update(ITEMS).where(_I.key == bindparam("item")).values(responses=_I.responses - bindparam("times"))
"""item, times."""
SWEEP: Final = delete(ITEMS).where(_I.key.in_(_KEYS), _I.responses <= 0)
"""keys."""
_NAMED_ANSWER: Final = func.substr(_R.key, DIGEST + 1, len(ANSWER)) == ANSWER.encode()
COUNTS: Final = select(
    select(func.count()).select_from(RESPONSES).where(~_NAMED_ANSWER).scalar_subquery(),
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
    return Inserts(insert(RESPONSES), insert(PLACES), adding(insert(ITEMS)))


def adding(item: Any) -> Any:
    """The same insert of items, which adds uses to those that are there."""
    more = {"responses": _I.responses + item.excluded.responses, "written": item.excluded.written}
    return item.on_conflict_do_update(index_elements=("key",), set_=more)


def padded(asked: Sequence[bytes]) -> list[bytes]:
    """The same values in a list as long as a power of two: a database then sees few different statements."""
    values = list(asked)
    return values + values[-1:] * ((1 << (len(values) - 1).bit_length()) - len(values)) if values else []
