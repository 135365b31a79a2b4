"""The slower reader: spans of JSON that a fast parser refuses, found without ever decoding a value.

Takes what upstream may well take: lone surrogates, NaN, any depth, keys written twice or with escapes.
It never recurses, and reads each byte once. A regular expression holds the interpreter's lock while it matches: of a
string or white space it takes a slice at a time, so that other requests need not wait for the end of a long one.
"""

import json
import re

from proxy.responses.body.giving_way import give_way
from proxy.responses.body.member import Member

_SLICE_LENGTH = 65536
_SLICE_OF_SPACE = rb"[ \t\n\r]{0,65536}+"
_SPACE = re.compile(_SLICE_OF_SPACE)
# A slice of a string: at most so many runs between escapes, each of so many bytes; and the quote that ends it.
_SLICE = rb'[^"\\]{0,65536}+(?:\\.[^"\\]{0,65536}+){0,4096}+("?)'
_REST = re.compile(_SLICE, re.DOTALL)
# What stands where a value is expected: the first slice of a string, another scalar, or what opens a container.
_VALUE = re.compile(
    _SLICE_OF_SPACE + rb'(?:(")' + _SLICE + rb"|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][-+]?[0-9]++)?+|"
    rb"true|false|null|NaN|-?Infinity|([\[{]))",
    re.DOTALL,
)
_KEY = re.compile(_SLICE_OF_SPACE + rb'(")' + _SLICE, re.DOTALL)
_COLON = re.compile(_SLICE_OF_SPACE + rb":")
_AFTER = re.compile(_SLICE_OF_SPACE + rb"([,\]}])")

LONGEST_KEY = 1024 * 1024
_CLOSING = {0x7B: 0x7D, 0x5B: 0x5D}


class MalformedError(ValueError):
    """The bytes are no JSON, not even in the lenient reading."""


Span = tuple[int, int]
"""The offsets of a value: its first byte and the byte after it."""


def skip_space(body: bytes, position: int) -> int:
    """The offset of the first byte from `position` on that is no JSON white space."""
    while match := _SPACE.match(body, position):
        give_way()
        if match.end() - position < _SLICE_LENGTH:
            return match.end()
        position = match.end()
    return position


def _matched(pattern: "re.Pattern[bytes]", body: bytes, position: int) -> "re.Match[bytes]":
    """What is at `position`, however much white space is in front of it. Raises MalformedError."""
    match = pattern.match(body, position) or pattern.match(body, skip_space(body, position))
    if match is None:
        raise MalformedError
    return match


def value_end(body: bytes, position: int) -> int:
    """The offset after the value that begins at `position` (white space in front allowed). Raises MalformedError."""
    closings: list[int] = []
    while True:
        give_way()
        match = _matched(_VALUE, body, position)
        position = match.end()
        if match[1] and not match[2]:
            position = _string_end(body, position)
        elif match[3]:
            opening = body[position - 1]
            position, opened = _opened(body, position, opening)
            if opened:
                closings.append(_CLOSING[opening])
                continue
        position = _after_values(body, position, closings)
        if not closings:
            return position


def _opened(body: bytes, position: int, opening: int) -> tuple[int, bool]:
    """Behind an opening bracket: the offset of its first value, or behind its closing one if there is none."""
    inside = skip_space(body, position)
    if body[inside : inside + 1] == bytes((_CLOSING[opening],)):
        return inside + 1, False
    return _behind_key(body, inside, _CLOSING[opening]), True


def _after_values(body: bytes, position: int, closings: list[int]) -> int:
    """Behind a value: close what closes, and return the offset of the next value (or the end, nothing being open)."""
    while closings:
        match = _matched(_AFTER, body, position)
        position = match.end()
        mark = body[position - 1]
        if mark == 0x2C:
            return _behind_key(body, position, closings[-1])
        if mark != closings.pop():
            raise MalformedError
    return position


def _behind_key(body: bytes, position: int, closing: int) -> int:
    if closing == 0x5D:
        return position
    return _key(body, position)[2]


def _key(body: bytes, position: int) -> tuple[int, int, int]:
    """The offsets of a key's first byte, of the byte behind it, and of that behind its colon."""
    match = _matched(_KEY, body, position)
    end = match.end() if match[2] else _string_end(body, match.end())
    return match.start(1), end, _matched(_COLON, body, end).end()


def _string_end(body: bytes, position: int) -> int:
    """The offset after a string of which a slice ends at `position`."""
    while True:
        give_way()
        match = _REST.match(body, position)
        if match is None or match.end() == position:
            raise MalformedError
        position = match.end()
        if match[1]:
            return position


def members(body: bytes, start: int) -> list[Member]:
    """The members of the object that begins at `start`, in order, duplicates included. Raises MalformedError."""
    found: list[Member] = []
    position = skip_space(body, start + 1)
    while body[position : position + 1] != b"}":
        if found:
            position = skip_space(body, position + 1)  # behind the comma, which value_end's caller has seen
        start_of_key, end_of_key, position = _key(body, position)
        value = skip_space(body, position)
        end = value_end(body, value)
        found.append(Member(_name(body, start_of_key, end_of_key), start_of_key, value, end))
        position = _separator(body, end, b",}")
    return found


def elements(body: bytes, start: int) -> list[Span]:
    """The elements of the array that begins at `start`, in order. Raises MalformedError."""
    found: list[Span] = []
    position = skip_space(body, start + 1)
    while body[position : position + 1] != b"]":
        if found:
            position = skip_space(body, position + 1)
        end = value_end(body, position)
        found.append((position, end))
        position = _separator(body, end, b",]")
    return found


def _separator(body: bytes, position: int, allowed: bytes) -> int:
    position = skip_space(body, position)
    if body[position : position + 1] not in (allowed[:1], allowed[1:]):
        raise MalformedError
    return position


def _name(body: bytes, start: int, end: int) -> str:
    """What a key says; of one that is longer than any that is looked for, how it begins."""
    if end - start > LONGEST_KEY:
        return body[start : start + LONGEST_KEY].decode("utf-8", "replace")
    return _text(body[start:end])


def _text(literal: bytes) -> str:
    decoded = literal.decode("utf-8", "surrogateescape")
    if "\\" not in decoded:
        return decoded[1:-1]
    try:
        return str(json.loads(decoded, strict=False))
    except ValueError as error:
        raise MalformedError from error


def text(literal: bytes) -> str | None:
    """The text of a JSON string literal; None where the literal is something else or holds a bad escape."""
    if literal[:1] != b'"':
        return None
    try:
        return _text(literal)
    except MalformedError:
        return None
