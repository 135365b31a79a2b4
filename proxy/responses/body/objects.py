"""Objects of a body by their members: names, and values as raw JSON that is never decoded and encoded again.

msgspec reads what is ordinary; what it refuses is read by `lenient`, with the same result.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Raw

from proxy.responses.body import lenient
from proxy.responses.body.giving_way import give_way
from proxy.responses.body.lenient import MalformedError
from proxy.responses.body.member import Member

Fields = Mapping[str, Any]
"""The members of a JSON object by name, as raw JSON; the last one where a name stands twice.

The JSON is a `Raw` or bytes. A `Raw` says to a type checker that it is bytes, which a compiled function finds untrue.
"""

OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
OBJECTS: Final = msgspec.json.Decoder(list[dict[str, Raw]])
REFUSED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder raises where a closer look is needed."""

_BEHIND: Final = b",}"
"""One of these stands behind a member."""

NEVER: Final[Any] = Annotated[int, msgspec.Meta(gt=0, lt=0)]
"""The type of no JSON value: a decoder refuses an object that has a member of it."""


def raw(fields: Fields, name: str) -> bytes | None:
    """The JSON of the member `name`, unchanged; None where there is none or it is `null`."""
    value = fields.get(name)
    if value is None:
        return None
    literal = bytes(value)
    return None if literal == b"null" else literal


def text(fields: Fields, name: str) -> str | None:
    """The string that the member `name` holds; None where it holds none."""
    value = fields.get(name)
    return None if value is None else lenient.text(bytes(value))


def objects(array: memoryview | bytes) -> list[Fields]:
    """The members of each element of a JSON array, by name; of an element that is no object, none."""
    give_way()
    try:
        return list(OBJECTS.decode(array))
    except REFUSED:
        return elements(bytes(array), 0)


def elements(body: bytes, start: int) -> list[Fields]:
    """The same of the array that begins at `start` of a body, read leniently. Raises MalformedError."""
    return [_fields(body, begin) for begin, _ in lenient.elements(body, start)]


def object_of(json: bytes) -> Fields:
    """The members of the object that `json` is; none where it is something else. Raises MalformedError."""
    try:
        return OBJECT.decode(json)
    except REFUSED:
        found = elements(b"[%b]" % json, 0)
    if len(found) != 1:
        raise MalformedError
    return found[0]


def _fields(body: bytes, start: int) -> Fields:
    if body[start] != ord("{"):
        return {}
    return {member.name: body[member.value : member.end] for member in lenient.members(body, start)}


def members_of(body: bytes, start: int, fields: Fields) -> list[Member]:
    """Where the members of the object at `start` stand, duplicates included; `fields` are those already read."""
    return walk(body, start, fields) or lenient.members(body, start)


def walk(body: bytes, start: int, fields: Fields) -> list[Member] | None:
    """The members by the known lengths of their values; None where a key stands twice, is long or has escapes.

    The walk is exact: a value is taken only where its very bytes stand, and no JSON value but a number can be the
    beginning of another one (after which no comma could follow).
    """
    found: list[Member] = []
    position = start + 1
    for name, value in fields.items():
        if len(name) > lenient.LONGEST_KEY:  # looked at in several copies, each at one go
            return None
        key = b'"' + name.encode("utf-8", "surrogatepass") + b'"'
        if not body.startswith(key, position):
            position = lenient.skip_space(body, position)
            if not body.startswith(key, position):
                return None
        start_of_value = position + len(key) + 1
        if not body.startswith(value, start_of_value):
            start_of_value = lenient.skip_space(body, lenient.skip_space(body, start_of_value - 1) + 1)
            if not body.startswith(value, start_of_value):
                return None
        end = start_of_value + len(memoryview(value))
        found.append(Member(name, position, start_of_value, end))
        position = end if body[end] in _BEHIND else lenient.skip_space(body, end)
        if body[position] not in _BEHIND:
            return None
        position += 1
    return found if not found or body[position - 1] == ord("}") else None
