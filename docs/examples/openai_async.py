"""OpenAI's SDK, asynchronously: many conversations at a time through one client."""

import asyncio

from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from unpinned import AsyncPortableTransport


async def conversation(client: AsyncOpenAI, name: str) -> str:
    """Two turns, of which the second is asked for with all of the first."""
    history = [{"role": "user", "content": f"My name is {name}."}]
    history += (await client.responses.create(model="gpt-5", input=history)).output
    history.append({"role": "user", "content": "What is my name?"})
    return (await client.responses.create(model="gpt-5", input=history)).output_text


async def main() -> None:
    """Three conversations."""
    http_client = DefaultAsyncHttpxClient(transport=AsyncPortableTransport())
    async with AsyncOpenAI(http_client=http_client) as client:
        texts = await asyncio.gather(*[conversation(client, name) for name in ("Ada", "Grace", "Edsger")])
    print(*texts, sep="\n")


asyncio.run(main())
