"""What of a client's words may be shown: visible ASCII of bounded length, and of a path the words and versions."""

import re
from functools import lru_cache
from typing import Final

_LONGEST_ID: Final = 80
_VISIBLE: Final = re.compile(rf"[!-~]{{0,{_LONGEST_ID}}}")
# What a path may show: words and versions. All else may be an id, or something worse in the wrong place; what has a
# dash may be a key ("sk-…").
_WORD: Final = re.compile(r"v[0-9]{1,2}|[A-Za-z][A-Za-z_.]{0,31}|")


def printable(text: str) -> str:
    """`text` without anything but visible ASCII, and not too long."""
    if _VISIBLE.fullmatch(text):
        return text
    shown = text[:_LONGEST_ID].encode("ascii", "backslashreplace").decode("ascii")
    return re.sub(r"[^!-~]", lambda match: f"\\x{ord(match[0]):02x}", shown)


def masked(path: str) -> str:
    """A path with `{id}` for every segment that is no plain word; a query is never part of it.

    Most requests have one of a few paths, which are remembered.
    """
    return _remembered(path) if len(path) <= _LONGEST_ID else _masked(path)


def _masked(path: str) -> str:
    segments = path.partition("?")[0].split("/")
    return printable("/".join(segment if _WORD.fullmatch(segment) else "{id}" for segment in segments))


_remembered = lru_cache(256)(_masked)
