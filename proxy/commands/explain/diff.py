"""JSON for people: one member a line, long strings cut short, and the difference of two bodies. No I/O."""

import difflib
import json
from collections.abc import Iterator
from typing import Any, Final

LONGEST: Final = 100
"""Characters of a string that are shown."""
_MOST_LINES: Final = 20_000
_DEEPEST: Final = 100


class _Members(list[tuple[str, Any]]):
    """An object as it was written: a key may stand there twice."""


class _Literal(str):
    """A number as it was written."""

    __slots__ = ()


def difference(came: bytes, sent: bytes) -> list[str]:
    """The lines of a unified difference of two JSON texts, without what is the same in both."""
    one, other = lines(came), lines(sent)
    if max(len(one), len(other)) > _MOST_LINES:
        return [f"(the difference is not shown: there are more than {_MOST_LINES} lines)"]
    return list(difflib.unified_diff(one, other, "as it came", "as it is sent", lineterm=""))


def lines(body: bytes) -> list[str]:
    """A JSON text, one member or element a line."""
    try:
        value = json.loads(
            body.decode("utf-8-sig", "surrogatepass"),
            object_pairs_hook=_Members,
            parse_float=_Literal,
            parse_int=_Literal,
            parse_constant=_Literal,
        )
        return list(_written(value, 0, "", ""))
    except RecursionError:
        return ["(nested too deeply to be shown)"]


def _written(value: Any, depth: int, lead: str, behind: str) -> Iterator[str]:
    """The lines of `value`; `lead` is its key, `behind` the comma after it."""
    inner: list[tuple[str, Any]] = []
    opening, closing = "", ""
    if isinstance(value, _Members):
        opening, closing = "{", "}"
        inner = [(f"{_quoted(key)}: ", member) for key, member in value]
    elif isinstance(value, list):
        opening, closing = "[", "]"
        inner = [("", element) for element in value]
    if not inner or depth == _DEEPEST:
        yield f"{'  ' * depth}{lead}{_short(value, opening + closing)}{behind}"
        return
    yield f"{'  ' * depth}{lead}{opening}"
    for place, (key, one) in enumerate(inner, 1):
        yield from _written(one, depth + 1, key, "," if place < len(inner) else "")
    yield f"{'  ' * depth}{closing}{behind}"


def _short(value: Any, brackets: str) -> str:
    if isinstance(value, list):
        return brackets if not value else f"{brackets[0]}…{brackets[1]}"
    if isinstance(value, _Literal):
        return str(value)
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    shown = json.dumps(text if len(text) <= LONGEST else text[: LONGEST - 20], ensure_ascii=False)
    # What is written to a terminal must not be able to steer it.
    shown = "".join(sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in shown)
    return shown if len(text) <= LONGEST else f'{shown[:-1]}…" ({len(text):,} characters)'
