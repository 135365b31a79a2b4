"""What is taken out of a body, or put into it, as spans; and the body with that done, once, at the end."""

from collections.abc import Collection, Iterable, Sequence
from operator import itemgetter
from typing import Final

from proxy.responses.body.member import Member

Edit = tuple[int, int, bytes]
"""(start, end, replacement): put the replacement where the bytes from `start` to `end` are."""
_LONG: Final = 1024 * 1024
_PLACE: Final = itemgetter(0, 1)


def cut_members(members: list[Member], names: Collection[str]) -> list[Edit]:
    """The edits that take the named members, each with one comma, out of their object."""
    return cut_spans([(member.start, member.end) for member in members], [member.name in names for member in members])


def cut_spans(spans: Sequence[tuple[int, int]], doomed: list[bool]) -> list[Edit]:
    """The edits that take the doomed ones out of neighbours separated by commas, white space staying with the rest."""
    edits: list[Edit] = []
    last_kept = max((index for index, gone in enumerate(doomed) if not gone), default=-1)
    for index, gone in enumerate(doomed[: max(last_kept, 0)]):
        if gone:
            edits.append((spans[index][0], spans[index + 1][0], b""))
    if last_kept < len(spans) - 1:
        start = spans[last_kept][1] if last_kept >= 0 else spans[0][0]
        edits.append((start, spans[-1][1], b""))
    return edits


def splice(body: bytes, edits: Iterable[Edit]) -> bytes:
    """`body` with the edits made, the same object if there are none; no two overlap."""
    ordered = sorted(edits, key=_PLACE)
    if not ordered:
        return body
    # Pieces that are bytes are put together without the interpreter's lock, if they are long; views are not.
    came: bytes | memoryview = body if len(body) > _LONG else memoryview(body)
    pieces: list[bytes | memoryview] = []
    position = 0
    for start, end, replacement in ordered:
        pieces.append(came[position:start])
        if replacement:
            pieces.append(replacement)
        position = end
    pieces.append(came[position:])
    return b"".join(pieces)
