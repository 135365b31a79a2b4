"""A response besides its output: what is kept of it apart from the items of its conversation.

Pure. What many responses have in common, tools and instructions, stands apart, so that a store has it once.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from proxy.responses.body.document import Document, read
from proxy.responses.body.edits import splice

_SHARED: Final = ("tools", "instructions")
_WORTH: Final = 256
"""Bytes of a shared member from which it stands apart: shorter, it takes less than the item that it would be."""
_OUTPUT: Final = "output"


class Outline(NamedTuple):
    """A response, and the members that stand apart."""

    response: bytes
    """Its JSON, with null in the place of the output and of what stands apart."""
    shared: tuple[tuple[str, bytes], ...] = ()
    """Name and JSON of what stands apart."""


def outline(document: Document) -> Outline:
    """The outline of a response."""
    found = ((name, document.raw(name)) for name in _SHARED)
    shared = {name: literal for name, literal in found if literal is not None and len(literal) >= _WORTH}
    plain = filled(document, dict.fromkeys((_OUTPUT, *shared), b"null"))
    return Outline(compact(plain), tuple((name, compact(literal)) for name, literal in shared.items()))


def whole(outline: Outline, output: tuple[bytes, ...]) -> bytes | None:
    """The response with that output; None where the outline is none. May raise MalformedError."""
    document = read(outline.response)
    if document is None:
        return None
    return filled(document, {**dict(outline.shared), _OUTPUT: b"[%b]" % b",".join(output)})


def filled(document: Document, values: Mapping[str, bytes]) -> bytes:
    """A document with these values of its members; of one that stands there twice the last is meant."""
    members = {member.name: member for member in document.members}
    edits = [(members[name].value, members[name].end, value) for name, value in values.items() if name in members]
    return splice(document.body, edits)


def compact(literal: bytes) -> bytes:
    """JSON without white space, which upstream's answers have where they are no streams: no value changes."""
    try:
        return msgspec.json.format(literal, indent=-1)
    except (msgspec.DecodeError, RecursionError):  # a lone surrogate, any depth
        return literal
