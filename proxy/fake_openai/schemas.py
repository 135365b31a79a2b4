"""A value for a JSON schema: what the fake model fills into arguments and structured answers.

Simple schemas are satisfied exactly; of those that are not understood it makes the nearest value.
Pure and deterministic.
"""

from collections.abc import Callable
from typing import Any

DEPTH = 12
SHALLOW = 6  # from here on schemas that contain themselves are ended where they allow it
FORMATS = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "email": "ada@example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "https://example.com/",
}
Words = Callable[[str], str]


def filled(schema: object, words: Words) -> Any:
    """A value that satisfies a schema; `words` gives the text of a string property by its name."""
    return _value(schema, schema, words, "", DEPTH)


def _value(schema: object, root: object, words: Words, name: str, depth: int) -> Any:
    if not isinstance(schema, dict) or depth == 0:
        return None
    if "const" in schema:
        return schema["const"]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    inner = _inner(schema, root, depth)
    if inner is not None:
        return _value(inner, root, words, name, depth - 1)
    return _typed(schema, root, words, name, depth)


def _inner(schema: dict[str, Any], root: object, depth: int) -> object:
    """The schema that one refers to, or its first alternative, or its last when it goes deep."""
    if isinstance(schema.get("$ref"), str):
        return _referred(schema["$ref"], root)
    for word in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(word), list) and schema[word]:
            return schema[word][0 if depth > SHALLOW else -1]
    return None


def _referred(reference: str, root: object) -> object:
    found = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        if step:
            found = found.get(step) if isinstance(found, dict) else None
    return found


def _typed(schema: dict[str, Any], root: object, words: Words, name: str, depth: int) -> Any:
    kind = schema.get("type") or ("object" if "properties" in schema else "string")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            return _object(schema, root, words, depth)
        case "array":
            count = _whole(schema.get("minItems"), int(depth > SHALLOW))
            return [_value(schema.get("items"), root, words, name, depth - 1) for _ in range(min(count, 10))]
        case "string":
            return _text(schema, words(name))
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return True
    return None


def _object(schema: dict[str, Any], root: object, words: Words, depth: int) -> dict[str, Any]:
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    return {name: _value(part, root, words, name, depth - 1) for name, part in properties.items()}


def _whole(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) and value >= 0 else otherwise


def _text(schema: dict[str, Any], text: str) -> str:
    form = schema.get("format")
    if isinstance(form, str) and form in FORMATS:
        return FORMATS[form]
    text = text.ljust(min(_whole(schema.get("minLength"), 0), 1000), ".")
    return text[: _whole(schema.get("maxLength"), len(text))]


def _number(schema: dict[str, Any]) -> Any:
    bounds = [schema[word] for word in ("minimum", "maximum") if isinstance(schema.get(word), int | float)]
    if isinstance(schema.get("exclusiveMinimum"), int | float):
        bounds.append(schema["exclusiveMinimum"] + 1)
    return bounds[0] if bounds else 1
