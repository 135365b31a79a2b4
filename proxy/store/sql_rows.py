"""The rows of a store in a database: which turns and items they are. Without I/O."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

from proxy.store.envelope import DIGEST, Entry, Envelope


class Turn(NamedTuple):
    """A response."""

    previous: bytes | None
    length: int
    expires: int
    signature: bytes
    places: list[Any]
    """Rows of its items, in no order."""


def key_of(scope: bytes, name: str) -> bytes:
    """The key of something of a scope; the scope's part has a fixed length."""
    return scope + name.encode()


def _turn(row: Any) -> Turn:
    return Turn(row.previous, row.length, row.expires, row.signature or b"", [])


def turns_of(rows: Iterable[Any]) -> dict[bytes, Turn]:
    """The turns that `tables.CONVERSATION` found, by the keys of their responses."""
    turns: dict[bytes, Turn] = {}
    for row in rows:
        turn = turns.get(row.key) or turns.setdefault(row.key, _turn(row))
        if row.place is not None:
            turn.places.append(row)
    return turns


def in_order(turns: Mapping[bytes, Turn], response: bytes, now: int, envelope: Envelope) -> list[Any] | None:
    """The places of a conversation from its first item on; None where a part is missing or not as it was written."""
    chain: list[list[Any]] = []
    left = dict(turns)
    key: bytes | None = response
    while key is not None:
        turn = left.pop(key, None)
        if turn is None or turn.expires <= now or len(turn.places) != turn.length:
            return None
        places = sorted(turn.places, key=lambda row: row.place)
        digests = b"".join(place.item[DIGEST:] for place in places)
        if not envelope.signed(key, turn.previous or b"", digests, turn.signature):
            return None
        chain.append(places)
        key = turn.previous
    found = [place for places in reversed(chain) for place in places]
    return found if all(place.value is not None for place in found) else None


Rows = list[dict[str, Any]]
_KEY: Final = itemgetter("key")


class Written(NamedTuple):
    """The rows that a record is: its own, one for each item, and one for each place."""

    response: dict[str, Any]
    items: Rows
    places: Rows


def in_one_order(written: Iterable[Written]) -> Rows:
    """The rows of the items of several records: by their keys, so that two writers cannot deadlock."""
    return sorted((row for record in written for row in record.items), key=_KEY)


def rows_of(scope: bytes, response: bytes, kept: Sequence[Entry]) -> tuple[Rows, Rows]:
    """A row for each item, by its key; and one for each place."""
    uses = Counter(entry.digest for entry in kept)
    written = time.time_ns() // 1_000_000
    items: Rows = [
        {
            "key": scope + entry.digest,
            "named": key_of(scope, entry.id) if entry.id else None,
            "responses": uses[entry.digest],
            "written": written,
            "size": len(entry.value),
            "value": entry.value,
        }
        for entry in sorted({entry.digest: entry for entry in kept}.values())
    ]
    return items, [
        {"response": response, "place": place, "item": scope + entry.digest} for place, entry in enumerate(kept)
    ]


def few_of(rows: Iterable[Any], most: int) -> list[bytes]:
    """The keys of the first responses that have so many items in all; of one, however many it has."""
    keys: list[bytes] = []
    for row in rows:
        most -= row.length
        if keys and most < 0:
            break
        keys.append(row.key)
    return keys
