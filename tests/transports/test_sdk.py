"""Conversations of the real `openai` SDK through the transports, across instances that do not know each other's ids."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import httpx2
import openai
import pytest

from proxy import fake_openai
from unpinned import AsyncPortableTransport, PortableTransport

MODEL = "gpt-5"
FIRST = "My name is Ada. What is the weather in Paris? Use the tool get_weather."
TOOL: Any = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@pytest.fixture(scope="module")
def places() -> Iterator[tuple[str, str]]:
    """The base URLs of two instances."""
    with ExitStack() as stack:
        urls = [stack.enter_context(fake_openai.running(fake_openai.build(instance=name))) for name in "ab"]
        yield urls[0] + "/v1", urls[1] + "/v1"


def sync_client(kind: Any, url: str, **options: Any) -> openai.OpenAI:
    """The SDK with a client of a package."""
    return openai.OpenAI(base_url=url, api_key="sk-1", max_retries=0, http_client=kind(**options))


@pytest.mark.parametrize("kind", [openai.DefaultHttpxClient, httpx2.Client, httpx.Client])
def test_a_conversation_travels(kind: Any, places: tuple[str, str]) -> None:
    """A conversation with a tool, begun on one server, goes on at another: the model remembers."""
    here, there = places
    with sync_client(kind, here, transport=PortableTransport()) as client:
        first: Any = client.responses.create(model=MODEL, input=FIRST, tools=[TOOL])
    call = next(item for item in first.output if item.type == "function_call")
    history: Any = [
        {"role": "user", "content": FIRST},
        *(item.model_dump(exclude_none=True) for item in first.output),
        {"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"},
        {"role": "user", "content": "What is my name?"},
    ]
    with sync_client(kind, there) as plain, pytest.raises(openai.APIStatusError):
        plain.responses.create(model=MODEL, input=history, tools=[TOOL])
    with sync_client(kind, there, transport=PortableTransport(mode="strip")) as client:
        raw = client.responses.with_raw_response.create(model=MODEL, input=history, tools=[TOOL])
    assert raw.headers["x-unpinned-action"] == "rewritten"
    assert "Ada" in raw.parse().output_text


def test_streams(places: tuple[str, str]) -> None:
    """Streams, and responses that are read as streams, arrive whole through the SDK."""
    with sync_client(openai.DefaultHttpxClient, places[0], transport=PortableTransport()) as client:
        with client.responses.create(model=MODEL, input="My name is Ada.", stream=True) as stream:
            types = [event.type for event in stream]
        with client.responses.with_streaming_response.create(model=MODEL, input="Hello") as response:
            assert response.headers["x-unpinned-action"] == "passthrough"
            parsed: Any = response.parse()
    assert (types[0], types[-1]) == ("response.created", "response.completed")
    assert parsed.status == "completed"


def test_asynchronously(places: tuple[str, str]) -> None:
    """The asynchronous SDK: a stream begun on one server, and its conversation at another, many at a time."""

    async def turn(client: openai.AsyncOpenAI, history: Any) -> Any:
        async with await client.responses.create(model=MODEL, input=history, stream=True) as stream:
            return [event async for event in stream][-1]

    async def work() -> list[str]:
        transport = AsyncPortableTransport()
        http_client = openai.DefaultAsyncHttpxClient(transport=transport)
        async with openai.AsyncOpenAI(base_url=places[0], api_key="sk-1", http_client=http_client) as here:
            there = here.with_options(base_url=places[1])
            said: Any = [{"role": "user", "content": "My name is Ada."}]
            done = await turn(here, said)
            said += [item.model_dump(exclude_none=True) for item in done.response.output]
            said.append({"role": "user", "content": "What is my name?"})
            return [done.response.output_text for done in await asyncio.gather(*[turn(there, said) for _ in range(10)])]

    texts = asyncio.run(work())
    assert len(texts) == 10
    assert all("Ada" in text for text in texts)


def test_another_kind_of_client() -> None:
    """In the SDK as well, a transport in the wrong kind of client says so in one sentence."""
    client = sync_client(openai.DefaultHttpxClient, "http://127.0.0.1:9/v1", transport=AsyncPortableTransport())
    with client, pytest.raises(RuntimeError, match=r"a synchronous one takes PortableTransport\.$"):
        client.responses.create(model=MODEL, input="Hello")
