"""How much there is in a body: what reading it costs depends on that, not on its size.

A megabyte of text is read in a millisecond; a megabyte of brackets in a second, and it becomes a hundred megabytes.
"""

from typing import Final

from proxy.responses.body.giving_way import give_way
from proxy.responses.steps import INLINE

MOST: Final = 500_000
"""Values of a body that is read. A conversation that fills a model's context has a tenth of it."""
CLOSELY: Final = 64
"""A byte for the slower reader, as so many for the quick one, up to what is done beside the event loop: beyond that the
driver reserves memory by the cost, and this takes time only. Four kilobytes of brackets take it ten milliseconds."""

_FEW: Final = 1_000
_AT_ONCE: Final = 1024 * 1024
"""Bytes that are counted at one go, as other threads wait meanwhile."""
_SMALL: Final = 4 * 1024
"""Bytes up to which objects are not counted: there cannot be many."""
_BYTES: Final = 4
_OBJECT: Final = 64


class TooComplexError(Exception):
    """In `strip` mode, a body with more values than are read. Sent on unread, it could name what must not leave."""


def cost(size: int, objects: int = 0) -> int:
    """What a look at `size` bytes with so many objects costs, by the measure of `INLINE`.

    That stands for ten milliseconds, as long as the event loop may be held. At most so long take 256 KiB of text, or a
    thousand objects (measured 2026-11).
    """
    return max(size // _BYTES, _OBJECT * objects)


def cost_of(body: bytes, size: int = 0) -> int:
    """The same of a body of which nothing is known; `size` is that of what goes with it, itself included."""
    size = size or len(body)
    return cost(size, containers(body) if _SMALL < size <= INLINE * _BYTES else 0)


def holds_too_much(body: bytes) -> bool:
    """Whether there may be more than `MOST` values in `body`; a shorter one cannot hold so many."""
    return len(body) > MOST and weight(body) > MOST


def weight(body: bytes) -> int:
    """How many values are in `body`, at most: its text may hold the same marks."""
    return _count(body, b",") + containers(body)


def containers(body: bytes) -> int:
    """How many objects and arrays are in `body`, at most."""
    return _count(body, b"{") + _count(body, b"[")


def fewer_than(most: int, body: bytes, mark: bytes, start: int, end: int) -> int | None:
    """How often `mark`, one byte, is in a span of `body`, if fewer than `most` times; else None."""
    position = start - 1
    for number in range(most):
        position = body.find(mark, position + 1, end)
        if position < 0:
            return number
    return None


def _count(body: bytes, mark: bytes) -> int:
    """How often `mark`, one byte, is in `body`. Looking for the next one is ten times as fast where there are few."""
    few = fewer_than(_FEW, body, mark, 0, len(body))
    if few is not None:
        return few
    found = 0
    for start in range(0, len(body), _AT_ONCE):
        give_way()
        found += body.count(mark, start, start + _AT_ONCE)
    return found
