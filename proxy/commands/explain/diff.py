"""JSON for people: one member a line, long strings cut short, and the difference of two bodies. No I/O."""

import difflib
import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

LONGEST: Final = 100
"""Characters of a string that are shown."""
_CLOSE: Final = 40_000
"""Pairs of lines between two anchors up to which they are compared one by one."""
_DEEPEST: Final = 100


class _Members(list[tuple[str, Any]]):
    """An object as it was written: a key may stand there twice."""


class _Literal(str):
    """A number as it was written."""

    __slots__ = ()


def difference(came: bytes, sent: bytes) -> list[str]:
    """The lines of a unified difference of two JSON texts, without what is the same in both."""
    one, other = lines(came), lines(sent)
    matcher = difflib.SequenceMatcher(None, "", "")
    # What it would find itself in a time that grows with the square of the lines.
    matcher.opcodes = [*_opcodes(one, other)]  # type: ignore[attr-defined]
    shown = ["--- as it came", "+++ as it is sent"]
    for group in matcher.get_grouped_opcodes():
        (_, start, _, begin, _), (_, _, end, _, finish) = group[0], group[-1]
        shown.append(f"@@ -{start + 1},{end - start} +{begin + 1},{finish - begin} @@")
        for kind, here, there, place, until in group:
            if kind == "equal":
                shown += [f" {line}" for line in one[here:there]]
            else:
                shown += [f"-{line}" for line in one[here:there]] + [f"+{line}" for line in other[place:until]]
    return shown


def _opcodes(one: list[str], other: list[str]) -> Iterator[tuple[Any, int, int, int, int]]:
    """What leads from the lines of one to those of the other, as difflib names it."""
    i = j = start = begin = 0
    for here, there in [*_same(one, other), (len(one), len(other))]:
        if here > i or there > j or here == len(one):
            if i > start:
                yield "equal", start, i, begin, j
            if here > i or there > j:
                yield ("delete" if there == j else "insert" if here == i else "replace"), i, here, j, there
            start, begin = here, there
        i, j = here + 1, there + 1


def _same(one: list[str], other: list[str]) -> Iterator[tuple[int, int]]:
    """Pairs of places at which both have the same line, in order: those that are there once, and what is between."""
    i = j = 0
    for here, there in [*_anchors(one, other), (len(one), len(other))]:
        if (here - i) * (there - j) <= _CLOSE:
            matcher = difflib.SequenceMatcher(None, one[i:here], other[j:there], autojunk=False)
            for block in matcher.get_matching_blocks():
                yield from ((i + block.a + step, j + block.b + step) for step in range(block.size))
        if here < len(one):
            yield here, there
        i, j = here + 1, there + 1


def _anchors(one: list[str], other: list[str]) -> list[tuple[int, int]]:
    """The longest run of pairs, in order in both, of lines that each has once ("patience diff")."""
    places = {line: place for place, line in enumerate(other)}
    here, there = Counter(one), Counter(other)
    pairs = [(place, places[line]) for place, line in enumerate(one) if here[line] == there[line] == 1]
    ends: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for number, (_, place) in enumerate(pairs):
        length = bisect_left(ends, place)
        before.append(last[length - 1] if length else -1)
        ends[length : length + 1] = [place]
        last[length : length + 1] = [number]
    run: list[tuple[int, int]] = []
    number = last[-1] if last else -1
    while number >= 0:
        run.append(pairs[number])
        number = before[number]
    return run[::-1]


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
