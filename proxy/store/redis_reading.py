"""What one lookup in Redis has found so far, and what it asks next; without I/O.

A lookup is one question where a conversation is of ordinary size; what exceeds `ITEMS` or `BYTES` is asked for in
further ones, so that no question keeps Redis from others. Whatever changes in between makes the conversation unknown.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from proxy.store.envelope import DIGEST, Envelope, apart

ITEMS: Final = 500
"""Turns, items and ids of one question: 3 ms (Redis 7.0 on two slow cores, 2026-11)."""
BYTES: Final = 1024 * 1024
"""Bytes of items that are enough for one answer: 3 ms."""

Item = tuple[bytes, bytes]
"""A digest, and what is kept of the item."""


class ForeignAnswerError(Exception):
    """Redis answered another question: the connection is out of step."""


class _Turn(NamedTuple):
    id: bytes
    previous: bytes
    digests: bytes
    signature: bytes


class Reading:
    """A lookup of a conversation by the id of its last response, of items by theirs, or of items by their digests."""

    def __init__(
        self, response_id: str | None, ids: Sequence[str], largest: int, digests: Sequence[bytes] = ()
    ) -> None:
        self._ids = ids
        self._largest = largest
        self._next = (response_id or "").encode()
        self._unread: list[bytes] = [*dict.fromkeys(digests)]
        """Digests of turns that came without their items."""
        self._read = 0
        """How many of these have come since."""
        self._turns: dict[bytes, _Turn] | None = {} if response_id else None
        """From the last to the first; None where the conversation is not known."""
        self._renew = False
        self._named: list[bytes] = []
        """The digests of the first of `ids`."""
        self._values: dict[bytes, bytes] = {}
        """By digest; what is empty is not kept."""
        self._size = 0
        self.pieces: list[tuple[bytes, int]] = []
        """Digests of which further pieces are to be added, and in how many pieces they are kept."""

    def question(self) -> tuple[Any, ...] | None:
        """What to ask: a response id, whether to renew, digests in one piece, item ids; None where all is known."""
        while self._read < len(self._unread) and self._unread[self._read] in self._values:
            self._read += 1
        wanted = self._unread[self._read : self._read + ITEMS]
        known = len(self._named)
        ids = self._ids[known : known + ITEMS] if self._size <= 2 * self._largest else ()
        if not (wanted or self._next or ids):
            return None
        return self._next, b"1" if self._renew else b"0", b"".join(wanted), *ids

    def take(self, answer: Any) -> None:
        """Take what Redis answers, without the word in front. Raises ForeignAnswerError where it does not fit."""
        try:
            turns, items, named, large = answer
            self._values.update(zip(items[::2], items[1::2], strict=True))
            self._size += sum(map(len, items[1::2]))
            self._take_turns(turns)
            self._named += named
            self.pieces += [(digest, int(count)) for digest, count in _each(large, 2)]
        except (TypeError, ValueError) as error:
            raise ForeignAnswerError from error
        if not (turns or items or named) or len(self._named) > len(self._ids):
            raise ForeignAnswerError
        if self._size > 2 * self._largest:
            self._unknown()

    def _take_turns(self, told: Sequence[bytes]) -> None:
        for id_, previous, digests, signature, due in _each(told, 5):
            if self._turns is None or id_ in self._turns or len(digests) % DIGEST:
                return self._unknown()
            self._turns[id_] = _Turn(id_, previous, digests, signature)
            self._unread += [digest for digest in apart(digests) if digest not in self._values]
            self._next = previous
            self._renew |= bool(due)
        return None

    def join(self, digest: bytes, pieces: Sequence[bytes | None]) -> None:
        """Add the further pieces of an item; where one is missing the item is not known."""
        more = [piece for piece in pieces if piece is not None]
        self._size += sum(map(len, more))
        self._values[digest] = b"".join([self._values[digest], *more]) if len(more) == len(pieces) else b""

    def _unknown(self) -> None:
        self._turns, self._next, self._unread = None, b"", []

    def conversation(self, scope: bytes, envelope: Envelope) -> list[Item] | None:
        """All items in order.

        None where a turn or an item is missing, a turn is not as it was written, or all are more than `largest` bytes.
        """
        if self._turns is None:
            return None
        digests: list[bytes] = []
        for turn in reversed(self._turns.values()):
            previous = scope + turn.previous if turn.previous else b""
            if not envelope.signed(scope + turn.id, previous, turn.digests, turn.signature):
                return None
            digests += apart(turn.digests)
        values = [self._values[digest] for digest in digests]
        return [*zip(digests, values, strict=True)] if all(values) and sum(map(len, values)) <= self._largest else None

    def values(self, digests: Sequence[bytes]) -> list[bytes]:
        """What is kept of items; `b""` of one that is not there."""
        return [self._values.get(digest, b"") for digest in digests]

    def items(self) -> Iterator[tuple[str, Item]]:
        """Those that were asked for by their ids and are known, of at most `largest` bytes in all."""
        left = self._largest
        for id_, digest in zip(self._ids, self._named, strict=False):
            value = self._values.get(digest, b"")
            left -= len(value)
            if value and left >= 0:
                yield id_, (digest, value)


def _each(told: Sequence[bytes], size: int) -> Iterator[Any]:
    if len(told) % size:
        raise ValueError
    return (told[start : start + size] for start in range(0, len(told), size))
