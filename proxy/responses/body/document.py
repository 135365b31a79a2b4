"""A request body as raw spans: read what is needed, cut and replace, same bytes otherwise.

What is not edited is never decoded and encoded again; a body without edits is the same object.
"""

from collections.abc import Collection
from typing import Final

from proxy.responses.body import lenient, slices
from proxy.responses.body.edits import Edit, cut_members
from proxy.responses.body.giving_way import give_way
from proxy.responses.body.lenient import MalformedError
from proxy.responses.body.member import Member
from proxy.responses.body.objects import OBJECT, REFUSED, walk
from proxy.responses.body.size import containers
from proxy.responses.body.table import Array

_BOM: Final = b"\xef\xbb\xbf"


class Document:
    """A body that is a JSON object."""

    def __init__(self, body: bytes, members: list[Member], arrays: list[Array]) -> None:
        self.body = body
        self.members = members
        self.arrays = arrays
        self._last = {member.name: member for member in members}

    @property
    def objects(self) -> int:
        """How many objects a look at the input comes upon, at most; that of a long one takes a while in any case."""
        plain = all(array.parts_are_plain for array in self.arrays)
        return sum(map(len, self.arrays)) if plain else containers(self.body)

    def raw(self, name: str) -> bytes | None:
        """The JSON of the top-level member `name`, of the last one if it stands there twice; None if absent or null."""
        member = self._last.get(name)
        literal = b"null" if member is None else self.body[member.value : member.end]
        return None if literal == b"null" else literal

    def text(self, name: str) -> str | None:
        """The string that the top-level member `name` holds; None where it holds none."""
        literal = self.raw(name)
        return None if literal is None else lenient.text(literal)

    def cut(self, names: Collection[str]) -> list[Edit]:
        """The edits that take the named top-level members out."""
        return cut_members(self.members, names)


def read(body: bytes) -> Document | None:
    """The document in `body`; None if it is JSON, but no object. Raises MalformedError if it is no JSON at all."""
    return glance(body) or read_closely(body)


def glance(body: bytes) -> Document | None:
    """The document in `body`, where it is written in the usual way; None where it takes a closer look, in `read`.

    That takes up to a hundred times as long, so that a driver does it elsewhere.
    """
    if slices.resists_decoding(body):
        return None
    try:
        fields = OBJECT.decode(body)
        give_way()
        start = 0 if body.startswith(b"{") else lenient.skip_space(body, 0)
        members = walk(body, start, fields)
        return None if members is None else _document(body, members, closely=False)
    except REFUSED:
        return None


def check(body: bytes) -> None:
    """Raises MalformedError where `body` is no JSON; takes a fifth of the time that it takes to read it."""
    try:
        OBJECT.decode(body)
    except REFUSED:
        read(body)


def read_closely(body: bytes) -> Document | None:
    """The same as `read`, by the slower reader alone: for a body of which `glance` made nothing."""
    start = lenient.skip_space(body, len(_BOM) if body.startswith(_BOM) else 0)
    end = lenient.value_end(body, start)
    if lenient.skip_space(body, end) != len(body):
        raise MalformedError
    if body[start : start + 1] != b"{":
        return None
    return _document(body, lenient.members(body, start), closely=True)


def _document(body: bytes, members: list[Member], *, closely: bool) -> Document:
    inputs = [(member.value, member.end) for member in members if _is_array(body, member)]
    return Document(body, members, [Array(body, span, closely=closely) for span in inputs])


def _is_array(body: bytes, member: Member) -> bool:
    return member.name == "input" and body[member.value] == ord("[")
