"""Whether a conversation survives a second server: it is held twice, at one server and from server to server.

Both times the fake API's model says what it saw of the conversation. What it misses after a move is what the real one
would have missed. Ids are not compared, and of reasoning only what is asked for: where a server cannot read it, it is
left out, and the conversation goes on.
"""

import asyncio
import inspect
import json
import re
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any, Final

from proxy.http.metadata import Metadata
from proxy.responses.history.answers import EventStream
from proxy.responses.history.recording import made
from proxy.testing.servers import Fake, Recorded, fake, pair

ClientFactory = Callable[[str], Any]
"""Makes a client of a base URL."""
Conversation = Callable[[Any], Any]
"""Holds a conversation of two turns or more with a client; a coroutine function with an asynchronous one."""

_REASONING: Final = re.compile(r"\d+ items?, |, \d+ reasoning items?")
_NOTHING: Final = "nothing"


def assert_travels(client_factory: ClientFactory, conversation: Conversation, *, reasoning: bool = False) -> None:
    """Raise AssertionError, with what happened, unless each turn is answered as if there were one server only."""
    __tracebackhide__ = True
    with fake("one") as one:
        _held(client_factory, conversation, one, "The conversation does not work with a single server")
        expected = list(_said(one, reasoning=reasoning))
    if len(expected) < 2:
        raise AssertionError(f"The conversation has {len(expected)} answered turns: nothing goes on at another server.")
    with pair() as both:
        _held(client_factory, conversation, both, "The conversation does not survive another server")
        found = list(_said(both, reasoning=reasoning))
    for number, (before, after) in enumerate(zip_longest(expected, found, fillvalue=_NOTHING), 1):
        if before is not None and after is not None and before != after:
            raise AssertionError(
                f"The model lost a part of the conversation. With a single server, turn {number} was answered with\n"
                f"  {before}\nand after a move with\n  {after}"
            )


def _held(client_factory: ClientFactory, conversation: Conversation, server: Fake, failure: str) -> None:
    """Hold the conversation at a server. Raises AssertionError where that fails."""
    __tracebackhide__ = True
    try:
        if inspect.iscoroutinefunction(conversation):
            asyncio.run(_talk(client_factory, conversation, server.url))
        else:
            _talk_now(client_factory, conversation, server.url)
    except Exception as error:
        turns = sum(recorded.is_turn for recorded in server.requests)
        raise AssertionError(f"{failure}: turn {turns + 1} raised {type(error).__name__}: {error}") from error


def _talk_now(client_factory: ClientFactory, conversation: Conversation, url: str) -> None:
    client = client_factory(url)
    try:
        conversation(client)
    finally:
        if hasattr(client, "close"):
            client.close()


async def _talk(client_factory: ClientFactory, conversation: Conversation, url: str) -> None:
    client = client_factory(url)
    try:
        await conversation(client)
    finally:
        closing = client.close() if hasattr(client, "close") else None
        if inspect.isawaitable(closing):
            await closing


def _said(server: Fake, *, reasoning: bool) -> Iterator[str | None]:
    """What the model said in each turn, without ids; with what it saw of reasoning, or without.

    None where the client did not read it to its end, so that it is not known.
    """
    for recorded in filter(lambda one: one.is_turn, server.requests):
        said = "; ".join(filter(None, map(_words, _output(recorded))))
        yield None if not recorded.is_whole else said if reasoning else _REASONING.sub("", said)


def _output(turn: Recorded) -> Iterator[Any]:
    """The items of an answer."""
    response = EventStream().feed(turn.answer) if Metadata(turn.fields).is_event_stream else made(turn.answer)
    return map(json.loads, response.output) if response is not None else iter(())


def _words(item: Any) -> str:
    """What an item says: a text, or a call with its arguments."""
    if item["type"] == "message":
        return " ".join(part.get("text", "") for part in item["content"])
    return "" if item["type"] == "reasoning" else f"{item['type']} {item.get('name', '')} {item.get('arguments', '')}"
