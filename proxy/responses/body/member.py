"""A member of an object in a body, by where it stands."""

import msgspec


class Member(msgspec.Struct, frozen=True, gc=False):
    """A member's name, and the offsets of its first byte, of its value and of the byte after it."""

    name: str
    start: int
    value: int
    end: int
