"""What every engine of the store does."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from proxy.responses.steps import Recall
from proxy.store.interface import Options, Recalled, Store
from proxy.store.memory import MemoryStore
from proxy.store.service import StoreService, Terms
from tests.store.talks import FIRST, LAST, NEXT, NOTHING, OVERHEAD, SAID, SECOND, USER, Open, made, run
from tests.support.product import Notebook


def test_a_conversation(engine: Open) -> None:
    """A response is known with all that came before it, byte for byte."""

    async def talk(store: Store) -> None:
        await store.remember("me", FIRST)
        await store.remember("me", SECOND)
        assert await store.recall("me", "resp_2", ()) == Recalled((USER, SAID, NEXT, LAST), {})
        assert await store.recall("me", "resp_1", ()) == Recalled((USER, SAID), {})
        assert await store.recall("me", None, ()) == NOTHING

    run(engine, talk)


def test_items(engine: Open) -> None:
    """Items are known by their ids; a reference to an item is not the item."""

    async def talk(store: Store) -> None:
        await store.remember("me", made("resp_0", None, (b'{"type":"item_reference","id":"msg_2"}', b"5", b"{")))
        await store.remember("me", FIRST)
        known = await store.recall("me", None, ["msg_1", "msg_2"])
        assert known == Recalled(None, {"msg_1": SAID})

    run(engine, talk)


def test_two_ways_from_one_turn(engine: Open) -> None:
    """A conversation may go on in two ways, and neither knows of the other."""

    async def talk(store: Store) -> None:
        for response in (FIRST, SECOND, SECOND._replace(response_id="resp_3", items=(USER,))):
            await store.remember("me", response)
        assert (await store.recall("me", "resp_3", ())).conversation == (USER, SAID, USER)
        assert (await store.recall("me", "resp_2", ())).conversation == (USER, SAID, NEXT, LAST)

    run(engine, talk)


def test_strangers(engine: Open) -> None:
    """Another scope knows nothing, whatever ids it names, and changes nothing."""

    async def talk(store: Store) -> None:
        await store.remember("me", FIRST)
        await store.remember("you", SECOND)
        assert await store.recall("you", "resp_1", ["msg_1"]) == NOTHING
        assert await store.recall("you", "resp_2", ["msg_1"]) == NOTHING
        await store.forget("you", "resp_1")
        assert (await store.recall("me", "resp_1", ["msg_1"])).items == {"msg_1": SAID}

    run(engine, talk)


def test_half_a_conversation(engine: Open) -> None:
    """What continues something unknown is not known, but its items are."""

    async def talk(store: Store) -> None:
        await store.remember("me", SECOND)
        assert await store.recall("me", "resp_2", ["msg_2"]) == Recalled(None, {"msg_2": LAST})
        await store.remember("me", SECOND._replace(response_id="resp_4", previous="resp_4"))
        assert (await store.recall("me", "resp_4", ())).conversation is None

    run(engine, talk)


def test_what_no_request_could_hold(engine: Open) -> None:
    """A conversation that is larger than any request may be is not known."""

    async def talk(store: Store) -> None:
        await store.remember("large", FIRST)
        await store.remember("large", SECOND)
        assert (await store.recall("large", "resp_1", ())).conversation == (USER, SAID)
        assert (await store.recall("large", "resp_2", ())).conversation is None

    run(lambda: engine(largest=len(USER) + len(SAID) + 2 * OVERHEAD), talk)


def test_items_that_no_request_could_hold(engine: Open) -> None:
    """Of items that are too much for a request, so many are known as are not; which ones is the engine's choice."""
    items = {f"msg_{name}": b'{"type":"message","id":"msg_%b","x":"%b"}' % (name.encode(), b"x" * 100) for name in "ab"}

    async def talk(store: Store) -> None:
        await store.remember("large", made("resp_1", None, tuple(items.values())))
        found = (await store.recall("large", None, [*items])).items
        assert len(found) == 1
        assert found.items() < items.items()

    run(lambda: engine(largest=250), talk)


def test_forgetting(engine: Open) -> None:
    """What is forgotten is gone, with the items that nothing else has; what was not known is no matter."""

    async def talk(store: Store) -> None:
        for response in (FIRST, SECOND, made("resp_3", None, (USER, LAST))):
            await store.remember("me", response)
        await store.forget("me", "resp_2")
        assert await store.recall("me", "resp_2", ["msg_2"]) == Recalled(None, {"msg_2": LAST})
        await store.forget("me", "resp_3")
        await store.forget("me", "resp_3")
        assert await store.recall("me", "resp_1", ["msg_2"]) == Recalled((USER, SAID), {})

    run(engine, talk)


def test_once_more(engine: Open) -> None:
    """A response that is remembered again is replaced, and leaves nothing behind."""

    async def talk(store: Store) -> None:
        for _ in range(3):
            await store.remember("me", FIRST)
        await store.remember("me", FIRST._replace(items=(USER,)))
        assert await store.recall("me", "resp_1", ["msg_1"]) == Recalled((USER,), {})
        await store.remember("me", FIRST._replace(items=()))
        assert (await store.recall("me", "resp_1", ())).conversation == ()

    run(engine, talk)


