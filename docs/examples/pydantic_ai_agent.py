"""pydantic-ai: an agent over the Responses API, its messages replayed with each run."""

from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from unpinned import AsyncPortableTransport

client = AsyncOpenAI(http_client=DefaultAsyncHttpxClient(transport=AsyncPortableTransport()))
agent = Agent(OpenAIResponsesModel("gpt-5", provider=OpenAIProvider(openai_client=client)))


@agent.tool_plain
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"18 degrees in {city}"


first = agent.run_sync("My name is Ada. What is the weather in Paris? Use the tool get_weather.")
print(first.output)
print(agent.run_sync("What is my name?", message_history=first.all_messages()).output)
