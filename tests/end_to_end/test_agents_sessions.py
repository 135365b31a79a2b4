"""The OpenAI Agents SDK over conversations in the store: three servers, a key each, round robin."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.end_to_end.conftest import MODEL
from tests.end_to_end.test_store_conversations import Server

agents: Any = pytest.importorskip("agents", reason="the Agents SDK is not installed (pip install openai-agents)")
pytest.importorskip("aiosqlite")

TURNS = 20


@asynccontextmanager
async def clients(database: Path) -> AsyncIterator[list[openai.AsyncOpenAI]]:
    """A client of each of three servers."""
    agents.set_tracing_disabled(True)
    async with AsyncExitStack() as stack:
        servers = [
            Server(name, database, stack.enter_context(ExitStack()), delay=0) for name in ("one", "two", "three")
        ]
        yield [
            await stack.enter_async_context(openai.AsyncOpenAI(base_url=each.url, api_key=each.key, max_retries=0))
            for each in servers
        ]


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"18 degrees in {city}"


def agent(client: openai.AsyncOpenAI) -> Any:
    """An agent with a tool, at one server."""
    model = agents.OpenAIResponsesModel(MODEL, client)
    return agents.Agent(name="a", model=model, tools=[agents.function_tool(get_weather)])


def question(turn: int) -> str:
    """What is asked in a turn: a fact, or for what a tool says."""
    return ("My name is Ada", "What is the weather in Paris? Use the tool get_weather.")[turn % 5 == 3] + f" {turn}"


def heard(output: str, turn: int) -> None:
    """Every turn so far has been seen, and what was said in the first."""
    assert f"{turn + 1} user message" in output
    assert 'you first said: "My name is Ada 0"' in output


def test_sessions(tmp_path: Path) -> None:
    """A session goes on at each server in turn, with all facts; items are popped, and a session is cleared."""

    async def talk() -> None:
        async with clients(tmp_path / "store.db") as found:
            conversation: str | None = None
            session: Any = None
            for turn in range(TURNS):
                client = found[turn % 3]
                session = agents.OpenAIConversationsSession(conversation_id=conversation, openai_client=client)
                result = await agents.Runner.run(agent(client), question(turn), session=session)
                heard(result.final_output, turn)
                conversation = conversation or await session._get_session_id()
            items = await session.get_items()
            assert (await session.pop_item())["content"] == items[-1]["content"]
            await asyncio.gather(*(session.add_items([{"role": "user", "content": f"also {n}"}]) for n in range(3)))
            texts = [str(item["content"]) for item in (await session.get_items())[-3:]]
            assert all(any(f"also {number}" in text for text in texts) for number in range(3))
            assert len(await session.get_items()) == len(items) + 2
            await session.clear_session()
            with pytest.raises(openai.NotFoundError):
                await found[0].conversations.retrieve(str(conversation))

    asyncio.run(talk())


def test_server_managed_conversations(tmp_path: Path) -> None:
    """`conversation_id` goes on at each server in turn, whole and streamed."""

    async def talk() -> None:
        async with clients(tmp_path / "store.db") as found:
            conversation = (await found[0].conversations.create()).id
            for turn in range(TURNS // 2):
                one = agent(found[turn % 3])
                if turn % 2:
                    result = agents.Runner.run_streamed(one, question(turn), conversation_id=conversation)
                    async for _ in result.stream_events():
                        pass
                else:
                    result = await agents.Runner.run(one, question(turn), conversation_id=conversation)
                heard(result.final_output, turn)

    asyncio.run(talk())
