"""What the model is going to see: references looked up, histories joined, and every id, blob and container checked.

The second phase of validation, after the shape and before anything is answered; the lookups come in the order of the
live API: conversation, prompt, previous response, then the items one by one.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from . import refusals
from .encrypted_content import Memory, opened
from .identifiers import link_of, required_reasoning
from .items import Item, kind_of
from .state import Account, Conversation, Record

# Followers of a reasoning that a model never makes.
CLIENT_MADE = frozenset({
    "message", "function_call_output", "custom_tool_call_output", "computer_call_output", "local_shell_call_output",
    "shell_call_output", "apply_patch_call_output", "mcp_approval_response", "additional_tools", "configuration_update",
    "compaction_trigger",
})  # fmt: skip


def asked(given: Mapping[str, Any]) -> list[Item]:
    """The items of the input; a string is a user message."""
    value = given.get("input", [])
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}] if value else []
    return list(value)


def named_conversation(account: Account, given: Mapping[str, Any]) -> Conversation | None:
    """The conversation that a request names."""
    named = given.get("conversation")
    if named is None:
        return None
    return account.conversation(named if isinstance(named, str) else named["id"])


def before(account: Account, given: Mapping[str, Any], nearby: Mapping[str, Record]) -> list[Item]:
    """The items that a conversation or a previous response brings; `nearby` are responses that a connection keeps."""
    if "conversation" in given and "previous_response_id" in given:
        raise refusals.two_histories()
    conversation = named_conversation(account, given)
    if "prompt" in given:
        raise refusals.not_found("Prompt", given["prompt"]["id"])
    if conversation is not None:
        if conversation.busy:
            raise refusals.conversation_locked()
        return list(conversation.items)
    return _context(account, given["previous_response_id"], nearby) if "previous_response_id" in given else []


def _context(account: Account, response_id: str, nearby: Mapping[str, Record]) -> list[Item]:
    if response_id in nearby:
        return list(nearby[response_id].context)
    if account.options.zero_data_retention:
        raise refusals.previous_response_not_retained()
    record = account.responses.get(response_id)
    if record is None:
        raise refusals.previous_response_not_found(response_id)
    return list(record.context)


def admitted(account: Account, given: Mapping[str, Any], items: list[Item]) -> list[Item]:
    """The items with references replaced by what they name; refuses what this server cannot know, verify or use."""
    return [_admit(account, given, item, f"input[{index}]") for index, item in enumerate(items)]


def _admit(account: Account, given: Mapping[str, Any], item: Item, place: str) -> Item:
    match kind_of(item):
        case "item_reference":
            return _found(account, given, item["id"])
        case "reasoning":
            _check_reasoning(account, given, item)
        case "compaction":
            _verified(account, item)
        case "image_generation_call":
            _check_image(account, given, item, place)
        case "code_interpreter_call":
            if item["container_id"] in account.expired:
                raise refusals.container_expired(item["container_id"])
    return item


def _found(account: Account, given: Mapping[str, Any], identifier: str) -> Item:
    if identifier not in account.items:
        raise _not_found(account, given, identifier)
    return account.items[identifier]


def _not_found(account: Account, given: Mapping[str, Any], identifier: str) -> refusals.Refusal:
    reason = "" if given.get("store", True) else refusals.UNSTORED
    if account.options.zero_data_retention:
        reason = refusals.RETAINED_NOWHERE
    return refusals.item_not_found(identifier, reason, 400 if account.options.profile == "azure" else 404)


def _check_reasoning(account: Account, given: Mapping[str, Any], item: Item) -> None:
    """A bare id is looked up; a blob is verified, and an id beside it must be of this key of this instance."""
    if not item.get("encrypted_content"):
        if "id" in item:
            _found(account, given, item["id"])
        return
    memory = _verified(account, item)
    foreign = memory.origin != account.name and account.options.foreign_ids == "refused"
    if "id" in item and foreign and account.options.profile != "azure":
        _found(account, given, item["id"])


def _verified(account: Account, item: Item) -> Memory:
    blob = item["encrypted_content"]
    memory = opened(blob)
    if memory is None:
        raise refusals.unverified(blob)
    if memory.organization != account.organization:
        raise refusals.bound_elsewhere(item.get("id", memory.item_id), "organization_id", "organization")
    if item.get("id", memory.item_id) != memory.item_id:
        raise refusals.bound_elsewhere(item["id"], "item_id", "item id")
    return memory


def _check_image(account: Account, given: Mapping[str, Any], item: Item, place: str) -> None:
    """Images are always looked up, and never found without a store (pydantic-ai, anomalyco/opencode#41123)."""
    identifier = item.get("id", "")
    if not given.get("store", True) or account.options.zero_data_retention:
        raise _not_found(account, given, identifier)
    if not identifier:
        raise refusals.missing(f"{place}.id")
    _found(account, given, identifier)


def check_continuity(account: Account, model: str, items: list[Item]) -> None:
    """Refuse an item that is there twice, half of a turn, and reasoning without what it produced."""
    _check_duplicates(items)
    if account.options.profile == "azure" and model.startswith("gpt-5.6-sol"):
        _check_one_continuation(items)
    _check_required_reasoning(items)
    _check_followers(items)


def _check_duplicates(items: list[Item]) -> None:
    seen: set[str] = set()
    for item in items:
        # The id of a local shell's output is that of its call.
        if "id" not in item or item["id"] is None or kind_of(item) == "local_shell_call_output":
            continue
        if item["id"] in seen:
            raise refusals.duplicate(item["id"])
        seen.add(item["id"])


def _check_one_continuation(items: list[Item]) -> None:
    origins = {memory.origin for item in items if (memory := opened(item.get("encrypted_content") or "")) is not None}
    if len(origins) > 1:
        raise refusals.conflicting_continuations()


def _check_required_reasoning(items: list[Item]) -> None:
    seen: set[str] = set()
    for item in items:
        identifier = item.get("id") or ""
        required = required_reasoning(identifier)
        if required is not None and required not in seen and not kind_of(item).endswith("_output"):
            raise refusals.without_reasoning(identifier, kind_of(item), required)
        if kind_of(item) == "reasoning":
            seen.add(identifier)


def _check_followers(items: list[Item]) -> None:
    for item, follower in _reasoning_runs(items):
        if follower is None or _is_client_made(follower) or _is_of_another_turn(item, follower):
            raise refusals.without_following(_known_id(item))


def _reasoning_runs(items: list[Item]) -> Iterator[tuple[Item, Item | None]]:
    """Each reasoning item with the first item after it that is none."""
    follower: Item | None = None
    pairs: list[tuple[Item, Item | None]] = []
    for item in reversed(items):
        if kind_of(item) == "reasoning":
            pairs.append((item, follower))
        else:
            follower = item
    return reversed(pairs)


def _is_client_made(item: Item) -> bool:
    return kind_of(item) in CLIENT_MADE and item.get("role") != "assistant"


def _is_of_another_turn(reasoning: Item, follower: Item) -> bool:
    mine, its = link_of(_known_id(reasoning)), link_of(follower.get("id") or "")
    return mine is not None and its is not None and mine != its


def _known_id(reasoning: Item) -> str:
    """The id of a reasoning item, which its blob knows when it lost it."""
    memory = opened(reasoning.get("encrypted_content") or "")
    return str(reasoning.get("id") or (memory.item_id if memory else ""))
