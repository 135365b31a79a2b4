"""A message as HTTP/1.1 writes it (RFC 9112): its head, and the chunks of its body.

Pure. No head is written in which a field could begin a line of its own, and so another field or message.
"""

from collections.abc import Iterable
from typing import Final

LAST_CHUNK: Final = b"0\r\n\r\n"


class BrokenHeadError(ValueError):
    """The head would have other lines than its fields."""


def head(first_line: bytes, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A head with its empty line. Raises BrokenHeadError."""
    lines = [first_line, *map(b": ".join, fields), b"\r\n"]
    raw = b"\r\n".join(lines)
    if not raw.count(b"\n") == raw.count(b"\r") == len(lines) or b"\0" in raw:
        raise BrokenHeadError
    return raw


def chunk(piece: bytes) -> list[bytes]:
    """One chunk of a chunked body; none for an empty piece, which would end the body."""
    return [b"%x\r\n" % len(piece), piece, b"\r\n"] if piece else []
