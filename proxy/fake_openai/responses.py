"""Create, count and compact: a body goes through all phases of validation and comes out as a response.

The phases are those of the live API: shape, server state, empty input, capability. No HTTP here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from . import answers, refusals
from .history import admitted, asked, before, check_continuity, named_conversation
from .identifiers import item_id, link
from .items import Item, kind_of, prefix
from .pairing import check_pairs
from .parameters import COMPACT, COUNT, CREATE, checked
from .respond import taken
from .state import Account, Conversation, Record
from .tools import Tool, chosen, tools
from .turn import Turn, compact, reasons


@dataclass
class Question:
    """A request that passed: its parameters, the items it sent, and all that the model sees."""

    given: Mapping[str, Any]
    asked: list[Item]
    context: list[Item]
    conversation: Conversation | None = None


def question(
    account: Account, body: Mapping[str, Any], line: str = CREATE, nearby: Mapping[str, Record] = MappingProxyType({})
) -> Question:
    """A body that passed every phase, or the first refusal; `nearby` are responses that are known but not stored."""
    given = checked(body, line, account.options.profile)
    earlier = before(account, given, nearby)
    sent = admitted(account, given, asked(given))
    context = earlier + sent
    check_continuity(account, str(given.get("model")), context)
    check_pairs(context)
    if line != COUNT and not context:
        raise refusals.no_input()
    _check_capability(given, context)
    return Question(given, sent, context, named_conversation(account, given))


# Each with the values that change nothing.
SAMPLING = {"temperature": (1,), "top_p": (1, 0.98), "presence_penalty": (0,), "frequency_penalty": (0,)}


def _check_capability(given: Mapping[str, Any], context: list[Item]) -> None:
    """What a model of this name cannot do; a sampling parameter at its default does no harm."""
    model = str(given.get("model", "gpt"))
    if not model or "does-not-exist" in model:
        raise refusals.no_model(model)
    if reasons(model):
        for name, harmless in SAMPLING.items():
            if name in given and given[name] not in harmless:
                raise refusals.unsupported(name)
        _check_log_probabilities(given)
    choice = given.get("tool_choice")
    if isinstance(choice, dict) and "name" in choice:
        _check_choice(choice, tools(given, context))


def _check_choice(choice: Mapping[str, Any], known: list[Tool]) -> None:
    if choice["type"] in ("function", "custom") and not any(chosen(tool, choice) for tool in known):
        raise refusals.no_tool(choice["name"])


def _check_log_probabilities(given: Mapping[str, Any]) -> None:
    if "message.output_text.logprobs" in given.get("include", ()):
        raise refusals.no_logprobs("include")
    if given.get("top_logprobs"):
        raise refusals.no_logprobs("top_logprobs")


def created(account: Account, asked_for: Question, *, generate: bool = True) -> Record:
    """The response to a question, stored if it is to be; without `generate` it has no output, and prepares the next."""
    given = asked_for.given
    name = account.next_name("response")
    number, of = account.made, link(name)
    output = taken(account, given, asked_for.context, of) if generate else []
    whole = answers.response(given, f"resp_{of}{name[:16]}", number, asked_for.context, output)
    whole["store"] = stores(account, given)
    record = Record(whole, asked_for.asked, asked_for.context + output)
    if whole["store"]:
        record.asked = with_ids(account, asked_for.asked)
        account.remember(record.asked + output)
        account.responses[whole["id"]] = record
    if asked_for.conversation is not None:
        sent = with_ids(account, asked_for.asked)
        asked_for.conversation.items += sent + output
        account.remember(sent + output)
    return record


def stores(account: Account, given: Mapping[str, Any]) -> bool:
    """Whether a response is kept."""
    return bool(given.get("store", True)) and not account.options.zero_data_retention


def with_ids(account: Account, items: list[Item]) -> list[Item]:
    """Items as they are stored: each with an id."""
    return [item if item.get("id") else {**_typed(item), "id": _new_id(account, item)} for item in items]


def _typed(item: Item) -> Item:
    if kind_of(item) != "message":
        return item
    part = "output_text" if item["role"] == "assistant" else "input_text"
    content = [{"type": part, "text": item["content"]}] if isinstance(item["content"], str) else item["content"]
    return {**item, "type": "message", "status": "completed", "content": content}


def _new_id(account: Account, item: Item) -> str:
    return item_id(prefix(kind_of(item)), link(account.next_name("item")), 0)


def counted(account: Account, body: Mapping[str, Any]) -> dict[str, Any]:
    """How many tokens a request would be."""
    asked_for = question(account, body, COUNT)
    number = answers.usage(asked_for.given, asked_for.context, [])["input_tokens"]
    return {"object": "response.input_tokens", "input_tokens": number}


def compacted(account: Account, body: Mapping[str, Any]) -> dict[str, Any]:
    """A conversation as one item; the id of this answer is no parent for a response."""
    asked_for = question(account, body, COMPACT)
    name = account.next_name("compaction")
    turn = Turn(account, asked_for.given, asked_for.context, link(name))
    turn.output += with_ids(account, [item for item in asked_for.context if item.get("role") == "user"])
    compact(turn)
    return {
        "id": f"resp_{name[:40]}",
        "object": "response.compaction",
        "created_at": answers.EPOCH + account.made,
        "output": turn.output,
        "usage": answers.usage(asked_for.given, asked_for.context, turn.output),
    }
