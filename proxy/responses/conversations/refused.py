"""What is refused at the routes of conversations, in the sentences in which the API itself refuses it.

Facts: openai 3.57.0's reference and what was recorded of api.openai.com in August 2026 (docs/api-facts.md).
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from proxy.responses.body.size import MOST

_NAMES: Final = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", int: "an integer"}


class Refused(Exception):  # noqa: N818 -- an answer, no failure of ours
    """An answer that is an error, in OpenAI's shape."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
        self.body = json.dumps({"error": error}, separators=(",", ":")).encode()  # may hold what no UTF-8 can


def named(value: object) -> str:
    """The type of a JSON value, as the API calls it."""
    return "null" if value is None else _NAMES.get(type(value), "a decimal")


def missing(param: str) -> Refused:
    """A required parameter is not there."""
    return Refused(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def unknown(param: str) -> Refused:
    """A parameter that is none."""
    return Refused(f"Unknown parameter: '{param}'.", param, "unknown_parameter")


def wrong_type(param: str, expected: str, value: object) -> Refused:
    """A value of another type."""
    message = f"Invalid type for '{param}': expected {expected}, but got {named(value)} instead."
    return Refused(message, param, "invalid_type")


def wrong_choice(param: str, value: Any, choices: Sequence[str]) -> Refused:
    """A word that is not among those allowed."""
    quoted = [f"'{choice}'" for choice in choices]
    listed = f"{', '.join(quoted[:-1])}, and {quoted[-1]}" if len(quoted) > 2 else " and ".join(quoted)
    shown = value[:64] if isinstance(value, str) else ""
    return Refused(f"Invalid value: '{shown}'. Supported values are: {listed}.", param, "invalid_value")


def too_long(param: str, most: int, length: int) -> Refused:
    """A text above its maximum length."""
    message = (
        f"Invalid '{param}': string too long. Expected a string with maximum length {most}, "
        f"but got a string with length {length} instead."
    )
    return Refused(message, param, "string_above_max_length")


def too_many(param: str, most: int, count: int) -> Refused:
    """An array above its maximum length."""
    message = (
        f"Invalid '{param}': array too long. Expected an array with maximum length {most}, "
        f"but got an array with length {count} instead."
    )
    return Refused(message, param, "array_above_max_length")


def too_many_pairs(param: str, most: int, count: int) -> Refused:
    """An object with more members than it may have."""
    message = (
        f"Invalid '{param}': too many properties. Expected an object with at most {most} properties, "
        f"but got an object with {count} properties instead."
    )
    return Refused(message, param, "object_above_max_properties")


def out_of_bounds(param: str, least: int, most: int, value: int) -> Refused:
    """An integer below its minimum or above its maximum."""
    words = ("below minimum value", ">=", least, "min") if value < least else ("above maximum value", "<=", most, "max")
    sentence = (
        f"Invalid '{param}': integer {words[0]}. Expected a value {words[1]} {words[2]}, but got {value} instead."
    )
    return Refused(sentence, param, f"integer_{words[0][:5]}_{words[3]}_value")


def wrong_id(param: str, value: str) -> Refused:
    """An id with characters that ids do not have."""
    message = (
        f"Invalid '{param}': '{value[:64]}'. Expected an ID that contains letters, numbers, underscores, or dashes, "
        "but this value contained additional characters."
    )
    return Refused(message, param, "invalid_value")


def duplicate(item_id: str) -> Refused:
    """The same item twice."""
    sentence = f"Duplicate item found with id {item_id}. Remove duplicate items from your input and try again."
    return Refused(sentence, "input")


def item_not_found(item_id: str, param: str | None = None) -> Refused:
    """An item that is not known here."""
    return Refused(f"Item with id '{item_id}' not found.", param, status=404)


def conversation_not_found(conversation_id: str) -> Refused:
    """A conversation that is not known here."""
    return Refused(f"Conversation with id '{conversation_id}' not found.", status=404)


def invalid_item() -> Refused:
    """Reasoning of which there is nothing to keep (openai/openai-agents-python#1709)."""
    return Refused("Invalid item", "item", "invalid_item")


def locked() -> Refused:
    """Another request of the conversation is under way (openai: careme#379, 2026-03-16)."""
    sentence = "Another process is currently operating on this conversation. Please retry in a few seconds."
    return Refused(sentence, "conversation", "conversation_locked")


def unreadable() -> Refused:
    """A body that is no JSON object."""
    return Refused("We could not parse the JSON body of your request. The API expects a JSON object.")


def too_complex() -> Refused:
    """A body with more values than are read; this sentence is ours."""
    return Refused(f"The request body holds more than {MOST} values.", code="request_too_complex", status=413)


MOST_ITEMS: Final = 20_000
"""Items of a conversation: more than any model's context holds."""


def check_room(size: int, count: int, largest: int) -> None:
    """Raises Refused where a conversation of so many bytes and items is more than is held; `largest` in bytes."""
    if size > largest:
        raise too_large(largest)
    if count > MOST_ITEMS:
        raise too_many_items(MOST_ITEMS)


def too_large(most: int) -> Refused:
    """A conversation that no request could hold; this sentence is ours."""
    sentence = f"The conversation is larger than the {most} bytes that UNPINNED_STORE_MAX_CONVERSATION allows."
    return Refused(sentence, "conversation", "conversation_too_large", 413)


def too_many_items(most: int) -> Refused:
    """The same by the number of its items."""
    return Refused(f"The conversation has more than {most} items.", "conversation", "conversation_too_large", 413)
