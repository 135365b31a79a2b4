"""Conversations that reach an upstream which refuses inside a 200, with the real `openai` SDK as the client."""

from contextlib import suppress
from typing import Any

import anyio
import openai
import pytest

from proxy.fake_openai.refusal_streams import EVENTS
from tests.end_to_end.conftest import MODEL, Place, Start
from tests.end_to_end.test_conversations import NEXT, begun

pytestmark = pytest.mark.parametrize("shape", EVENTS)


def streamed(client: openai.OpenAI, items: list[Any]) -> tuple[list[str], str]:
    """The types of a stream's events, and the text of its response."""
    with client.responses.create(model=MODEL, input=items, stream=True) as stream:
        events: list[Any] = list(stream)
    last = events[-1]
    return [event.type for event in events], last.response.output_text if last.type == "response.completed" else ""


def test_directly_it_fails(here: Place, start: Start, shape: Any) -> None:
    """Without Unpinned the stream fails: this is the problem."""
    there = start(instance="there", refusals=shape)
    types: list[str] = []
    text = ""
    with suppress(openai.APIError):  # some shapes raise, others do not
        types, text = streamed(there.directly(), [*begun(here), NEXT])
    assert ("response.completed" not in types, text) == (True, "")


def test_it_goes_on(here: Place, start: Start, shape: Any) -> None:
    """Through Unpinned the client sees one clean stream, with the whole context."""
    there = start(instance="there", refusals=shape)
    types, text = streamed(there.client("recover"), [*begun(here), NEXT])
    assert types.count("response.created") == types.count("response.completed") == 1
    assert types[0] == "response.created"
    assert "your name is Ada" in text


def test_it_goes_on_asynchronously(here: Place, start: Start, shape: Any) -> None:
    """The same with the asynchronous client, and a previous response that only the other server has."""
    there = start(instance="there", refusals=shape)
    first = here.directly().responses.create(model=MODEL, input="Hello.")

    async def types() -> list[str]:
        async with there.async_client("recover") as client:
            stream = await client.responses.create(
                model=MODEL, input="Hello again.", previous_response_id=first.id, stream=True
            )
            return [event.type async for event in stream]

    assert anyio.run(types)[-1] == "response.completed"
