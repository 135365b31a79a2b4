"""The routes under `/conversations`: a history that lives on the server.

Items are checked as those of a response are, and kept with an id.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from . import refusals
from .answers import EPOCH
from .http import Call, answered, listing
from .items import Item, check_item, kind_of
from .parameters import check_metadata
from .responses import with_ids
from .shapes import named
from .state import Account, Conversation

Body = dict[str, Any]


def _items(account: Account, body: Body) -> list[Item]:
    """The items of a body, as they are kept."""
    items = body.get("items") or []
    if not isinstance(items, list):
        raise refusals.wrong_type("items", "an array of input items", named(items))
    if len(items) > 20:
        raise refusals.too_many("items", 20, len(items))
    for index, item in enumerate(items):
        check_item(item, f"items[{index}]", account.options.profile)
        _check_kept(account, item)
    return with_ids(account, items)


def _check_kept(account: Account, item: Item) -> None:
    """Reasoning needs a blob or an id that is known here (openai/openai-agents-python#1709)."""
    bare = kind_of(item) == "reasoning" and not item.get("encrypted_content")
    if kind_of(item) == "item_reference" or (bare and item.get("id") not in account.items):
        raise refusals.Refusal("Invalid item", param="item", code="invalid_item")


def _metadata(body: Body) -> dict[str, Any]:
    metadata = body.get("metadata") or {}
    check_metadata(metadata, "metadata")
    return dict(metadata)


def _called(request: Request, account: Account) -> Conversation:
    return account.conversation(request.path_params["conversation"])


async def create(call: Call) -> Response:
    """A new conversation, with items if some are given."""
    account = call.account
    kept = _items(account, call.body)
    identifier = f"conv_{account.next_name('conversation')[:40]}"
    conversation = Conversation(identifier, EPOCH + account.made, _metadata(call.body), kept)
    account.conversations[identifier] = conversation
    account.remember(kept)
    return answered(conversation.body())


async def retrieve(call: Call) -> Response:
    """A conversation."""
    return answered(_called(call.request, call.account).body())


async def update(call: Call) -> Response:
    """A conversation with other metadata."""
    conversation = _called(call.request, call.account)
    conversation.metadata = _metadata(call.body)
    return answered(conversation.body())


async def delete(call: Call) -> Response:
    """A conversation no more; its items stay."""
    conversation = _called(call.request, call.account)
    del call.account.conversations[conversation.id]
    return answered({"id": conversation.id, "object": "conversation.deleted", "deleted": True})


async def add_items(call: Call) -> Response:
    """More items of a conversation."""
    conversation = _called(call.request, call.account)
    kept = _items(call.account, call.body)
    conversation.items += kept
    call.account.remember(kept)
    return answered(listing(kept, {}))


async def list_items(call: Call) -> Response:
    """The items of a conversation, the newest first."""
    conversation = _called(call.request, call.account)
    return answered(listing(conversation.items[::-1], call.request.query_params))


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
    conversation = _called(call.request, call.account)
    conversation.items.remove(_item(call))
    return answered(conversation.body())
