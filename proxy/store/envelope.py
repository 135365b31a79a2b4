"""How an item is kept: what stands for it, and the bytes that an engine holds.

What is read back is what was written, or nothing: an entry that is cut, altered or of another place is not known.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final, NamedTuple, Protocol

from proxy.store.ids import ids_of

DIGEST: Final = 16
"""Bytes of what stands for an item."""


def owner(scope: str) -> bytes:
    """What stands for a scope in a store that others may look into."""
    return sha256(scope.encode()).digest()[:DIGEST]


def apart(digests: bytes) -> list[bytes]:
    """Digests that stand one after the other, each by itself."""
    return [digests[start : start + DIGEST] for start in range(0, len(digests), DIGEST)]


class Entry(NamedTuple):
    """An item as an engine keeps it."""

    digest: bytes
    value: bytes
    id: str
    """Its id, or nothing."""


class Envelope(Protocol):
    """What an item is put into. `scope` is an `owner`: nothing of one can be taken for another's."""

    def digest(self, item: bytes) -> bytes:
        """`DIGEST` bytes that stand for an item; the same item has the same."""

    def close(self, scope: bytes, digest: bytes, item: bytes) -> bytes:
        """What is kept of an item."""

    def open(self, scope: bytes, digest: bytes, value: bytes) -> bytes | None:
        """The item that was kept; None where this is not what was kept of it."""


class Plain:
    """Items are kept as they are."""

    def digest(self, item: bytes) -> bytes:
        """The first half of its SHA-256."""
        return sha256(item).digest()[:DIGEST]

    def close(self, scope: bytes, digest: bytes, item: bytes) -> bytes:  # noqa: ARG002 -- nothing hides it
        """The item itself."""
        return item

    def open(self, scope: bytes, digest: bytes, value: bytes) -> bytes | None:  # noqa: ARG002 -- as above
        """The item, if it is the one that the digest stands for."""
        return value if self.digest(value) == digest else None


def entries(envelope: Envelope, scope: bytes, items: Iterable[bytes]) -> list[Entry]:
    """What is kept of items, in their order."""
    digests = [(envelope.digest(item), item) for item in items]
    return [Entry(digest, envelope.close(scope, digest, item), next(ids_of(item), "")) for digest, item in digests]
