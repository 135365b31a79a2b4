"""The routes under `/conversations`: a history that lives on the server.

Items are checked as those of a response are, and kept with an id.
"""

from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from . import refusals
from .answers import EPOCH
from .http import Call, answered, listing
from .items import LISTED, Item, check_item, kind_of
from .parameters import check_metadata
from .responses import with_ids
from .shapes import named
from .state import Account, Conversation

Body = dict[str, Any]


LISTED_ONLY = ("agent_message", "compaction_trigger", "multi_agent_call", "multi_agent_call_output")
"""Kinds of an input that a list of a conversation's items does not have (openai 3.57.0, `ConversationItem`)."""


def _items(account: Account, body: Body, known: Iterable[Item] = (), *, required: bool = False) -> list[Item]:
    """The items of a body, as they are kept behind those that are `known`."""
    if required and "items" not in body:
        raise refusals.missing("items")
    items = [] if body.get("items") is None and not required else body["items"]
    if not isinstance(items, list):
        raise refusals.wrong_type("items", "an array of input items", named(items))
    if len(items) > 20:
        raise refusals.too_many("items", 20, len(items))
    for index, item in enumerate(items):
        check_item(item, f"items[{index}]", account.options.profile)
        _check_kept(account, item, f"items[{index}]")
    found = [_resolved(account, item) for item in items]
    _check_duplicates([*known, *found])
    return with_ids(account, found)


def _check_kept(account: Account, item: Item, place: str) -> None:
    """Reasoning needs a blob or an id that is known here (openai/openai-agents-python#1709)."""
    if kind_of(item) in LISTED_ONLY:
        raise refusals.wrong_choice(place, kind_of(item), [kind for kind in LISTED if kind not in LISTED_ONLY])
    if kind_of(item) == "reasoning" and not item.get("encrypted_content") and item.get("id") not in account.items:
        raise refusals.Refusal("Invalid item", param="item", code="invalid_item")


def _resolved(account: Account, item: Item) -> Item:
    """The item that a reference names."""
    if kind_of(item) != "item_reference":
        return item
    if item["id"] not in account.items:
        raise refusals.not_found("Item", item["id"])
    return account.items[item["id"]]


def _check_duplicates(items: Iterable[Item]) -> None:
    seen: set[str] = set()
    for identifier in (item["id"] for item in items if item.get("id")):
        if identifier in seen:
            raise refusals.duplicate(identifier)
        seen.add(identifier)


def _metadata(body: Body) -> dict[str, Any]:
    metadata = {} if body.get("metadata") is None else body["metadata"]
    check_metadata(metadata, "metadata")
    return dict(metadata)


def _check_fields(body: Body, *known: str) -> None:
    for name in body:
        if name not in known:
            raise refusals.unknown(name)


def _called(request: Request, account: Account) -> Conversation:
    return account.conversation(request.path_params["conversation"])


def _free(call: Call) -> Conversation:
    """A conversation that no answer is streaming to."""
    conversation = _called(call.request, call.account)
    if conversation.busy:
        raise refusals.conversation_locked()
    return conversation


async def create(call: Call) -> Response:
    """A new conversation, with items if some are given."""
    account = call.account
    _check_fields(call.body, "items", "metadata")
    metadata = _metadata(call.body)
    kept = _items(account, call.body)
    identifier = f"conv_{account.next_name('conversation')[:40]}"
    conversation = Conversation(identifier, EPOCH + account.made, metadata, kept)
    account.conversations[identifier] = conversation
    account.remember(kept)
    return answered(conversation.body())


async def retrieve(call: Call) -> Response:
    """A conversation."""
    return answered(_called(call.request, call.account).body())


async def update(call: Call) -> Response:
    """A conversation with other metadata."""
    conversation = _called(call.request, call.account)
    _check_fields(call.body, "metadata")
    if "metadata" not in call.body:
        raise refusals.missing("metadata")
    conversation.metadata = _metadata(call.body)
    return answered(conversation.body())


async def delete(call: Call) -> Response:
    """A conversation no more; its items stay."""
    conversation = _free(call)
    del call.account.conversations[conversation.id]
    return answered({"id": conversation.id, "object": "conversation.deleted", "deleted": True})


async def add_items(call: Call) -> Response:
    """More items of a conversation."""
    conversation = _free(call)
    _check_fields(call.body, "items")
    kept = _items(call.account, call.body, conversation.items, required=True)
    conversation.items += kept
    call.account.remember(kept)
    return answered(listing(kept, {}))


async def list_items(call: Call) -> Response:
    """The items of a conversation, the newest first."""
    conversation = _called(call.request, call.account)
    query = call.request.query_params
    limit, after = query.get("limit", "20"), query.get("after")
    if not limit.isdecimal():
        raise refusals.wrong_type("limit", "an integer", "a string")
    if after is not None and all(item["id"] != after for item in conversation.items):
        raise refusals.not_found("Item", after, "after")
    return answered(listing(conversation.items[::-1], query))


def _item(call: Call) -> Item:
    identifier = call.request.path_params["item"]
    for item in _called(call.request, call.account).items:
        if item["id"] == identifier:
            return item
    raise refusals.not_found("Item", identifier)


async def retrieve_item(call: Call) -> Response:
    """One item of a conversation."""
    return answered(_item(call))


async def delete_item(call: Call) -> Response:
    """A conversation without one of its items."""
    conversation = _free(call)
    conversation.items.remove(_item(call))
    return answered(conversation.body())
