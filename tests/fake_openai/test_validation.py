"""The shape of a request: one fault at a time, in the order and the words of the live API (observed 2026-08-30)."""

import re
from typing import Any

import pytest

from proxy.fake_openai import refusals
from proxy.fake_openai.items import LISTED, LISTED_PARTS
from tests.fake_openai.asking import Fake, refused

DELETED = object()
SAMPLING = "Unsupported parameter: '{}' is not supported with this model."
NOT_GIVEN = "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be provided."


def user(**more: Any) -> dict[str, Any]:
    """A message of a user."""
    return {"role": "user", "content": "ping", **more}


def said(**more: Any) -> dict[str, Any]:
    """A complete message of the model."""
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": "OK"}
    message = {"id": "msg_probe", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    return {**message, **more}


def wrong(param: str, expected: str, actual: str) -> tuple[str, str, str]:
    """The refusal of another type."""
    return f"Invalid type for '{param}': expected {expected}, but got {actual} instead.", param, "invalid_type"


def choice(param: str, value: str, *choices: str) -> tuple[str, str, str]:
    """The refusal of another word."""
    return f"Invalid value: '{value}'. Supported values are: {refusals.listed(choices, 'and')}.", param, "invalid_value"


def missing(param: str) -> tuple[str, str, str]:
    """The refusal of what is not there."""
    return f"Missing required parameter: '{param}'.", param, "missing_required_parameter"


def unknown(param: str, hint: str = "") -> tuple[str, str, str]:
    """The refusal of what nobody knows."""
    return f"Unknown parameter: '{param}'.{hint}", param, "unknown_parameter"


def sampling(param: str) -> tuple[str, str, None]:
    """The refusal of a reasoning model."""
    return SAMPLING.format(param), param, None


ROLES = ("assistant", "system", "developer", "user")
EMPTY = choice("input[0]", "", *ROLES)
TRUNCATION = choice("truncation", "bogus", "auto", "disabled")
MANY = {f"k{number}": "v" for number in range(17)}

ROWS: list[tuple[dict[str, Any], tuple[str, str | None, str | None]]] = [
    # unknown keys, and the help with their spelling
    ({"zzz_unknown": 1}, unknown("zzz_unknown")),
    ({"stop": ["ZZ"]}, unknown("stop", " Did you mean 'store'?")),
    ({"stre": 1}, unknown("stre", " Did you mean 'store' or 'stream'?")),
    ({"strem": 1}, unknown("strem", " Did you mean 'stream' or 'store'?")),
    ({"st": 1}, unknown("st")),
    ({"inpu": 1}, unknown("inpu")),
    ({"tool": 1}, unknown("tool", " Did you mean 'tools'?")),
    ({"messages": []}, ("Unsupported parameter: 'messages'.", None, "unsupported_parameter")),
    # required keys
    ({"model": DELETED}, missing("model")),
    ({"model": None}, wrong("model", "a string", "an object")),
    ({"model": 7}, wrong("model", "a string", "an integer")),
    ({"model": ""}, ("The requested model '' does not exist.", "model", "model_not_found")),
    ({"input": DELETED}, missing("input")),
    ({"input": DELETED, "zzz": 1, "previous_response_id": "resp_x"}, missing("input")),
    ({"input": DELETED, "model": DELETED}, missing("model")),
    ({"input": None}, wrong("input", "a string", "an object")),
    ({"input": []}, (NOT_GIVEN, None, "missing_required_parameter")),
    ({"input": ""}, (NOT_GIVEN, None, "missing_required_parameter")),
    ({"input": [], "temperature": 0.5}, (NOT_GIVEN, None, "missing_required_parameter")),
    ({"input": [], "truncation": "bogus"}, TRUNCATION),
    ({"input": [], "zzz_unknown": 1}, unknown("zzz_unknown")),
    # items
    ({"input": {"a": 1}}, wrong("input", "one of a string or array of input items", "an object")),
    ({"input": [7]}, wrong("input[0]", "an input item", "an integer")),
    ({"input": [None]}, wrong("input[0]", "an input item", "null")),
    ({"input": [{"type": 7, "role": "user"}]}, choice("input[0]", "", *LISTED)),
    ({"input": [{"type": "bogus_item"}]}, choice("input[0]", "bogus_item", *LISTED)),
    ({"input": [{}]}, EMPTY),
    ({"input": [{}], "truncation": "bogus", "previous_response_id": "resp_x", "temperature": 0.5}, EMPTY),
    ({"input": [user(role="bogus")]}, choice("input[0]", "bogus", *ROLES)),
    ({"input": [{"role": "user"}]}, missing("input[0].content")),
    ({"input": [user(bogus=1)]}, unknown("input[0].bogus")),
    ({"input": [user(bogus=1)], "zzz": 1}, unknown("zzz")),
    ({"input": [user(phase="final_answer")]}, unknown("input[0].phase")),
    ({"input": [user(id="msg_x", status="completed", type="message")], "temperature": 0.5}, sampling("temperature")),
    ({"input": [said(phase="bogus"), user()]}, choice("input[0].phase", "bogus", "commentary", "final_answer")),
    ({"input": [said(zzz=1), user()]}, unknown("input[0].zzz")),
    ({"input": [user(), said(phase="final_answer"), user()], "temperature": 0.5}, sampling("temperature")),
    (
        {"input": [user(), said(status=None)]},
        wrong("input[1].status", "one of 'in_progress', 'completed', or 'incomplete'", "null"),  # openai-python#3008
    ),
    ({"input": [user(content=7)]}, wrong("input[0].content", "one of a string or array of objects", "an integer")),
    ({"input": [user(content=[7])]}, wrong("input[0].content[0]", "an object", "an integer")),
    ({"input": [user(content=[{"text": "x"}])]}, missing("input[0].content[0].type")),
    ({"input": [user(content=[{"type": "input_text"}])]}, missing("input[0].content[0].text")),
    ({"input": [user(content=[{"type": "x"}])]}, choice("input[0].content[0].type", "x", *LISTED_PARTS)),
    (
        {"input": [user(content=[{"type": "output_text", "text": "x"}])]},
        choice(
            "input[0].content[0]",
            "output_text",
            "input_text",
            "input_image",
            "input_file",
            "scoped_content",
            "input_audio",
        ),
    ),
    (
        {"input": [said(content=[{"type": "input_text", "text": "x"}])]},
        choice("input[0].content[0]", "input_text", "output_text", "refusal"),
    ),
    (
        {"input": [user(content=[{"type": "input_text", "text": "x", "id": "p"}])]},
        unknown("input[0].content[0].id"),
    ),
    # what naive cleaning produces, and what replayed answers still hold
    ({"input": [user(), {"type": "reasoning", "id": "rs_1"}]}, missing("input[1].summary")),
    ({"input": [user(), {"type": "reasoning", "summary": []}]}, missing("input[1].id")),
    ({"input": [{"type": "reasoning", "summary": [], "status": "completed"}]}, unknown("input[0].status")),
    (
        {"input": [{"type": "reasoning", "id": "rs_1", "summary": [], "content": None}]},
        wrong("input[0].content", "an array of objects", "null"),
    ),
    ({"input": [{"type": "reasoning", "summary": "x"}]}, wrong("input[0].summary", "an array of objects", "a string")),
    ({"input": [{"type": "function_call", "call_id": "c", "name": "f"}]}, missing("input[0].arguments")),
    ({"input": [{"type": "shell_call", "call_id": "c", "action": {}}]}, missing("input[0].action.commands")),
    (
        {"input": [{"type": "shell_call", "call_id": "c", "action": 1}]},
        wrong("input[0].action", "an object", "an integer"),
    ),
    (
        {"input": [{"type": "computer_call", "call_id": "c", "pending_safety_checks": []}]},
        missing("input[0].id"),
    ),
    (
        {"input": [{"type": "computer_call_output", "call_id": "c", "output": "x"}]},
        wrong("input[0].output", "an object", "a string"),
    ),
    (
        {"input": [{"type": "function_call_output", "call_id": "c", "output": {}}]},
        wrong("input[0].output", "one of a string or array of objects", "an object"),
    ),
    ({"input": [{"type": "item_reference"}]}, missing("input[0].id")),
    ({"input": [{"type": "additional_tools", "role": "developer", "tools": [{}]}]}, missing("input[0].tools[0].type")),
    (
        {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "", "caller": 1}]},
        wrong("input[0].caller", "an object", "an integer"),
    ),
    # ids
    (
        {"input": [{"type": "function_call", "id": "item_A9v0S", "call_id": "c", "name": "f", "arguments": ""}]},
        ("Invalid 'input[0].id': 'item_A9v0S'. Expected an ID that begins with 'fc'.", "input[0].id", "invalid_value"),
    ),
    (
        {"input": [user(id="msg_ä")]},
        (
            (
                "Invalid 'input[0].id': 'msg_ä'. Expected an ID that contains letters, numbers, underscores, or "
                "dashes, but this value contained additional characters."
            ),
            "input[0].id",
            "invalid_value",
        ),
    ),
    (
        {"input": [user(id="msg_" + "x" * 61)]},
        (
            (
                "Invalid 'input[0].id': string too long. Expected a string with maximum length 64, "
                "but got a string with length 65 instead."
            ),
            "input[0].id",
            "string_above_max_length",
        ),
    ),
    ({"input": [user(id=None)]}, wrong("input[0].id", "a string", "null")),
    (
        {"previous_response_id": "gen-123"},
        (
            "Invalid 'previous_response_id': 'gen-123'. Expected an ID that begins with 'resp'.",
            "previous_response_id",
            "invalid_value",
        ),
    ),
    ({"previous_response_id": {"a": 1}}, wrong("previous_response_id", "a string", "an object")),
    ({"conversation": 7}, wrong("conversation", "one of a string or an object", "an integer")),
    ({"conversation": {}}, missing("conversation.id")),
    # every other parameter
    ({"text": {"zzz": 1}}, unknown("text.zzz")),
    ({"text": "x"}, wrong("text", "an object", "a string")),
    ({"text": {"format": 1}}, wrong("text.format", "an object", "an integer")),
    ({"text": {"format": {}}}, missing("text.format.type")),
    (
        {"text": {"format": {"type": "bogus"}}},
        choice("text.format.type", "bogus", "json_object", "text", "json_schema"),
    ),
    ({"text": {"format": {"type": "json_schema"}}}, missing("text.format.name")),
    ({"text": {"verbosity": "bogus"}, "temperature": 0.5}, choice("text.verbosity", "bogus", "low", "medium", "high")),
    ({"tools": "x", "metadata": "x"}, wrong("tools", "an array of tools", "a string")),
    ({"tools": [7]}, wrong("tools[0]", "an object", "an integer")),
    ({"tools": [{}]}, missing("tools[0].type")),
    ({"tools": [{"type": "function"}]}, missing("tools[0].name")),
    ({"tools": [{"type": "function", "name": 1}]}, wrong("tools[0].name", "a string", "an integer")),
    (
        {"tool_choice": 7},
        wrong("tool_choice", "one of an object or 'none', 'auto', or 'required'", "an integer"),
    ),
    ({"tool_choice": "bogus"}, choice("tool_choice", "bogus", "none", "auto", "required")),
    ({"tool_choice": {}}, missing("tool_choice.type")),
    ({"tool_choice": {"type": "function"}}, missing("tool_choice.name")),
    (
        {"tool_choice": {"type": "function", "name": "f"}},
        ("Tool choice 'f' not found in 'tools' parameter.", None, None),
    ),
    ({"reasoning": "low"}, wrong("reasoning", "an object", "a string")),
    ({"reasoning": {"bogus": 1}}, unknown("reasoning.bogus")),
    (
        {"reasoning": {"effort": 5}},
        wrong("reasoning.effort", "one of 'minimal', 'low', 'medium', or 'high'", "an integer"),
    ),
    (
        {"reasoning": {"effort": []}},
        wrong(
            "reasoning.effort",
            "one of one of 'none', 'minimal', 'low', 'medium', 'high', 'xhigh', or 'max' or integer",
            "an array",
        ),
    ),
    (
        {"reasoning": {"effort": "bogus"}},
        choice("reasoning.effort", "bogus", "none", "minimal", "low", "medium", "high", "xhigh", "max"),
    ),
    ({"temperature": "hot", "top_p": "x"}, wrong("temperature", "a decimal", "a string")),
    ({"temperature": []}, wrong("temperature", "a decimal", "an array")),
    ({"stream": 1.5}, wrong("stream", "a boolean", "a decimal")),
    (
        {"safety_identifier": "x" * 65},
        (
            (
                "Invalid 'safety_identifier': string too long. Expected a string with maximum length 64, "
                "but got a string with length 65 instead."
            ),
            "safety_identifier",
            "string_above_max_length",
        ),
    ),
    ({"temperature": True}, wrong("temperature", "a decimal", "a boolean")),
    ({"top_p": 0.5}, sampling("top_p")),
    ({"presence_penalty": 0.5}, sampling("presence_penalty")),
    (
        {"top_logprobs": 1},
        ("logprobs are not supported with reasoning models.", "top_logprobs", "unsupported_parameter"),
    ),
    (
        {"include": ["message.output_text.logprobs"], "top_logprobs": 1},
        ("logprobs are not supported with reasoning models.", "include", "unsupported_parameter"),
    ),
    ({"top_logprobs": 1, "temperature": 0.5}, sampling("temperature")),
    ({"prompt": "x"}, wrong("prompt", "an object", "a string")),
    ({"truncation": {"a": 1}}, wrong("truncation", "one of 'auto' or 'disabled'", "an object")),
    (
        {"max_tool_calls": 0},
        (
            "Invalid 'max_tool_calls': integer below minimum value. Expected a value >= 1, but got 0 instead.",
            "max_tool_calls",
            "integer_below_min_value",
        ),
    ),
    ({"max_output_tokens": "x"}, wrong("max_output_tokens", "an integer", "a string")),
    ({"metadata": "x", "text": "x"}, wrong("metadata", "a metadata object", "a string")),
    (
        {"metadata": MANY},
        (
            (
                "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, "
                "but got an object with 17 properties instead."
            ),
            "metadata",
            "object_above_max_properties",
        ),
    ),
    ({"stream": "yes", "background": "yes"}, wrong("stream", "a boolean", "a string")),
    ({"stream_options": {"include_usage": True}}, unknown("stream_options.include_usage")),
    ({"store": "yes"}, wrong("store", "a boolean", "a string")),
    ({"context_management": "x"}, wrong("context_management", "an array of objects", "a string")),
    (
        {"include": "x"},
        wrong(
            "include",
            "an array of one of 'fil...lts', 'web...lts', 'web...ces', 'mes...url', 'com...url', 'cod...uts', "
            "'rea...ent', or 'mes...obs'",
            "a string",
        ),
    ),
    ({"moderation": "x", "include": ["bogus"]}, wrong("moderation", "an object", "a string")),
    ({"background": True, "store": False}, ("Background mode requires 'store' to be true.", "background", None)),
]


