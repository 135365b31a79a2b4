"""An asynchronous transport with a store: references resolve on every server, by whatever loop and process."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import trio

from proxy.events import StoreFailed
from proxy.store.factory import MissingExtraError
from proxy.store.memory import MemoryStore
from proxy.testing.servers import Pair, pair
from proxy.transports import stored
from tests.support.product import Notebook
from unpinned import AsyncPortableTransport, PortableTransport

MODEL = "gpt-5"
ADA = "My name is Ada."


@pytest.fixture(scope="module")
def servers() -> Iterator[Pair]:
    """Two servers, one after each answer."""
    with pair() as both:
        yield both


def client(url: str, transport: AsyncPortableTransport, key: str = "sk-1") -> openai.AsyncOpenAI:
    """The SDK with a transport."""
    http_client = openai.DefaultAsyncHttpxClient(transport=transport)
    return openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0, http_client=http_client)


async def begin(sdk: openai.AsyncOpenAI, *, stream: bool = False) -> str:
    """A first turn; its id. A stream is left as soon as it is completed."""
    if not stream:
        return (await sdk.responses.create(model=MODEL, input=ADA)).id
    async with await sdk.responses.create(model=MODEL, input=ADA, stream=True) as events:
        async for event in events:
            if event.type == "response.completed":
                return event.response.id
    raise AssertionError("it was not completed")


async def go_on(sdk: openai.AsyncOpenAI, previous: str) -> tuple[str, str]:
    """A second turn that names the first: what the model says, and what is reported of the store."""
    raw = await sdk.responses.with_raw_response.create(
        model=MODEL, input="What is my name?", previous_response_id=previous
    )
    return raw.parse().output_text, raw.headers.get("x-unpinned-store", "")


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("where", ["sqlite", "memory", "object"])
def test_a_reference_resolves(where: str, stream: bool, servers: Pair, tmp_path: Path) -> None:
    """A response is remembered as it passes, streamed or not, and the next server is sent its history."""
    stores: dict[str, Any] = {
        "sqlite": f"sqlite:///{tmp_path}/store.db",
        "memory": "memory",
        "object": MemoryStore(),
    }
    transport = AsyncPortableTransport(store=stores[where])

    async def talk() -> tuple[str, str]:
        async with client(servers.url, transport) as sdk:
            return await go_on(sdk, await begin(sdk, stream=stream))

    for _ in range(2):  # another loop, with the same transport
        text, store = asyncio.run(talk())
        assert "your name is Ada" in text
        assert store == "hit"


def test_written_when_it_is_closed(servers: Pair, tmp_path: Path) -> None:
    """What a transport remembered is in the store when it is closed, for another one, and for another key by name."""
    url = f"sqlite:///{tmp_path}/store.db"

    async def first() -> str:
        async with client(servers.url, AsyncPortableTransport(store=url, store_scope="shop")) as sdk:
            return await begin(sdk)

    async def second(previous: str, **options: Any) -> tuple[str, str]:
        async with client(servers.url, AsyncPortableTransport(store=url, **options), key="sk-2") as sdk:
            return await go_on(sdk, previous)

    previous = asyncio.run(first())
    assert asyncio.run(second(previous, store_scope="shop"))[1] == "hit"
    assert asyncio.run(second(previous, mode="strip"))[1] == "miss"


def test_deleted_is_forgotten(servers: Pair) -> None:
    """A response that is deleted is forgotten by the store as well, whichever server is asked to delete it."""
    store = MemoryStore()

    async def talk() -> tuple[str, str]:
        async with client(servers.url, AsyncPortableTransport(store=store, mode="strip")) as sdk:
            previous = await begin(sdk)
            with suppress(openai.NotFoundError):
                await sdk.responses.delete(previous)
            await sdk.models.list()
            return await go_on(sdk, previous)

    text, reported = asyncio.run(talk())
    assert (reported, "Ada" in text) == ("miss", False)


def test_nobody_is_remembered() -> None:
    """A request without a key has no caller: nothing of it is kept."""
    store = MemoryStore()
    answer = {"id": "resp_1", "object": "response", "status": "completed", "output": []}
    within = httpx2.MockTransport(lambda _: httpx2.Response(200, json=answer))

    async def post() -> httpx2.Response:
        async with httpx2.AsyncClient(transport=AsyncPortableTransport(store=store, transport=within)) as sdk:
            return await sdk.post("http://api.example/v1/responses", json={"input": ADA})

    assert asyncio.run(post()).json() == answer
    assert ": 0 responses, 0 items" in asyncio.run(store.standing())


def test_a_store_that_is_down(servers: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its store an application goes on as one that has none; the observer is told."""
    monkeypatch.setattr("proxy.store.service._FLUSH", 0.05)
    notebook = Notebook()
    store = f"sqlite:///{tmp_path}/nowhere/store.db"

    async def talk() -> tuple[str, str]:
        async with client(servers.url, AsyncPortableTransport(store=store, observer=notebook)) as sdk:
            return await go_on(sdk, "resp_1")

    text, reported = asyncio.run(talk())
    assert (reported, "I see" in text) == ("down", True)
    assert any(isinstance(event, StoreFailed) for event in notebook.events)


def test_stores_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no store, or cannot be had, is refused with one sentence when the transport is made."""
    with pytest.raises(TypeError, match="A synchronous transport has no store"):
        PortableTransport(store="memory")
    with pytest.raises(ValueError, match="store must be memory, an object of a store, or a URL of one of redis, "):
        AsyncPortableTransport(store="mysql://secret@host")
    with pytest.raises(ValueError, match="store is no URL that its client understands"):
        AsyncPortableTransport(store="postgresql://host:port/")

    def missing(_: str) -> Any:
        raise MissingExtraError("sql")

    monkeypatch.setattr(stored, "opened", missing)
    with pytest.raises(ImportError, match=r"pip install 'unpinned\[sql\]' adds it"):
        AsyncPortableTransport(store="sqlite:///x.db")


def test_not_on_trio() -> None:
    """On another loop than asyncio's a transport with a store says so."""

    async def post() -> None:
        transport = AsyncPortableTransport(
            store="memory", transport=httpx2.MockTransport(lambda _: httpx2.Response(200))
        )
        async with httpx2.AsyncClient(transport=transport) as sdk:
            with pytest.raises(RuntimeError, match="runs on asyncio alone"):
                await sdk.delete("http://api.example/v1/responses/resp_1")

    trio.run(post)
