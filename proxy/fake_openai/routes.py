"""The routes under `/responses` and `/models`.

Reads what a request wants of the HTTP side (a stream, a query) and leaves the rest to `responses`.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.responses import Response, StreamingResponse

from . import refusals
from .answers import EPOCH, unfinished
from .events import Event, events, line
from .http import Call, answered, listing, number
from .refusal_streams import lines
from .responses import compacted, counted, created, question
from .state import Conversation, Record

MODELS = ("gpt-5.6-sol", "gpt-5.5", "gpt-5.4", "gpt-5.4-mini", "gpt-5", "o3", "o4-mini", "gpt-4.1", "gpt-4o")


async def create(call: Call) -> Response:
    """A response, whole or as a stream of events, or queued; a refusal may be inside the stream, too."""
    try:
        return _created(call)
    except refusals.Refusal as refusal:
        shape = call.instance.options.refusals
        if shape == "status" or call.body.get("stream") is not True:
            raise
        return _event_stream(lines(shape, refusal))


def _created(call: Call) -> Response:
    asked_for = question(call.account, call.body)
    given = asked_for.given
    if given.get("background") and not given.get("store", True):
        raise refusals.Refusal("Background mode requires 'store' to be true.", param="background")
    whole = created(call.account, asked_for).response
    if given.get("stream"):
        return _stream(events(whole), call.instance.options.delay, asked_for.conversation)
    if given.get("background"):
        call.account.responses[whole["id"]].waiting = True
        return answered(unfinished(whole, "queued"))
    return answered(whole)


def _stream(what: Iterable[Event], delay: float, conversation: Conversation | None = None) -> Response:
    return _event_stream(_lines(what, delay, conversation))


def _event_stream(body: AsyncIterable[bytes] | Iterable[bytes]) -> Response:
    return StreamingResponse(body, headers={"content-type": "text/event-stream; charset=utf-8"})


async def _lines(what: Iterable[Event], delay: float, conversation: Conversation | None) -> AsyncIterator[bytes]:
    with busy(conversation):
        for event in what:
            yield line(event)
            await asyncio.sleep(delay)


@contextmanager
def busy(conversation: Conversation | None) -> Iterator[None]:
    """A conversation is locked while an answer to it streams."""
    if conversation is None:
        yield
        return
    conversation.busy = True
    try:
        yield
    finally:
        conversation.busy = False


def _record(call: Call) -> Record:
    return call.account.record(call.request.path_params["response"])


async def retrieve(call: Call) -> Response:
    """A stored response; one in the background is completed by being looked at."""
    record = _record(call)
    query = call.request.query_params
    if "reasoning.encrypted_content" in query.getlist("include") + query.getlist("include[]"):
        raise refusals.Refusal("Encrypted content cannot be requested for persisted responses")
    record.waiting = False
    if query.get("stream") == "true":
        after = number(query.get("starting_after"), -1)
        rest = (event for event in events(record.response) if event["sequence_number"] > after)
        return _stream(rest, call.instance.options.delay)
    return answered(record.response)


async def delete(call: Call) -> Response:
    """A response no more; its items stay known."""
    identifier = _record(call).response["id"]
    del call.account.responses[identifier]
    return answered({"id": identifier, "object": "response.deleted", "deleted": True})


async def cancel(call: Call) -> Response:
    """A background response that was not polled yet is cancelled."""
    record = _record(call)
    if not record.response["background"]:
        raise refusals.Refusal("Cannot cancel a synchronous response.")
    if record.waiting:
        record.response = unfinished(record.response, "cancelled")
        record.waiting = False
    return answered(record.response)


async def input_items(call: Call) -> Response:
    """The input items of a response, the newest first."""
    return answered(listing(_record(call).asked[::-1], call.request.query_params))


async def input_tokens(call: Call) -> Response:
    """How many tokens a request would be."""
    return answered(counted(call.account, call.body))


async def compact(call: Call) -> Response:
    """A conversation as one item."""
    return answered(compacted(call.account, call.body))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": EPOCH, "owned_by": "openai"}


async def models(_call: Call) -> Response:
    """The models there are; requests may name others."""
    return answered({"object": "list", "data": [_model(name) for name in MODELS]})


async def model(call: Call) -> Response:
    """One model."""
    name = call.request.path_params["model"]
    if name not in MODELS:
        raise refusals.Refusal(
            f"The model '{name}' does not exist or you do not have access to it.",
            param="model",
            code="model_not_found",
            status=404,
        )
    return answered(_model(name))
