"""What every engine of the store does."""

import asyncio
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest

from proxy.store.memory import MemoryStore
from proxy.store.seam import Recalled, Remembered, Store

USER = b'{"role":"user","content":"1e400 \\ud800"}'
SAID = b'{"type":"message","id":"msg_1","role":"assistant","content":"hi"}'
NEXT = b'{"role" : "user","content":"and?"}'
LAST = b'{"type":"message","id":"msg_2","role":"assistant","content":"ho"}'
FIRST = Remembered("resp_1", None, (USER, SAID))
SECOND = Remembered("resp_2", "resp_1", (NEXT, LAST))
NOTHING = Recalled(None, {})

ENGINES: dict[str, Callable[[], Store]] = {"memory": MemoryStore}


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest) -> Store:
    """A store of each engine."""
    return ENGINES[request.param]()


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a test's conversation with the store."""
    asyncio.run(work)


def test_a_conversation(store: Store) -> None:
    """A response is known with all that came before it, byte for byte."""

    async def talk() -> None:
        await store.remember("me", FIRST)
        await store.remember("me", SECOND)
        assert await store.recall("me", "resp_2", ()) == Recalled((USER, SAID, NEXT, LAST), {})
        assert await store.recall("me", "resp_1", ()) == Recalled((USER, SAID), {})
        assert await store.recall("me", None, ()) == NOTHING
        await store.close()

    run(talk())


def test_items(store: Store) -> None:
    """Items are known by their ids; a reference to an item is not the item."""

    async def talk() -> None:
        await store.remember("me", Remembered("resp_0", None, (b'{"type":"item_reference","id":"msg_2"}', b"5", b"{")))
        await store.remember("me", FIRST)
        known = await store.recall("me", None, ["msg_1", "msg_2"])
        assert known == Recalled(None, {"msg_1": SAID})

    run(talk())


def test_two_ways_from_one_turn(store: Store) -> None:
    """A conversation may go on in two ways, and neither knows of the other."""

    async def talk() -> None:
        for response in (FIRST, SECOND, SECOND._replace(response_id="resp_3", items=(USER,))):
            await store.remember("me", response)
        assert (await store.recall("me", "resp_3", ())).conversation == (USER, SAID, USER)
        assert (await store.recall("me", "resp_2", ())).conversation == (USER, SAID, NEXT, LAST)

    run(talk())


def test_strangers(store: Store) -> None:
    """Another scope knows nothing, whatever ids it names, and changes nothing."""

    async def talk() -> None:
        await store.remember("me", FIRST)
        await store.remember("you", SECOND)
        assert await store.recall("you", "resp_1", ["msg_1"]) == NOTHING
        assert await store.recall("you", "resp_2", ["msg_1"]) == NOTHING
        await store.forget("you", "resp_1")
        assert (await store.recall("me", "resp_1", ["msg_1"])).items == {"msg_1": SAID}

    run(talk())


def test_half_a_conversation(store: Store) -> None:
    """What continues something unknown is not known, but its items are."""

    async def talk() -> None:
        await store.remember("me", SECOND)
        assert await store.recall("me", "resp_2", ["msg_2"]) == Recalled(None, {"msg_2": LAST})
        await store.remember("me", SECOND._replace(response_id="resp_4", previous="resp_4"))
        assert (await store.recall("me", "resp_4", ())).conversation is None

    run(talk())


def test_forgetting(store: Store) -> None:
    """What is forgotten is gone, with the items that nothing else has; what was not known is no matter."""

    async def talk() -> None:
        for response in (FIRST, SECOND, Remembered("resp_3", None, (USER, LAST))):
            await store.remember("me", response)
        await store.forget("me", "resp_2")
        assert await store.recall("me", "resp_2", ["msg_2"]) == Recalled(None, {"msg_2": LAST})
        await store.forget("me", "resp_3")
        await store.forget("me", "resp_3")
        assert await store.recall("me", "resp_1", ["msg_2"]) == Recalled((USER, SAID), {})

    run(talk())


def test_once_more(store: Store) -> None:
    """A response that is remembered again is replaced, and leaves nothing behind."""

    async def talk() -> None:
        for _ in range(3):
            await store.remember("me", FIRST)
        await store.remember("me", FIRST._replace(items=(USER,)))
        assert await store.recall("me", "resp_1", ["msg_1"]) == Recalled((USER,), {})
        await store.remember("me", FIRST._replace(items=()))
        assert (await store.recall("me", "resp_1", ())).conversation == ()

    run(talk())


def test_memory_is_bounded() -> None:
    """What was used longest ago makes room, and nothing leaks."""
    store = MemoryStore(capacity=20_000)

    async def talk() -> None:
        await store.remember("me", FIRST)
        for number in range(1000):
            item = b'{"id":"msg_%d","content":"%d"}' % (number, number)
            await store.remember("me", Remembered(f"resp_{number}x", None, (USER, item)))
            assert (await store.recall("me", "resp_1", ())).conversation is not None
        assert store._size <= 20_000
        assert len(store._turns) < 100
        assert (await store.recall("me", "resp_0x", ["msg_0"])) == NOTHING
        for _, response_id in list(store._turns):
            await store.forget("me", response_id)
        assert (store._size, store._items, store._ids) == (0, {}, {})

    run(talk())


def test_each_item_once() -> None:
    """A conversation of n turns takes what its items take, and a list for each turn."""
    store = MemoryStore()

    async def talk() -> None:
        sizes = []
        for number in range(500):
            item = b'{"role":"user","content":"%0200d"}' % number
            previous = f"resp_{number - 1}" if number else None
            await store.remember("me", Remembered(f"resp_{number}", previous, (item, SAID)))
            sizes.append(store._size)
        costs = [after - before for before, after in pairwise(sizes)]
        assert set(costs) == {costs[0]}
        assert len((await store.recall("me", "resp_499", ())).conversation or ()) == 1000

    run(talk())
