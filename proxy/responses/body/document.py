"""A request body as raw spans: read what is needed, cut and replace, same bytes otherwise.

What is not edited is never decoded and encoded again; a body without edits is the same object.
msgspec reads the ordinary body; what it refuses is read by `lenient`, with the same result.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Raw

from proxy.responses.body import lenient
from proxy.responses.body.edits import Edit, cut_members
from proxy.responses.body.lenient import MalformedError, Member, Span
from proxy.responses.items import HOSTED_SEARCH_OUTPUT, KINDS, MESSAGES, PART_ENVELOPE, Kind, kind_of

Fields = Mapping[str, Raw | bytes]

_BOM: Final = b"\xef\xbb\xbf"
_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_ELEMENTS: Final = msgspec.json.Decoder(list[Raw])
_OBJECTS: Final = msgspec.json.Decoder(list[dict[str, Raw]])
_REFUSED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_KIND_OF_TYPE: Final = {b'"%s"' % name.encode(): kind for name, kind in KINDS.items()}
_MESSAGE: Final = (b'"message"', b"")
_KIND_OF_ROLE: Final = {b'"%s"' % role.encode(): kind for role, kind in MESSAGES.items()}


class Item:
    """One element of `input`: its members as raw JSON and its row in the table of kinds."""

    __slots__ = ("fields", "kind")

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self.kind: Kind = quick_kind(fields) or self._kind()

    def _kind(self) -> Kind:
        return kind_of(self.text("type") or "", self.text("role") or "", has_id="id" in self.fields)

    def raw(self, name: str) -> bytes | None:
        """The JSON of the member `name`, unchanged; None where there is none or it is `null`."""
        value = self.fields.get(name)
        if value is None:
            return None
        literal = bytes(value)
        return None if literal == b"null" else literal

    def text(self, name: str) -> str | None:
        """The string that the member `name` holds; None where it holds none."""
        value = self.fields.get(name)
        return None if value is None else lenient.text(bytes(value))

    def array(self, name: str) -> memoryview | None:
        """The JSON of the array that the member `name` holds, not copied; None where it holds none."""
        value = self.fields.get(name)
        view = None if value is None else memoryview(value)
        return view if view is not None and view[0] == ord("[") else None

    def member(self, name: str) -> "Item | None":
        """The object that the member `name` holds, read as an item is; None where it holds none."""
        literal = self.raw(name)
        return item_of(literal) if literal is not None and literal[:1] == b"{" else None


def item_of(json: bytes) -> Item:
    """The item that `json` is. Raises MalformedError where it is not one value."""
    found = objects(b"[" + json + b"]")
    if len(found) != 1:
        raise MalformedError
    return Item(found[0])


def quick_kind(fields: Fields) -> Kind | None:
    """The kind of an item, if its type and role are written in the usual way; else None."""
    type_ = bytes(fields.get("type", b""))
    if type_ in _MESSAGE:
        return _KIND_OF_ROLE.get(bytes(fields.get("role", b"")))
    kind = _KIND_OF_TYPE.get(type_)
    if kind is not None and kind.name == HOSTED_SEARCH_OUTPUT.name and bytes(fields.get("call_id", b"null")) == b"null":
        return HOSTED_SEARCH_OUTPUT
    return kind


class Array:
    """One `input` of a body: its items, and where they stand."""

    def __init__(self, body: bytes, span: Span, items: list[Item]) -> None:
        self._body = body
        self.span = span
        self.items = items

    def spans(self) -> list[Span]:
        """Where each item stands in the body."""
        try:
            raws = _ELEMENTS.decode(memoryview(self._body)[self.span.start : self.span.end])
        except _REFUSED:
            return lenient.elements(self._body, self.span.start)
        return _spans(self._body, self.span.start, raws)


class Document:
    """A body that is a JSON object."""

    def __init__(self, body: bytes, members: list[Member], arrays: list[Array]) -> None:
        self.body = body
        self.members = members
        self.arrays = arrays

    def raw(self, name: str) -> bytes | None:
        """The JSON of the top-level member `name`, of the last one if it stands there twice; None if absent or null."""
        for member in reversed(self.members):
            if member.name == name:
                literal = self.body[member.value : member.end]
                return None if literal == b"null" else literal
        return None

    def text(self, name: str) -> str | None:
        """The string that the top-level member `name` holds; None where it holds none."""
        literal = self.raw(name)
        return None if literal is None else lenient.text(literal)

    def cut(self, names: Collection[str]) -> list[Edit]:
        """The edits that take the named top-level members out."""
        return cut_members(self.members, names)


def read(body: bytes) -> Document | None:
    """The document in `body`; None if it is JSON, but no object. Raises MalformedError if it is no JSON at all."""
    try:
        fields = _OBJECT.decode(body)
        members = _walk(body, lenient.skip_space(body, 0), fields)
    except _REFUSED:
        members = None
    if members is None:
        return _read_leniently(body)
    return _document(body, members)


def check(body: bytes) -> None:
    """Raises MalformedError where `body` is no JSON; takes a fifth of the time that it takes to read it."""
    try:
        _OBJECT.decode(body)
    except _REFUSED:
        read(body)


def _read_leniently(body: bytes) -> Document | None:
    start = lenient.skip_space(body, len(_BOM) if body.startswith(_BOM) else 0)
    end = lenient.value_end(body, start)
    if lenient.skip_space(body, end) != len(body):
        raise MalformedError
    if body[start : start + 1] != b"{":
        return None
    return _document(body, lenient.members(body, start))


def _document(body: bytes, members: list[Member]) -> Document:
    return Document(body, members, [_array(body, member) for member in members if _is_array(body, member)])


def _is_array(body: bytes, member: Member) -> bool:
    return member.name == "input" and body[member.value] == ord("[")


def _array(body: bytes, member: Member) -> Array:
    span = Span(member.value, member.end)
    fields = objects(memoryview(body)[span.start : span.end])
    return Array(body, span, [Item(one) for one in fields])


def objects(array: memoryview | bytes) -> list[Fields]:
    """The members of each element of a JSON array, by name; of an element that is no object, none."""
    try:
        return list(_OBJECTS.decode(array))
    except _REFUSED:
        body = bytes(array)
        return [_fields(body, span) for span in lenient.elements(body, 0)]


_NOTHING: Any = Annotated[int, msgspec.Meta(gt=0, lt=0)]
_PARTS: Final = msgspec.json.Decoder(list[msgspec.defstruct("Part", [(name, _NOTHING, 0) for name in PART_ENVELOPE])])  # type: ignore[misc]
"""Refuses a part with a field that no part has."""


def are_plain(parts: memoryview) -> bool:
    """Whether no element of an array has a field of `PART_ENVELOPE`; False where that takes a closer look."""
    try:
        _PARTS.decode(parts)
    except _REFUSED:
        return False
    return True


def _fields(body: bytes, span: Span) -> Fields:
    if body[span.start] != ord("{"):
        return {}
    return {member.name: body[member.value : member.end] for member in lenient.members(body, span.start)}


def members_of(body: bytes, start: int, fields: Fields) -> list[Member]:
    """Where the members of the object at `start` stand, duplicates included; `fields` are those already read."""
    return _walk(body, start, fields) or lenient.members(body, start)


def _walk(body: bytes, start: int, fields: Fields) -> list[Member] | None:
    """The members by the known lengths of their values; None where a key stands twice or is written with escapes.

    The walk is exact: a value is taken only where its very bytes stand, and no JSON value but a number can be the
    beginning of another one (after which no comma could follow).
    """
    found: list[Member] = []
    position = start + 1
    for name, value in fields.items():
        position = lenient.skip_space(body, position)
        key = b'"%s"' % name.encode("utf-8", "surrogatepass")
        if not body.startswith(key, position):
            return None
        colon = lenient.skip_space(body, position + len(key))
        value_start = lenient.skip_space(body, colon + 1)
        if not body.startswith(value, value_start):
            return None
        end = value_start + len(memoryview(value))
        found.append(Member(name, position, value_start, end))
        position = lenient.skip_space(body, end)
        if body[position] not in b",}":
            return None
        position += 1
    return found if not found or body[position - 1] == ord("}") else None


def _spans(body: bytes, start: int, raws: Iterable[Raw]) -> list[Span]:
    spans: list[Span] = []
    position = start
    for raw in raws:
        begin = position + 1  # behind the bracket or the comma
        if body[begin] in b" \t\n\r":
            begin = lenient.skip_space(body, begin)
        position = begin + len(memoryview(raw))
        spans.append(Span(begin, position))
        if body[position] in b" \t\n\r":
            position = lenient.skip_space(body, position)
    return spans
