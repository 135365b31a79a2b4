"""OpenAI's Agents SDK: an agent with a tool and a session, whose turns may be answered by different servers."""

import asyncio

from agents import Agent, Runner, SQLiteSession, function_tool, set_default_openai_client, set_tracing_disabled
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from unpinned import AsyncPortableTransport

set_default_openai_client(AsyncOpenAI(http_client=DefaultAsyncHttpxClient(transport=AsyncPortableTransport())))
set_tracing_disabled(disabled=True)


@function_tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"18 degrees in {city}"


async def main() -> None:
    """Two runs of one session."""
    agent = Agent(name="Assistant", model="gpt-5", tools=[get_weather])
    session = SQLiteSession("example")
    for question in ("My name is Ada. What is the weather in Paris? Use the tool get_weather.", "What is my name?"):
        result = await Runner.run(agent, question, session=session)
        print(result.final_output)


asyncio.run(main())
