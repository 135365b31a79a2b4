"""A message as HTTP/1.1 writes it (RFC 9112): its head, and the chunks of its body.

Pure. No head is written in which a field could begin a line of its own, and so another field or message.
"""

from collections.abc import Iterable
from typing import Final

LAST_CHUNK: Final = b"0\r\n\r\n"
_BREAKING: Final = b"\r\n\0"
"""What no field may have (RFC 9110, 5.5)."""


class BrokenHeadError(ValueError):
    """The head would have other lines than its fields."""


def head(first_line: bytes, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A head with its empty line. Raises BrokenHeadError."""
    lines = [first_line, *map(b": ".join, fields), b"\r\n"]
    raw = b"\r\n".join(lines)
    if len(raw.translate(None, _BREAKING)) != len(raw) - 2 * len(lines):  # beside the ends of its lines it has one
        raise BrokenHeadError
    return raw


def chunk(piece: bytes) -> list[bytes]:
    """One chunk of a chunked body; none for an empty piece, which would end the body."""
    return [b"%x\r\n" % len(piece), piece, b"\r\n"] if piece else []
