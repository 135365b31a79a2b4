"""A response as JSON: the parameters it echoes, its usage, its output.

Deterministic: the clock stands still, so that the same requests have the same answers.
"""

import json
from collections.abc import Mapping
from typing import Any

from .items import Item, kind_of
from .model import text_of

EPOCH = 1_788_000_000

ECHOED: dict[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "prompt_cache_retention": "24h",
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 0.98,
    "truncation": "disabled",
    "user": None,
}


def response(
    given: Mapping[str, Any], identifier: str, number: int, history: list[Item], output: list[Item]
) -> dict[str, Any]:
    """A completed response."""
    made_at = EPOCH + number
    return {
        "id": identifier,
        "object": "response",
        "created_at": made_at,
        "completed_at": made_at,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": given.get("model"),
        "output": output,
        **{name: given.get(name, value) for name, value in ECHOED.items()},
        **_composed(given),
        "billing": {"payer": "openai"},
        "tool_usage": _tool_usage(output),
        "usage": usage(given, history, output),
    }


def _composed(given: Mapping[str, Any]) -> dict[str, Any]:
    """The echoes that are not what was sent."""
    conversation = given.get("conversation")
    tier = given.get("service_tier", "auto")
    return {
        "conversation": {"id": conversation} if isinstance(conversation, str) else conversation,
        "reasoning": {"effort": None, "summary": None, **given.get("reasoning", {})},
        "service_tier": {"auto": "default", "fast": "priority"}.get(tier, tier),
        "text": {"format": {"type": "text"}, "verbosity": "medium", **given.get("text", {})},
    }


def _tool_usage(output: list[Item]) -> dict[str, Any]:
    """An envelope field, unknown to requests like all of them."""
    searches = sum(kind_of(item) == "web_search_call" for item in output)
    none = {"image_tokens": 0, "text_tokens": 0}
    images = {"input_tokens": 0, "input_tokens_details": none, "output_tokens": 0, "total_tokens": 0}
    return {"image_gen": images, "web_search": {"num_requests": searches}}


def unfinished(whole: Mapping[str, Any], status: str) -> dict[str, Any]:
    """The response before it is completed."""
    return {**whole, "status": status, "completed_at": None, "output": [], "usage": None}


def usage(given: Mapping[str, Any], history: list[Item], output: list[Item]) -> dict[str, Any]:
    """Tokens, plausible and growing with what is sent."""
    put_in = tokens(given.get("instructions"), given.get("tools"), *history)
    thought = 64 * sum(kind_of(item) == "reasoning" for item in output)
    said = thought + tokens(*(item for item in output if kind_of(item) != "reasoning"))
    return {
        "input_tokens": put_in,
        "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": 0},
        "output_tokens": said,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": put_in + said,
    }


def tokens(*values: Any) -> int:
    """How many tokens some values are: a token is four characters of what the model reads."""
    return sum(3 + len(_read(value)) // 4 for value in values if value)


def _read(value: Any) -> str:
    """Ids and blobs cost nothing, or stripping them would change the count."""
    if isinstance(value, dict):
        kept = {name: part for name, part in value.items() if name not in {"id", "encrypted_content", "status"}}
        return text_of(value["content"]) if "role" in value and "content" in value else json.dumps(kept)
    return value if isinstance(value, str) else json.dumps(value)