@pytest.mark.parametrize(("more", "expected"), ROWS, ids=lambda value: re.sub(r"<object .*?>", "…", str(value))[:60])
def test_refuses_a_wrong_shape(
    shared: Fake, more: dict[str, Any], expected: tuple[str, str | None, str | None]
) -> None:
    """A request of the wrong shape gets status 400 and exactly one fault, with the words of the live API."""
    body = {"model": "gpt-5.4", "input": "ping", "max_output_tokens": 16, **more}
    body = {name: value for name, value in body.items() if value is not DELETED}
    status, message, param, code = refused(shared.post("/v1/responses", body))
    assert (status, param, code) == (400, *expected[1:])
    assert message.startswith(expected[0])


ENVELOPE = [
    "id",
    "object",
    "created",
    "created_at",
    "completed_at",
    "output",
    "output_text",
    "usage",
    "error",
    "incomplete_details",
    "status",
    "billing",
    "choices",
    "system_fingerprint",
    "finish_reason",
    "response_id",
    "tool_usage",
]


@pytest.mark.parametrize("name", ENVELOPE)
def test_refuses_the_fields_of_an_answer(shared: Fake, name: str) -> None:
    """A client that sends an answer's own fields back is told so, one field at a time."""
    status, message, param, code = shared.refusal("ping", **{name: 1})
    assert (status, param, code) == (400, name, "unknown_parameter")
    assert message.startswith(f"Unknown parameter: '{name}'.")


