"""What is taken out of a body, or put into it, as spans; and the body with that done, once, at the end."""

import re
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from proxy.responses.body.lenient import Member, Span


class Edit(NamedTuple):
    """Put `replacement` where the bytes from `start` to `end` are."""

    start: int
    end: int
    replacement: bytes = b""


# An object up to and with its `id`, as long as only plain strings and bare words stand in front of it.
_UP_TO_ID: Final = re.compile(
    rb'\{[ \t\n\r]*(?:"(?!id")[^"\\]*+"[ \t\n\r]*:[ \t\n\r]*(?:"[^"\\]*+"|[^][{}",\s]++)[ \t\n\r]*,[ \t\n\r]*)*+'
    rb'("id"[ \t\n\r]*:[ \t\n\r]*"[^"\\]*"[ \t\n\r]*,[ \t\n\r]*)'
)


def cut_id(body: bytes, span: Span, *, plain: bool) -> Edit | None:
    """The edit that takes the one `id` out of the object at `span`; None where it takes a closer look.

    `plain` says that no letter of `id` is written with an escape in the whole body.

    The short way for nine items in ten: an id among the first members, none behind it, no key written with escapes.
    """
    match = _UP_TO_ID.match(body, span.start, span.end)
    if match is None or body.find(b'"id"', match.end(), span.end) >= 0:
        return None
    if not plain and body.find(b"\\u006", span.start, span.end) >= 0:
        return None
    return Edit(match.start(1), match.end(1))


def cut_members(members: list[Member], names: Collection[str]) -> list[Edit]:
    """The edits that take the named members, each with one comma, out of their object."""
    return cut_spans(
        [Span(member.start, member.end) for member in members], [member.name in names for member in members]
    )


def cut_spans(spans: list[Span], doomed: list[bool]) -> list[Edit]:
    """The edits that take the doomed ones out of neighbours separated by commas, white space staying with the rest."""
    edits: list[Edit] = []
    last_kept = max((index for index, gone in enumerate(doomed) if not gone), default=-1)
    for index, gone in enumerate(doomed[: max(last_kept, 0)]):
        if gone:
            edits.append(Edit(spans[index].start, spans[index + 1].start))
    if last_kept < len(spans) - 1:
        start = spans[last_kept].end if last_kept >= 0 else spans[0].start
        edits.append(Edit(start, spans[-1].end))
    return edits


def splice(body: bytes, edits: Iterable[Edit]) -> bytes:
    """`body` with the edits made, the same object if there are none; no two overlap."""
    ordered = sorted(edits, key=lambda edit: (edit.start, edit.end))
    if not ordered:
        return body
    pieces: list[bytes | memoryview] = []
    view = memoryview(body)
    position = 0
    for edit in ordered:
        pieces += (view[position : edit.start], edit.replacement)
        position = edit.end
    pieces.append(view[position:])
    return b"".join(pieces)
