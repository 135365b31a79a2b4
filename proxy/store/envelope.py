"""How an item is kept: what stands for it, and the bytes that an engine holds.

What is read back is what was written, or nothing: an entry that is cut, altered or of another place is not known.
"""

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, NamedTuple, Protocol

import msgspec

from proxy.responses.body.lenient import MalformedError, text
from proxy.responses.body.table import item_of
from proxy.responses.history.recall import is_id
from proxy.store.beside import beside

DIGEST: Final = 16
"""Bytes of what stands for an item."""


def owner(scope: str) -> bytes:
    """What stands for a scope in a store that others may look into."""
    return sha256(scope.encode()).digest()[:DIGEST]


def apart(digests: bytes) -> list[bytes]:
    """Digests that stand one after the other, each by itself."""
    return [digests[start : start + DIGEST] for start in range(0, len(digests), DIGEST)]


class _Head(msgspec.Struct):
    id: msgspec.Raw = msgspec.Raw()
    type: msgspec.Raw = msgspec.Raw()


_HEAD: Final = msgspec.json.Decoder(_Head)
"""A quarter of what it takes to read an item whole."""
_TYPE: Final = re.compile(rb'"[a-z_]+"')
_REFERENCE: Final = b'"item_reference"'


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

    def sign(self, response: bytes, previous: bytes, digests: bytes) -> bytes:
        """What shows later that a response had these items in this order, and continued this one; or nothing.

        Responses are named by their scope and id; one that continues none has nothing as its previous one.
        """

    def signed(self, response: bytes, previous: bytes, digests: bytes, signature: bytes) -> bool:
        """Whether this is a response as it was signed."""


class Plain:
    """Items are kept as they are, and lists are not signed."""

    def digest(self, item: bytes) -> bytes:
        """The first half of its SHA-256."""
        return sha256(item).digest()[:DIGEST]

    def close(self, scope: bytes, digest: bytes, item: bytes) -> bytes:  # noqa: ARG002 -- nothing hides it
        """The item itself."""
        return item

    def open(self, scope: bytes, digest: bytes, value: bytes) -> bytes | None:  # noqa: ARG002 -- as above
        """The item, if it is the one that the digest stands for."""
        return value if self.digest(value) == digest else None

    def sign(self, response: bytes, previous: bytes, digests: bytes) -> bytes:  # noqa: ARG002 -- there is no key
        """Nothing: who can write a plain store can write anything."""
        return b""

    def signed(self, response: bytes, previous: bytes, digests: bytes, signature: bytes) -> bool:  # noqa: ARG002
        """Yes: what a key signed is read without one as well, if its items can be."""
        return True


async def entries(envelope: Envelope, scope: bytes, items: Sequence[bytes], made: int) -> list[Entry]:
    """What is kept of items, in their order, the last `made` with their ids; many or large ones in another thread."""
    return await beside(items, _entries, envelope, scope, items, made)


async def opened(envelope: Envelope, scope: bytes, kept: Sequence[tuple[bytes, bytes]]) -> list[bytes | None]:
    """The items of which these are the digests and values; many or large ones are opened in another thread."""
    return await beside([value for _, value in kept], _opened, envelope, scope, kept)


def whole(items: Sequence[bytes | None]) -> tuple[bytes, ...] | None:
    """All items; None where one of them could not be read: half of a conversation is none."""
    read = tuple(item for item in items if item is not None)
    return read if len(read) == len(items) else None


def _entries(envelope: Envelope, scope: bytes, items: Sequence[bytes], made: int) -> list[Entry]:
    digests = [(envelope.digest(item), item) for item in items]
    given = len(items) - made
    return [
        Entry(digest, envelope.close(scope, digest, item), id_of(item) if place >= given else "")
        for place, (digest, item) in enumerate(digests)
    ]


def _opened(envelope: Envelope, scope: bytes, kept: Sequence[tuple[bytes, bytes]]) -> list[bytes | None]:
    return [envelope.open(scope, digest, value) for digest, value in kept]


def id_of(item: bytes) -> str:
    """The id by which an item is looked up; a reference to an item is not the item."""
    try:
        head = _HEAD.decode(item)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _id_of_odd(item)
    literal, type_ = bytes(head.id), bytes(head.type)
    if not literal:
        return ""
    if not _TYPE.fullmatch(type_) or type_ == _REFERENCE:
        return _id_of_odd(item)
    id_ = text(literal)
    return id_ if id_ is not None and is_id(id_) else ""


def _id_of_odd(item: bytes) -> str:
    try:
        found = item_of(item)
    except MalformedError:
        return ""
    id_ = found.id
    return id_ if id_ and is_id(id_) and found.kind.id != "reference" else ""
