"""What applications use in their own tests: the servers, the fixtures, and the verdict on a conversation."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

import unpinned.testing
from proxy.testing.servers import fake, pair, proxy
from tests.support.process import ROOT
from unpinned import AsyncPortableTransport, PortableTransport
from unpinned.testing import assert_travels

MODEL = "gpt-5"
ADA: Any = {"role": "user", "content": "My name is Ada. What is the weather in Paris? Use the tool get_weather."}
ASKED: Any = {"role": "user", "content": "What is my name?"}
TOOL: Any = {"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}}


def portable(url: str) -> openai.OpenAI:
    """The SDK with a portable transport."""
    http_client = openai.DefaultHttpxClient(transport=PortableTransport())
    return openai.OpenAI(base_url=url, api_key="sk-test", max_retries=0, http_client=http_client)


def plain(url: str) -> openai.OpenAI:
    """The SDK as it is."""
    return openai.OpenAI(base_url=url, api_key="sk-test", max_retries=0)


def replaying(client: openai.OpenAI, **options: Any) -> None:
    """A conversation of three turns that is replayed, with a tool."""
    history: list[Any] = [ADA]
    first = client.responses.create(model=MODEL, input=history, tools=[TOOL], **options)
    call: Any = next(item for item in first.output if item.type == "function_call")
    history += first.output
    history.append({"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"})
    history += client.responses.create(model=MODEL, input=history, tools=[TOOL], **options).output
    client.responses.create(model=MODEL, input=[*history, ASKED], tools=[TOOL], **options)


def with_blobs(client: openai.OpenAI) -> None:
    """The same, with encrypted reasoning."""
    replaying(client, include=["reasoning.encrypted_content"], store=False)


def referring(client: openai.OpenAI) -> None:
    """A conversation whose history is at its server."""
    first = client.responses.create(model=MODEL, input=[ADA])
    client.responses.create(model=MODEL, input=[ASKED], previous_response_id=first.id)


def forgetful(client: openai.OpenAI) -> None:
    """An application that begins anew where a server refuses its conversation."""
    first = client.responses.create(model=MODEL, input=[ADA])
    try:
        client.responses.create(model=MODEL, input=[ASKED], previous_response_id=first.id)
    except openai.APIStatusError:
        client.responses.create(model=MODEL, input=[ASKED])


async def streaming(client: openai.AsyncOpenAI) -> None:
    """An asynchronous conversation that streams."""
    history: list[Any] = [{"role": "user", "content": "My name is Ada."}]
    async with await client.responses.create(model=MODEL, input=history, stream=True) as stream:
        async for event in stream:
            if event.type == "response.completed":
                history += event.response.output
    await (await client.responses.create(model=MODEL, input=[*history, ASKED], stream=True)).close()


def single(client: openai.OpenAI) -> None:
    """A conversation that is none."""
    client.responses.create(model=MODEL, input=[ADA])


def test_it_travels() -> None:
    """A conversation that is replayed through a portable transport survives, its reasoning as well if it has blobs."""
    assert_travels(portable, replaying)
    assert_travels(portable, with_blobs, reasoning=True)


def test_asynchronously() -> None:
    """A coroutine function holds its conversation with an asynchronous client, which is closed."""

    def client(url: str) -> openai.AsyncOpenAI:
        http_client = openai.DefaultAsyncHttpxClient(transport=AsyncPortableTransport())
        return openai.AsyncOpenAI(base_url=url, api_key="sk-test", http_client=http_client)

    assert_travels(client, streaming)


@pytest.mark.parametrize(
    ("client", "conversation", "reasoning", "message"),
    [
        (plain, replaying, False, r"does not survive another server: turn 2 raised NotFoundError: .*rs_\w+' not found"),
        (plain, referring, False, "does not survive another server: turn 2 raised BadRequestError"),
        (portable, referring, False, "lost a part of the conversation"),
        (plain, forgetful, False, r"lost a part of the conversation\. With a single server, turn 2 (?s:.*)name is Ada"),
        (portable, single, False, "has 1 answered turns"),
        (lambda url: plain(url.removesuffix("/v1") + "/nowhere"), single, False, "does not work with a single server"),
    ],
)
def test_it_does_not_travel(
    client: Callable[[str], Any], conversation: Callable[[Any], Any], reasoning: bool, message: str
) -> None:
    """What does not survive is told: the turn that failed, or what the model lost, or that nothing was moved."""
    with pytest.raises(AssertionError, match=message):
        assert_travels(client, conversation, reasoning=reasoning)


def test_a_pair() -> None:
    """A pair's address leads to the other server after each answer, and only then; each knows what it received."""
    with pair() as both, plain(both.url) as client:
        first = client.responses.create(model=MODEL, input=[ADA])
        for _ in range(2):
            with pytest.raises(openai.BadRequestError):
                client.responses.create(model=MODEL, input=[ASKED], previous_response_id=first.id)
        client.responses.create(model=MODEL, input=[ASKED])
        client.responses.create(model=MODEL, input=[ASKED], previous_response_id=first.id)
        assert [one.status for one in both.requests] == [200, 400, 400, 200, 200]
        assert (len(both.here.requests), len(both.there.requests)) == (2, 3)
        assert both.here.url != both.there.url


def test_a_proxy_in_front() -> None:
    """A proxy in front of a server takes settings, and its base URL is used like the server's."""
    with fake("one") as one, proxy(one.url, mode="strip") as url, plain(url) as client:
        items: Any = [ADA, {"type": "message", "role": "assistant", "id": "msg_1", "content": "hi"}, ASKED]
        raw = client.responses.with_raw_response.create(model=MODEL, input=items)
        assert raw.headers["x-unpinned-action"] == "rewritten"
        assert b"msg_1" not in one.requests[0].body


def test_in_somebodys_tests(tmp_path: Path) -> None:
    """The fixtures and the example of the documentation work in another project's tests, asked for by name."""
    example = (unpinned.testing.__doc__ or "").partition("```python\n")[2].partition("```")[0]
    (tmp_path / "test_chat.py").write_text(
        example
        + """
def test_the_fixtures(unpinned_pair, unpinned_proxy, unpinned_fake):
    assert_travels(lambda url: OpenAI(base_url=unpinned_proxy(url), api_key="sk-test"), chat)
    assert unpinned_pair.url and unpinned_fake("mine").requests == []
"""
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "unpinned.testing", "-p", "no:cacheprovider", "."]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_it_costs_nothing() -> None:
    """The plugin is an entry point of pytest's, and imports nothing of the proxy until a test asks for it.

    Not even `proxy` itself: a project whose own package has that name must be able to run its tests.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"unpinned.testing": "unpinned.testing"}
    program = "import sys, unpinned.testing; print([name for name in sys.modules if name.split('.')[0] == 'proxy'])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
