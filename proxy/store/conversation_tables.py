"""The tables of conversations in a database, and their statements: the same for SQLite and PostgreSQL.

A conversation is a row with its lock, and one for each turn; what a turn holds is one value, which `conversations`
writes and reads. Time is the database's own, so that the clocks of machines do not matter.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    Connection,
    Executable,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    any_,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from proxy.store.tables import ITEMS, METADATA, SLICE, adding, padded

CONVERSATIONS: Final = Table(
    "unpinned_conversations",
    METADATA,
    Column("key", LargeBinary, primary_key=True),
    Column("metadata", LargeBinary, nullable=False),
    Column("made", BigInteger, nullable=False, comment="Seconds since 1970."),
    Column("turns", Integer, nullable=False, comment="How many rows it has: a part of them is none."),
    Column("expires", BigInteger, nullable=False, comment="Seconds since 1970."),
    Column("lock", Text, comment="The token of its holder."),
    Column("lock_until", BigInteger, comment="Milliseconds since 1970."),
    Column("head", Text, nullable=False, comment="A response that has its first turns as its history."),
    Column("covered", Integer, nullable=False, comment="How many turns that are."),
    Column("waiting", LargeBinary, comment="The key of a response in the background that is waited for."),
    Column("waiting_turn", Integer),
    Index("unpinned_conversations_expires", "expires"),
    Index("unpinned_conversations_waiting", "waiting"),
)
TURNS: Final = Table(
    "unpinned_turns",
    METADATA,
    Column("conversation", LargeBinary, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("value", LargeBinary, nullable=False),
)

ITEM_COLUMNS: Final = tuple(column.name for column in ITEMS.columns)

_C: Final = CONVERSATIONS.c
_T: Final = TURNS.c
_KEY: Final = _C.key == bindparam("conversation")
_HELD: Final = _C.lock == bindparam("token")

CREATE: Final = insert(CONVERSATIONS)
ROWS: Final = select(_T.number, _T.value).where(_T.conversation == bindparam("conversation")).order_by(_T.number)
USED: Final = update(CONVERSATIONS).where(_KEY).values(expires=bindparam("until"))
WAITING: Final = select(_C.key, _C.lock, _C.waiting_turn).where(_C.waiting == bindparam("response"))

_FREED: Final = {"lock": None, "lock_until": None, "waiting": None, "waiting_turn": None}
_CHANGED: Final[dict[str, Any]] = {
    "turns": bindparam("count"),
    "head": case((bindparam("moves"), bindparam("response")), else_=_C.head),
    "covered": case((bindparam("moves"), bindparam("covers")), else_=_C.covered),
}
CHANGE: Final = update(CONVERSATIONS).where(_KEY, _HELD).values(_CHANGED)
"""conversation, token, count, moves, response, covers -> how many rows: one where the lock is held."""
CHANGE_LAST: Final = update(CONVERSATIONS).where(_KEY, _HELD).values(_CHANGED | _FREED)
"""The same; the lock is free behind it."""
FREE: Final = update(CONVERSATIONS).where(_KEY, _HELD).values(_FREED)
DESCRIBE: Final = update(CONVERSATIONS).where(_KEY, _HELD).values(_FREED | {"metadata": bindparam("sealed")})
GIVE_UP: Final = update(CONVERSATIONS).where(_KEY, _HELD).values(_FREED | {"expires": 0})
"""From now on it is not known, whatever happens before all of it is gone."""

FIRST_ROWS: Final = ROWS.limit(bindparam("most"))
DROP_ROW: Final = delete(TURNS).where(_T.conversation == bindparam("conversation"), _T.number == bindparam("turn"))
DROP: Final = delete(CONVERSATIONS).where(_KEY)
EXPIRED: Final = select(_C.key).where(_C.expires <= bindparam("now")).limit(bindparam("most"))
COUNT: Final = select(func.count()).select_from(CONVERSATIONS)


_VALUES: Final = select(ITEMS.c.key, ITEMS.c.value)
_ANY: Final = _VALUES.where(ITEMS.c.key == any_(bindparam("keys", type_=ARRAY(LargeBinary))))


@lru_cache(32)
def _values_of(count: int) -> str:
    return f"{_VALUES} WHERE {ITEMS.c.key} IN ({', '.join('?' * count)})"


def values(connection: Connection, keys: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of the items with these keys.

    The list is one parameter, or the words for it are kept: SQLAlchemy writes a statement with a list anew each time,
    which took as long as all the rest (CPU for 150 items: 3.8 ms with SQLite where it is 2.5 now, 5.2 with PostgreSQL
    where it is 2.4; 2026-11).
    """
    for start in range(0, len(keys), SLICE):
        asked = keys[start : start + SLICE]
        if connection.dialect.name == "postgresql":
            rows = connection.execute(_ANY, {"keys": asked})
        else:
            given = padded(asked)
            rows = connection.exec_driver_sql(_values_of(len(given)), tuple(given))
        yield from map(tuple, rows)


