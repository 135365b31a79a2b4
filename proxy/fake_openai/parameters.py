"""The parameters of a request: which there are, of which shape, and in which order the API complains about them.

The order is that of the live API on 2026-08-30: required keys, unknown keys, then each parameter in turn with `input`
first. A null at the top level is as good as nothing, except for `model` and `input`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from . import refusals
from .items import RULES, check_item
from .shapes import Check, check_id, check_object, check_value, named

INCLUDABLE = (
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
)
SHORT_INCLUDABLE = (
    "'fil...lts', 'web...lts', 'web...ces', 'mes...url', 'com...url', 'cod...uts', 'rea...ent', or 'mes...obs'"
)
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
CHOICES = ("none", "auto", "required")

CREATE = (
    "model!:str input!:input previous_response_id:id-resp conversation:conversation prompt:prompt moderation:obj "
    "include:include tools:tools tool_choice:tool_choice metadata:metadata text:text temperature:number top_p:number "
    "presence_penalty:number frequency_penalty:number parallel_tool_calls:bool stream:bool "
    "stream_options:stream_options background:bool background_options:obj max_output_tokens:least16 "
    "max_tool_calls:least1 reasoning:reasoning user:str safety_identifier:str64 prompt_cache_options:cache_options "
    "prompt_cache_key:str prompt_cache_retention:in_memory|24h truncation:auto|disabled instructions:str store:bool "
    "service_tier:auto|default|fast|flex|priority top_logprobs:int context_management:arr access_programs:obj "
    "image:obj multi_agent:obj client_metadata:obj"
)
COUNT = (
    "model:str input:input previous_response_id:id-resp conversation:conversation tools:tools tool_choice:tool_choice "
    "text:text parallel_tool_calls:bool personality:str reasoning:reasoning truncation:auto|disabled instructions:str"
)
COMPACT = (
    "model!:str input:input previous_response_id:id-resp prompt_cache_options:cache_options prompt_cache_key:str "
    "prompt_cache_retention:in_memory|24h instructions:str service_tier:auto|default|fast|flex|priority image:obj"
)

MOVED = (
    "Unsupported parameter: 'messages'. In the Responses API, this parameter has moved to 'input'. Try again with the "
    "new parameter. See the API documentation for more information: "
    "https://platform.openai.com/docs/api-reference/responses/create."
)


def checked(body: Mapping[str, Any], line: str, profile: str) -> dict[str, Any]:
    """The parameters of a body that has the right shape, nulls left out; refuses every other body."""
    known = [field.partition(":")[0].rstrip("!") for field in line.split()]
    for name in ("model", "input"):
        _check_presence(body, name, required=f"{name}!" in line)
    for name in body:
        if name not in known:
            raise _unknown(name, known, body)
    given = {name: value for name, value in body.items() if value is not None}
    _check_each(given, line, profile)
    return given


def _check_presence(body: Mapping[str, Any], name: str, *, required: bool) -> None:
    if name not in body:
        if required:
            raise refusals.missing(name)
    elif body[name] is None and required:
        # Literally: the live API says "an object" of a null here.
        raise refusals.wrong_type(name, "a string", "an object")


def _unknown(name: str, known: Iterable[str], body: Mapping[str, Any]) -> refusals.Refusal:
    if name == "messages":
        return refusals.Refusal(MOVED, code="unsupported_parameter")
    near = sorted(
        (distance(name, other), other) for other in known if other not in body and abs(len(name) - len(other)) < 3
    )
    return refusals.unknown(name, [other for far, other in near if far <= 2])


def distance(one: str, other: str) -> int:
    """How many letters must be changed, added or left out to make one word of another."""
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, target in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (letter != target))
    return row[-1]


def _check_each(given: Mapping[str, Any], line: str, profile: str) -> None:
    rules: dict[str, Check] = {**RULES, **TOP, "input": lambda value, place: _check_input(value, place, profile)}
    if "model" in given:
        check_value(given["model"], "str", "model", rules)
    check_object(given, line, "", rules)


def _check_input(value: object, place: str, profile: str) -> None:
    if isinstance(value, str):
        return
    if not isinstance(value, list):
        raise refusals.wrong_type(place, "one of a string or array of input items", named(value))
    for index, item in enumerate(value):
        check_item(item, f"{place}[{index}]", profile)


def _check_object(value: object, place: str, line: str) -> None:
    if not isinstance(value, dict):
        raise refusals.wrong_type(place, "an object", named(value))
    check_object(value, line, place, TOP)


def _object(line: str) -> Check:
    return lambda value, place: _check_object(value, place, line)


def _least(least: int) -> Check:
    def check(value: object, place: str) -> None:
        check_value(value, "int", place, {})
        if isinstance(value, int) and value < least:
            raise refusals.too_small(place, least, value)

    return check


def _check_conversation(value: object, place: str) -> None:
    if isinstance(value, dict):
        check_object(value, "id!:id-conv", place, {})
    elif isinstance(value, str):
        check_id(value, "conv", place)
    else:
        raise refusals.wrong_type(place, "one of a string or an object", named(value))


def _check_include(value: object, place: str) -> None:
    if not isinstance(value, list):
        raise refusals.wrong_type(place, f"an array of one of {SHORT_INCLUDABLE}", named(value))
    for index, name in enumerate(value):
        check_value(name, "|".join(INCLUDABLE), f"{place}[{index}]", {})


def _check_tool_choice(value: object, place: str) -> None:
    if isinstance(value, str):
        if value not in CHOICES:
            raise refusals.wrong_choice(place, value, CHOICES)
    elif not isinstance(value, dict):
        expected = "one of an object or 'none', 'auto', or 'required'"
        raise refusals.wrong_type(place, expected, named(value))
    elif "type" not in value:
        raise refusals.missing(f"{place}.type")
    elif value["type"] in ("function", "custom") and not isinstance(value.get("name"), str):
        raise refusals.missing(f"{place}.name")


def check_metadata(value: object, place: str) -> None:
    """Refuse metadata of more than 16 pairs, or of longer names and values than 64 and 512 characters."""
    if not isinstance(value, dict):
        raise refusals.wrong_type(place, "a metadata object", named(value))
    if len(value) > 16:
        message = (
            f"Invalid '{place}': too many properties. Expected an object with at most 16 properties, "
            f"but got an object with {len(value)} properties instead."
        )
        raise refusals.Refusal(message, param=place, code="object_above_max_properties")
    for name, word in value.items():
        if len(name) > 64:
            raise refusals.too_long(place, 64, len(name))
        check_value(word, "str512", f"{place}.{name}", {})


def _check_format(value: object, place: str) -> None:
    if not isinstance(value, dict):
        raise refusals.wrong_type(place, "an object", named(value))
    if "type" not in value:
        raise refusals.missing(f"{place}.type")
    check_value(value["type"], "json_object|text|json_schema", f"{place}.type", {})
    if value["type"] == "json_schema":
        check_object(value, "type!:any name!:str64 schema!:obj strict:bool? description:str?", place, {})


def _check_effort(value: object, place: str) -> None:
    if isinstance(value, int) and not isinstance(value, bool):
        raise refusals.wrong_type(place, "one of 'minimal', 'low', 'medium', or 'high'", "an integer")
    if not isinstance(value, str):
        expected = f"one of one of {refusals.listed(EFFORTS, 'or')} or integer"
        raise refusals.wrong_type(place, expected, named(value))
    check_value(value, "|".join(EFFORTS), place, {})


TOP: dict[str, Check] = {
    "conversation": _check_conversation,
    "prompt": _object("id!:id-pmpt version:str? variables:obj?"),
    "include": _check_include,
    "tool_choice": _check_tool_choice,
    "metadata": check_metadata,
    "text": _object("format:format? verbosity:low|medium|high?"),
    "format": _check_format,
    "stream_options": _object("include_obfuscation:bool"),
    "least16": _least(16),
    "least1": _least(1),
    "reasoning": _object(
        "mode:str? effort:effort? summary:concise|detailed|auto? context:auto|current_turn|all_turns?"
    ),
    "effort": _check_effort,
    "cache_options": _object("mode:implicit|explicit? ttl:30m|12h? comparison_response_id:str? prewarm:bool?"),
}