def test_null_is_left_out(shared: Fake) -> None:
    """At the top level a null is as good as nothing."""
    assert shared.create("ping", previous_response_id=None, tools=None, text=None)["status"] == "completed"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b"\xef\xbb\xbf{}", b"[" * 100_000])
def test_refuses_what_is_no_object(shared: Fake, body: bytes) -> None:
    """A body that is no JSON object is refused with a 400, whatever it is."""
    answer = shared.http.post(shared.url + "/v1/responses", content=body, headers={"authorization": "Bearer sk-x"})
    assert refused(answer)[0] == 400


def test_lone_surrogates_and_large_numbers_are_understood(shared: Fake) -> None:
    """Text that is no Unicode, and numbers no machine word holds, are JSON and are answered."""
    body = (
        b'{"model":"gpt-5.4","input":"\\ud800 x","metadata":{"a":"\\udfff"},"tools":[{"type":"x","n":1e400,"m":'
        + b"9" * 40
    )
    answer = shared.http.post(
        shared.url + "/v1/responses", content=body + b"}]}", headers={"authorization": "Bearer sk-x"}
    )
    assert answer.status_code == 200


def test_a_model_that_does_not_reason_takes_sampling_parameters(shared: Fake) -> None:
    """What a reasoning model refuses an older one accepts, and it answers without reasoning."""
    answer = shared.post("/v1/responses", {"model": "gpt-4o", "input": "ping", "temperature": 0.5, "top_logprobs": 1})
    assert [item["type"] for item in answer.json()["output"]] == ["message"]
