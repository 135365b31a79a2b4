"""A long array of many elements is read in slices: a decoder holds the interpreter's lock, and other requests wait.

A slice ends between two elements. Where that is cannot be seen from the bytes alone, but a place that looks like it is
one exactly if what stands in front of it decodes: then all its brackets are closed.
"""

import re
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from proxy.responses.body.giving_way import give_way
from proxy.responses.body.lenient import Span
from proxy.responses.body.size import fewer_than

LONGEST: Final = 256 * 1024
"""Bytes that are read at one go: a millisecond or two, whatever they hold."""
_TRIES: Final = 8
_STEP: Final = 1024
# The end of an element and the beginning of the next. No string holds this: its quotes would be written with escapes.
_BETWEEN: Final = re.compile(rb'\}[ \n\r\t]{0,64}(,)[ \n\r\t]{0,64}\{[ \n\r\t]{0,64}"(?:type|role|id)"')

_LONG: Final = 16 * 1024 * 1024
"""Bytes of a body that is read at one go, whatever they are: 10 ms of text, 30 ms of white space (measured 2026-11)."""

_FEW: Final = 2_000
"""Objects that are read in a millisecond or two."""
_AT_ONCE: Final = 4 * 1024 * 1024
"""Bytes that are searched at one go: some three milliseconds."""
_WINDOW: Final = 64 * 1024
_COLON: Final = re.compile(rb"[ \t\n\r]{0,64}:")

T = TypeVar("T")


def resists_decoding(body: bytes) -> bool:
    """Whether a decoder would hold the lock for long: by long keys and white space, three times as long as by text."""
    return len(body) > _LONG and (_is_mostly_space(body) or _has_long_key(body))


def _is_mostly_space(body: bytes) -> bool:
    other = 0
    for start in range(0, len(body), LONGEST):
        give_way()
        other += len(body[start : start + LONGEST].translate(None, b" \t\n\r"))
    return 2 * other < len(body)


def _has_long_key(body: bytes) -> bool:
    """Whether a key is so long that a whole window is in it."""
    position = 0
    while position < len(body):
        give_way()
        quote = body.find(b'"', position, position + _WINDOW)
        if quote < 0:
            quote = body.find(b'"', position)
            if quote < 0 or _COLON.match(body, quote + 1):
                return True
            position = quote
        position += _WINDOW
    return False


def holds(body: bytes, mark: bytes, span: Span) -> bool:
    """Whether `mark` stands in a span of `body`."""
    for start in range(*span, _AT_ONCE):
        give_way()
        end = min(start + _AT_ONCE + len(mark) - 1, span[1])
        first = body.find(mark[:1], start, end)  # one byte is found ten times as fast
        if first >= 0 and body.find(mark, first, end) >= 0:
            return True
    return False


def decoded(decode: Callable[[bytes | memoryview], list[T]], body: bytes, span: Span) -> list[T]:
    """What `decode` makes of the elements of the array at `span`, slice by slice. Raises what a decoder raises."""
    start, end = span
    # With few objects in it a decoder reads it about as quickly as plain text.
    if end - start <= LONGEST or (end - start <= _LONG and fewer_than(_FEW, body, b"{", start, end) is not None):
        return decode(memoryview(body)[start:end])
    found: list[T] = []
    position = start + 1
    while position:
        part, position = _slice(decode, body, position, end)
        found += part
    return found


def _slice(decode: Callable[[bytes | memoryview], list[T]], body: bytes, start: int, end: int) -> tuple[list[T], int]:
    """The elements from `start` on, and where the next slice begins; 0: nowhere."""
    look, step = start + LONGEST, _STEP
    for _ in range(_TRIES):
        between = _found(body, look, end)
        if between is None:
            break
        try:
            return decode(_array(body, start, between.start(1), b"]")), between.end(1)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:  # within an element
            look, step = between.end() + step, step * 2
    return decode(_array(body, start, end)), 0


def _array(body: bytes, start: int, end: int, closing: bytes = b"") -> bytes:
    """The elements as an array, copied once."""
    give_way()
    copied = b"".join((b"[", memoryview(body)[start:end], closing))
    give_way()
    return copied


def _found(body: bytes, look: int, end: int) -> "re.Match[bytes] | None":
    while look < end:
        give_way()
        match = _BETWEEN.search(body, look, min(look + LONGEST, end))
        if match is not None:
            return match
        look += LONGEST - 256
    return None
