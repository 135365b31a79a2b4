"""Fields as a line of text, and the one function that checks an object against such a line.

A field is `name[!]:rule[?]`: `!` must be there, `?` may be null. Knows nothing of items; one fault at a time, in the
order of the line.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

from . import refusals

Check = Callable[[Any, str], None]

_ID = re.compile(r"[A-Za-z0-9_-]*")
_FIELD = re.compile(r"([a-z_]+)(!?):([^ ?]+)(\??)")
ID_LIMIT = 64


def named(value: object) -> str:
    """A value's JSON type as the API names it."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


class Field(NamedTuple):
    """One field of an object."""

    name: str
    required: bool
    rule: str
    nullable: bool


@cache
def fields(line: str) -> dict[str, Field]:
    """The fields of a line, by name, in order."""
    found = (Field(name, bool(must), rule, bool(null)) for name, must, rule, null in _FIELD.findall(line))
    return {field.name: field for field in found}


def check_object(value: Mapping[str, Any], line: str, path: str, rules: Mapping[str, Check]) -> None:
    """Refuse unknown fields, then missing ones, then wrong values; `rules` are those beyond the ones of this module."""
    known = fields(line)
    for name in value:
        if name not in known:
            raise refusals.unknown(f"{path}.{name}" if path else name)
    for field in known.values():
        place = f"{path}.{field.name}" if path else field.name
        if field.name not in value:
            if field.required:
                raise refusals.missing(place)
        elif value[field.name] is not None or not field.nullable:
            check_value(value[field.name], field.rule, place, rules)


def check_value(value: object, rule: str, place: str, rules: Mapping[str, Check]) -> None:
    """Refuse a value that a rule does not allow."""
    if rule in rules:
        rules[rule](value, place)
    elif rule.startswith("id-"):
        check_id(value, rule[3:], place)
    elif rule.startswith("str"):
        check_string(value, int(rule[3:] or 0), place)
    elif rule in TYPES:
        check_type(value, rule, place)
    else:
        check_choice(value, rule.split("|"), place)


TYPES: dict[str, tuple[str, type | tuple[type, ...]]] = {
    "bool": ("a boolean", bool),
    "int": ("an integer", int),
    "number": ("a decimal", (int, float)),
    "obj": ("an object", dict),
    "arr": ("an array of objects", list),
    "words": ("an array of strings", list),
    "any": ("anything", object),
}


def check_type(value: object, rule: str, place: str) -> None:
    """Refuse a value of another JSON type; true and false are no numbers."""
    expected, kind = TYPES[rule]
    wrong = isinstance(value, bool) and rule in {"int", "number"}
    if wrong or not isinstance(value, kind):
        raise refusals.wrong_type(place, expected, named(value))


def check_string(value: object, limit: int, place: str) -> None:
    """Refuse what is no string, or one above its limit (0: none)."""
    if not isinstance(value, str):
        raise refusals.wrong_type(place, "a string", named(value))
    if limit and len(value) > limit:
        raise refusals.too_long(place, limit, len(value))


def check_choice(value: object, choices: list[str], place: str) -> None:
    """Refuse what is not one of some words."""
    if not isinstance(value, str):
        raise refusals.wrong_type(place, f"one of {refusals.listed(choices, 'or')}", named(value))
    if value not in choices:
        raise refusals.wrong_choice(place, value, choices)


def check_id(value: object, prefix: str, place: str) -> None:
    """Refuse an id with other characters, above 64 of them, or of another kind of thing."""
    check_string(value, 0, place)
    identifier = str(value)
    if not _ID.fullmatch(identifier):
        raise refusals.wrong_characters(place, identifier)
    if len(identifier) > ID_LIMIT:
        raise refusals.too_long(place, ID_LIMIT, len(identifier))
    if not identifier.startswith(prefix) or not identifier:
        raise refusals.wrong_prefix(place, identifier, prefix or "msg")