def test_memory_is_bounded() -> None:
    """What was used longest ago makes room, and nothing leaks."""

    async def talk(store: Store) -> None:
        assert isinstance(store, MemoryStore)
        await store.remember("me", FIRST)
        for number in range(1000):
            item = b'{"id":"msg_%d","content":"%d"}' % (number, number)
            await store.remember("me", made(f"resp_{number}x", None, (USER, item)))
            assert (await store.recall("me", "resp_1", ())).conversation is not None
        assert store._size <= 20_000
        assert len(store._turns) < 100
        assert (await store.recall("me", "resp_0x", ["msg_0"])) == NOTHING
        for _, response_id in list(store._turns):
            await store.forget("me", response_id)
        assert (store._size, store._items, store._ids) == (0, {}, {})

    run(lambda: MemoryStore(Options(capacity=20_000)), talk)


def test_memory_has_an_end() -> None:
    """What nobody uses for too long is not known and takes no room; what is used lives on, with all before it."""
    now = [0.0]

    async def talk(store: Store) -> None:
        assert isinstance(store, MemoryStore)
        for response in (FIRST, SECOND, FIRST._replace(response_id="resp_old")):
            await store.remember("me", response)
        now[0] += 80
        assert (await store.recall("me", "resp_2", ())).conversation == (USER, SAID, NEXT, LAST)
        now[0] += 80
        assert (await store.recall("me", "resp_old", ())).conversation is None
        assert (await store.recall("me", "resp_2", ())).conversation == (USER, SAID, NEXT, LAST)
        now[0] += 101
        assert await store.recall("me", "resp_2", ["msg_1"]) == NOTHING
        assert store._size == 0

    run(lambda: MemoryStore(Options(lifetime=100), clock=lambda: now[0]), talk)


def test_each_item_once() -> None:
    """A conversation of n turns takes what its items take, and a list for each turn."""

    async def talk(store: Store) -> None:
        assert isinstance(store, MemoryStore)
        sizes = []
        for number in range(500):
            item = b'{"role":"user","content":"%0200d"}' % number
            previous = f"resp_{number - 1}" if number else None
            await store.remember("me", made(f"resp_{number}", previous, (item, SAID)))
            sizes.append(store._size)
        costs = [after - before for before, after in pairwise(sizes)]
        assert set(costs) == {costs[0]}
        assert len((await store.recall("me", "resp_499", ())).conversation or ()) == 1000

    run(MemoryStore, talk)


MANY = 40_000


@pytest.mark.timeout(240)
def test_any_number_of_items_is_forgotten(engine: Open) -> None:
    """A response of 40,000 items is remembered, recalled and deleted: no statement takes them all as its parameters."""

    async def talk(store: Store) -> None:
        items = tuple(
            b'{"type":"message","id":"msg_%d","role":"assistant","content":"x"}' % number for number in range(MANY)
        )
        await store.remember("me", made("resp_1", None, items))
        found = await store.recall("me", "resp_1", [f"msg_{number}" for number in range(MANY)])
        assert found.conversation == items
        assert len(found.items) == MANY
        await store.forget("me", "resp_1")
        assert await store.recall("me", "resp_1", ["msg_1"]) == NOTHING

    run(engine, talk)


@pytest.mark.timeout(240)
def test_a_large_store_is_purged(engine: Open) -> None:
    """A purge of more responses and items than one statement or transaction could take says how far it is."""

    async def talk(store: Any) -> None:
        for number in range(250):
            items = tuple(b'{"type":"message","id":"m_%d_%d"}' % (number, place) for place in range(160))
            await store.remember("me", made(f"resp_{number}", None, items))
        seen: list[int] = []
        assert await store.purge(everything=True, progress=seen.append) == 250
        assert seen[-1] == 250
        assert await store.recall("me", "resp_1", ["m_1_1"]) == NOTHING

    run(engine, talk)


def test_a_client_cannot_name_an_item(engine: Open) -> None:
    """An item that a client sends with an id is found by that id only if upstream made it."""

    async def talk(store: Store) -> None:
        await store.remember("me", made("resp_1", None, (USER, SAID), given=1))
        forged = SAID.replace(b"hi", b"pay to 6666")
        await store.remember("me", made("resp_2", None, (forged, LAST), given=1))
        assert (await store.recall("me", None, ["msg_1", "msg_2"])).items == {"msg_1": SAID, "msg_2": LAST}
        assert (await store.recall("me", "resp_2", [])).conversation == (forged, LAST)

    run(engine, talk)


def test_an_honest_burst_is_all_hits(engine: Open) -> None:
    """A hundred lookups of 150 items in the same moment are all answered in time, on every engine."""

    async def talk(store: Store) -> None:
        service = StoreService(store, Notebook(), Terms(timeout=5))
        items = tuple(
            b'{"type":"message","id":"msg_%d","role":"assistant","content":"%b"}' % (n, b"x" * 1000) for n in range(150)
        )
        await store.remember("me", made("resp_1", None, items))
        found = await asyncio.gather(*[service.recall("me", Recall("resp_1", ())) for _ in range(100)])
        assert all(one is not None and one.conversation == items for one in found)

    run(engine, talk)
