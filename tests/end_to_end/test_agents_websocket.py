"""The OpenAI Agents SDK over its WebSocket model: an agent begins on one server and goes on through another.

openai-agents 0.24.0 (2026-11). It keeps a connection as long as its model, sends `previous_response_id` only where it
is told to, and does not heal a refused turn by itself.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.end_to_end.servers import KEY, World, world

agents = pytest.importorskip("agents", reason="pip install openai-agents")

pytestmark = pytest.mark.anyio

QUESTION = "My name is Ada. What is the weather in Paris? Use the tool get_weather."
WHO = "What is my name?"


@pytest.fixture(scope="module", params=["auto", "strip", "recover"])
def servers(request: pytest.FixtureRequest) -> Iterator[World]:
    """Two servers without a store."""
    with world("--mode", request.param) as servers:
        yield servers


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"20 degrees in {city}"


async def said(servers: World, number: int, items: Any, *, direct: bool = False, **more: Any) -> Any:
    """The result of a run of an agent at one server, over a connection of its own."""
    async with openai.AsyncOpenAI(base_url=servers.url(number, direct=direct), api_key=KEY, max_retries=0) as client:
        model = agents.OpenAIResponsesWSModel("gpt-5", client)
        agent = agents.Agent("assistant", model=model, tools=[agents.function_tool(get_weather)])
        try:
            run_config = agents.RunConfig(tracing_disabled=True)
            return await agents.Runner.run(agent, items, run_config=run_config, **more)
        finally:
            await model.close()


async def test_an_agent_goes_on_elsewhere(servers: World) -> None:
    """With its tool calls and reasoning in the history it is answered with its context; directly it is refused."""
    first = await said(servers, 0, QUESTION)
    history = [*first.to_input_list(), {"role": "user", "content": WHO}]
    with pytest.raises(Exception, match="not found"):
        await said(servers, 1, history, direct=True)
    second = await said(servers, 1, history)
    assert "your name is Ada" in second.final_output
    line = servers.processes[1].wait_logged(lambda line: "lane" in line)
    assert line["action"] in ("rewritten", "recovered")


async def test_a_session_goes_on_elsewhere(servers: World) -> None:
    """An agent whose session the application keeps may reach another server with each run."""
    session = agents.SQLiteSession("one")
    await said(servers, 0, QUESTION, session=session)
    for number in (1, 0, 1):
        assert "your name is Ada" in (await said(servers, number, WHO, session=session)).final_output


async def test_what_works_directly_works_the_same(servers: World) -> None:
    """A run of several turns on one connection, each of which continues the one before, is what it is directly."""
    through, directly = [
        await said(servers, 0, QUESTION, direct=direct, auto_previous_response_id=True) for direct in (False, True)
    ]
    assert [type(item) for item in through.new_items] == [type(item) for item in directly.new_items]
    assert through.final_output == directly.final_output


async def test_a_store_knows_the_history(tmp_path: Path) -> None:
    """An agent that only names its last response goes on elsewhere with its history, if the servers share a store."""
    with world("--store", f"sqlite:///{tmp_path / 'store'}", "--store-timeout", "20") as servers:
        first = await said(servers, 0, QUESTION, auto_previous_response_id=True)
        second = await said(servers, 1, WHO, previous_response_id=first.last_response_id)
        assert "your name is Ada" in second.final_output