class Timed(NamedTuple):
    """Statements with a database's words for the time."""

    lock: Executable
    """conversation, token, milliseconds, until, now -> the record, where the lock was free and is taken."""
    renew: Executable
    """conversation, token, milliseconds, response, turn -> how many rows."""
    record: Executable
    """conversation, now -> what there is to know of it, and whether its lock is held; no row where it is not known."""
    row: Executable
    """A turn, new or in the place of another."""
    together: Mapping[bool, Executable]
    """CHANGE (True: CHANGE_LAST), `row`, and the items that get one use more, as one statement, where there is one.

    More than these: number, value, item_… (a list for each of `ITEM_COLUMNS`) -> a row where the lock is held.
    """


def timed(dialect: str) -> Timed:
    """The words of a database."""
    clock: dict[str, Any] = {
        "sqlite": cast((func.julianday("now") - 2440587.5) * 86_400_000, BigInteger),
        "postgresql": cast(func.date_part("epoch", func.clock_timestamp()) * 1000, BigInteger),
    }
    insert_: Any = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[dialect]
    now = clock[dialect]
    until = now + bindparam("milliseconds", type_=BigInteger)
    known = _C.expires > bindparam("now")
    # Who has it already may take it again: the answer to the first attempt may have been lost.
    free = or_(_C.lock.is_(None), _C.lock_until <= now, _C.lock == bindparam("token"))
    taken = {"lock": bindparam("token"), "lock_until": until, "waiting": None, "waiting_turn": None}
    lock = update(CONVERSATIONS).where(_KEY, known, free).values(taken | {"expires": bindparam("until")})
    renewed = {"lock_until": until, "waiting": bindparam("response"), "waiting_turn": bindparam("turn")}
    row = insert_(TURNS)
    if dialect == "postgresql":
        # A lock need not be on the disk before its answer: a server that crashes gives it back, and what its holder
        # writes next is refused then, or has the lock before it in the log.
        lock = lock.where(func.set_config("synchronous_commit", "off", True) == "off")
    return Timed(
        lock.returning(_C.metadata, _C.made, _C.turns, _C.head, _C.covered),
        update(CONVERSATIONS).where(_KEY, _HELD).values(renewed),
        select(
            _C.metadata, _C.made, _C.turns, _C.expires, _C.head, _C.covered, (_C.lock_until > now).label("held")
        ).where(_KEY, known),
        row.on_conflict_do_update(index_elements=("conversation", "number"), set_={"value": row.excluded.value}),
        {unlocks: _together(unlocks=unlocks) for unlocks in (False, True)} if dialect == "postgresql" else {},
    )


def _together(*, unlocks: bool) -> Executable:
    """A change as one statement in the place of three, of `BEGIN` and of `COMMIT`, each of which is a round trip."""
    held = (CHANGE_LAST if unlocks else CHANGE).returning(_C.key).cte("held")
    number = bindparam("number", type_=Integer)
    turn = postgresql.insert(TURNS).from_select(
        ["conversation", "number", "value"], select(held.c.key, number, bindparam("value", type_=LargeBinary))
    )
    turn = turn.on_conflict_do_update(index_elements=("conversation", "number"), set_={"value": turn.excluded.value})
    given = [ITEMS.c[name] for name in ITEM_COLUMNS]
    lists = [bindparam(f"item_{column.name}", type_=ARRAY(column.type)) for column in given]
    named = [Column(column.name, column.type) for column in given]
    table = func.unnest(*lists).table_valued(*named, name="given").render_derived()
    items = select(*[table.c[name] for name in ITEM_COLUMNS]).select_from(table).where(select(held.c.key).exists())
    added = adding(postgresql.insert(ITEMS).from_select([*ITEM_COLUMNS], items))
    return select(held.c.key).add_cte(turn.cte("turn"), added.cte("added"))
