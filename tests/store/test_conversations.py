"""What every engine does with conversations."""

import asyncio
from typing import Any

import pytest

from proxy.responses.conversations.ledger import Head, Kept, Ledger, Turn, marks_of, name_of, names
from proxy.store.conversations import Lock
from proxy.store.encryption import Sealed
from proxy.store.factory import opened
from proxy.store.interface import DEFAULTS, Store
from proxy.store.redis_scripts import prefix
from tests.store.talks import SAID, USER, Open, made, run

ID = "conv_" + "1" * 48
OTHER = "conv_" + "2" * 48
MINE = Lock("me", ID, "mine")
THEIRS = Lock("me", ID, "theirs")
META = b'{"a":"1e400"}'


def kept(*items: bytes, seed: bytes = b"seed") -> list[Kept]:
    """Items with names, none of which has an id."""
    return [Kept(*pair) for pair in zip(items, names([""] * len(items), seed), strict=True)]


async def taken(store: Store, lock: Lock) -> bool:
    """Whether the lock is taken now."""
    return isinstance(await store.conversations.lock(lock, 9), Ledger)


async def created(store: Store, *items: bytes) -> Any:
    """A conversation with these items; the store's conversations."""
    found = store.conversations
    if await taken(store, MINE):
        await found.forget(MINE)
    await found.create(MINE, META, 17, kept(*items))
    return found


async def held(store: Store, scope: str = "me") -> list[bytes]:
    """The items of the conversation, in order."""
    ledger = await store.conversations.ledger(scope, ID)
    assert ledger is not None
    items = await store.conversations.items(scope, marks_of(ledger.visible))
    assert items is not None
    return items


def test_a_conversation_is_kept(engine: Open) -> None:
    """It has its metadata, the time at which it was made, and its items byte for byte; another scope has nothing."""

    async def talk(store: Store) -> None:
        found = await created(store, USER, SAID)
        ledger = await found.ledger("me", ID)
        assert (ledger.metadata, ledger.made, ledger.locked, ledger.has_gap) == (META, 17, False, False)
        assert [(turn.number, turn.done, turn.size) for turn in ledger.turns] == [(0, True, len(USER) + len(SAID))]
        assert await held(store) == [USER, SAID]
        assert await found.ledger("you", ID) is None
        assert await found.ledger("me", OTHER) is None
        assert await found.lock(Lock("you", ID, "t"), 9) == "unknown"
        assert await found.items("you", marks_of(ledger.turns)) is None
        assert await found.items("you", []) == []

    run(engine, talk)


def test_a_lock_has_one_holder(engine: Open) -> None:
    """Only one has the lock at a time; the others change nothing, and have it when it is given back."""

    async def talk(store: Store) -> None:
        found = await created(store)
        assert await taken(store, MINE)
        assert await found.lock(THEIRS, 9) == "held"
        assert await taken(store, MINE)  # the answer to the first may have been lost
        assert (await found.ledger("me", ID)).locked
        assert await found.append(THEIRS, Turn(0, False, b"", 0), kept(USER)) is None
        assert not await found.describe(THEIRS, b"{}")
        assert not await found.forget(THEIRS)
        assert not await found.renew(THEIRS, 9)
        await found.release(THEIRS)
        assert await found.lock(THEIRS, 9) == "held"
        await found.release(MINE)
        assert await taken(store, THEIRS)
        assert await found.describe(THEIRS, b"{}")
        ledger = await found.ledger("me", ID)
        assert (ledger.metadata, ledger.turns, ledger.locked) == (b"{}", (), False)

    run(engine, talk)


def test_a_lock_ends(engine: Open) -> None:
    """Who dies gives the lock back in time; one that was only slow changes nothing then, and leaves what it asked."""

    async def talk(store: Store) -> None:
        found = await created(store)
        assert await taken(store, MINE)
        turn = await found.append(MINE, Turn(0, False, b"", 0), kept(USER))
        assert (await found.ledger("me", ID)).visible == ()
        assert await found.renew(MINE, 0.05)
        await asyncio.sleep(0.1)
        ledger = await found.ledger("me", ID)
        assert (ledger.visible, ledger.has_gap) == ((turn,), True)
        assert await taken(store, THEIRS)
        assert not await found.done(MINE, turn, kept(SAID), None)
        assert not await found.drop(MINE, turn)
        await found.release(THEIRS)
        assert await held(store) == [USER]

    run(engine, talk)


def test_a_turn_is_asked_and_done(engine: Open) -> None:
    """A turn's input is there when its answer comes, and goes with it where it does not; the lock is free behind it."""

    async def talk(store: Store) -> None:
        found = await created(store, USER)
        assert await taken(store, MINE)
        turn = await found.append(MINE, Turn(1, False, b"", 0), kept(b'{"a":1}', seed=b"1"))
        assert await found.done(MINE, turn, [Kept(SAID, name_of("msg_1"))], Head("resp_1", 2))
        ledger = await found.ledger("me", ID)
        assert (ledger.head, ledger.locked, ledger.turns[1].done) == (Head("resp_1", 2), False, True)
        assert await taken(store, MINE)
        turn = await found.append(MINE, Turn(2, False, b"", 0), kept(b'{"b":1}', seed=b"2"))
        assert await found.drop(MINE, turn)
        assert await held(store) == [USER, b'{"a":1}', SAID]
        assert (await store.recall("me", None, ["msg_1"])).items == {"msg_1": SAID}
        assert (await found.ledger("me", ID)).head == Head("resp_1", 2)

    run(engine, talk)


def test_an_item_is_taken_out(engine: Open) -> None:
    """It leaves its conversation, and stays with the response that has it; no response has the rest as its history."""

    async def talk(store: Store) -> None:
        await store.remember("me", made("resp_1", None, (USER, SAID)))
        found = await created(store, USER, SAID)
        assert await taken(store, MINE)
        ledger = await found.ledger("me", ID)
        (turn,) = ledger.turns
        smaller = turn._replace(marks=turn.marks[24:], size=len(SAID))
        assert await found.take_out(MINE, ledger, smaller, turn.marks[:16])
        assert await held(store) == [SAID]
        assert (await store.recall("me", "resp_1", ())).conversation == (USER, SAID)
        assert await taken(store, MINE)
        assert await found.forget(MINE)
        assert await found.ledger("me", ID) is None
        assert (await store.recall("me", "resp_1", ())).conversation == (USER, SAID)

    run(engine, talk)


def test_a_response_is_waited_for(engine: Open) -> None:
    """What waits for a response in the background is found by its id, in its scope, and until the lock is free."""

    async def talk(store: Store) -> None:
        found = await created(store)
        assert await found.waiting("me", "resp_bg") is None
        assert await taken(store, MINE)
        turn = await found.append(MINE, Turn(0, False, b"", 0), kept(USER))
        assert await found.renew(MINE, 60, ("resp_bg", 0))
        waiting = await found.waiting("me", "resp_bg")
        assert waiting == (MINE, 0)
        assert await found.waiting("you", "resp_bg") is None
        assert await found.done(waiting.lock, turn, kept(SAID), None)
        assert await found.waiting("me", "resp_bg") is None

    run(engine, talk)


def test_many_items(engine: Open) -> None:
    """A turn of thousands of items, and hundreds of turns, are whole, and gone when they are forgotten."""
    items = [b'{"role":"user","content":"%d"}' % number for number in range(2500)]

    async def talk(store: Store) -> None:
        found = await created(store, *items)
        for number in range(1, 260):
            assert await taken(store, MINE)
            turn = Turn(number, True, b"", 0)
            assert await found.append(MINE, turn, kept(b"%d" % number, seed=b"%d" % number), unlocks=True)
        assert await held(store) == [*items, *(b"%d" % number for number in range(1, 260))]
        assert await taken(store, MINE)
        assert await found.forget(MINE)
        assert await found.lock(MINE, 9) == "unknown"

    run(engine, talk)


def test_several_write_at_once(engine: Open) -> None:
    """Of many that write at once, none loses an item or writes one twice; turns are in the order of their locks."""
    order: list[bytes] = []

    async def write(store: Store, writer: int) -> None:
        for number in range(6):
            lock = Lock("me", ID, f"{writer}-{number}")
            while not await taken(store, lock):  # noqa: ASYNC110 -- no event tells of a lock
                await asyncio.sleep(0.001)
            item = b'"%d-%d"' % (writer, number)
            order.append(item)
            ledger = await store.conversations.ledger("me", ID)
            assert ledger is not None
            turn = Turn(ledger.next, True, b"", 0)
            assert await store.conversations.append(lock, turn, kept(item, seed=item), unlocks=True)

    async def talk(store: Store) -> None:
        order.clear()
        await created(store)
        await asyncio.gather(*(write(store, writer) for writer in range(5)))
        assert await held(store) == order
        assert len(set(order)) == 30

    run(engine, talk)


def test_what_is_written_again_is_there_once(engine: Open) -> None:
    """Items whose writing was not confirmed, and which are written again, are there once; no lock is lost by that."""

    async def talk(store: Store) -> None:
        found = await created(store)
        assert await taken(store, MINE)
        turn = Turn(0, True, b"", 0)
        first = await found.append(MINE, turn, kept(USER), unlocks=True)
        assert first is not None
        assert await taken(store, THEIRS)
        assert await found.append(MINE, turn, kept(USER), unlocks=True) == first
        assert await found.append(MINE, turn, kept(SAID), unlocks=True) is None
        assert await held(store) == [USER]
        assert await found.lock(MINE, 9) == "held"

    run(engine, talk)


def test_a_purge(engine: Open) -> None:
    """What was not used for the TTL is not known; a purge says how many were forgotten, but where Redis has done it."""

    async def talk(store: Store) -> None:
        found = await created(store, USER)
        assert await found.purge(lambda _: None, everything=False) == 0
        assert await held(store) == [USER]
        await found.create(Lock("me", OTHER, ""), b"{}", 1, [])
        assert await found.purge(lambda _: None, everything=True) == 2
        assert await found.ledger("me", ID) is None

    run(engine, talk)


def test_it_ends(engine: Open) -> None:
    """What was not used for the TTL is not known, and a purge lets go of it, where Redis has not done so."""

    async def talk(store: Any) -> None:
        found = await created(store, USER)
        await asyncio.sleep(2.1)
        assert await found.ledger("me", ID) is None
        assert await found.lock(MINE, 9) == "unknown"
        gone = await found.purge(lambda _: None, everything=False)
        assert gone == ("maxmemory" not in await store.standing())

    run(lambda: engine(lifetime=1), talk)


async def leftover(store: Any) -> int:
    """How many items a store still has."""
    told: str = await store.standing()
    if "maxmemory" not in told:
        return int(told.rpartition(" items")[0].rpartition(" ")[2])
    return len([key async for keys in store.scan("unpinned:*:i:*") for key in keys])


def test_nothing_leaks(engine: Open) -> None:
    """What is dropped, taken out or forgotten leaves no item behind, and an item that is used twice stays."""

    async def talk(store: Any) -> None:
        found = await created(store, USER, SAID)
        assert "1 conversations" in (told := await store.standing()) or "maxmemory" in told
        assert await leftover(store) == 2
        await found.lock(MINE, 9)
        turn = await found.append(MINE, Turn(1, False, b"", 0), kept(USER, b"1", seed=b"1"))
        assert await leftover(store) == 3
        assert await found.drop(MINE, turn)
        assert await leftover(store) == 2
        await found.lock(MINE, 9)
        assert await found.append(THEIRS, Turn(1, False, b"", 0), kept(b"2", seed=b"2")) is None
        ledger = await found.ledger("me", ID)
        (turn,) = ledger.turns
        assert await found.take_out(MINE, ledger, turn._replace(marks=turn.marks[24:]), turn.marks[:16])
        assert await leftover(store) == 1
        await found.lock(MINE, 9)
        assert await found.forget(MINE)
        assert await leftover(store) == 0

    run(engine, talk)


def test_items_live_as_long_as_their_conversation(redis_url: str) -> None:
    """In Redis items of a conversation that is only looked at are renewed with it."""

    async def talk(store: Any) -> None:
        found = await created(store, USER, SAID)
        at = prefix("me")
        keys = [f"{at}c:{ID}", *[key async for some in store.scan(f"{at}i:*") for key in some]]
        await store.each([("EXPIRE", key, 100) for key in keys])
        assert await found.ledger("me", ID) is not None
        assert min(await store.each([("TTL", key) for key in keys])) > 1000

    run(lambda: opened(redis_url), talk)


def test_memory_makes_room() -> None:
    """In one process's memory what was used longest ago makes room, responses before conversations."""

    async def talk(store: Any) -> None:
        found = await created(store, b"x" * 2000)
        await store.remember("me", made("resp_1", None, (b"y" * 2000,)))
        await found.create(Lock("me", OTHER, ""), b"{}", 1, kept(b"z" * 2000))
        assert (await store.recall("me", "resp_1", ())).conversation is None
        assert await found.ledger("me", ID) is not None
        await found.create(Lock("me", OTHER[:-1] + "3", ""), b"{}", 1, kept(b"w" * 2000))
        assert await found.ledger("me", OTHER) is None
        assert await found.ledger("me", ID) is not None
        assert store._size <= 8000

    run(lambda: opened("memory", DEFAULTS._replace(capacity=8000)), talk)


@pytest.mark.parametrize("kind", ["redis", "sqlite"])
def test_nothing_is_made_up(request: pytest.FixtureRequest, kind: str) -> None:
    """With a key, a turn, metadata or an item that somebody else wrote makes the conversation unknown."""
    url: str = request.getfixturevalue(f"{kind}_url")
    sealed = DEFAULTS._replace(envelope=Sealed([bytes(32)]))

    async def talk(store: Store) -> None:
        await created(store, USER)
        stranger = opened(url, DEFAULTS._replace(envelope=Sealed([bytes(range(32))])))
        assert await stranger.conversations.ledger("me", ID) is None
        assert await stranger.conversations.lock(MINE, 9) == "unknown"
        assert await taken(store, MINE)
        assert await stranger.conversations.append(MINE, Turn(1, True, b"", 0), kept(SAID), unlocks=True)
        await stranger.close()
        assert await store.conversations.ledger("me", ID) is None

    run(lambda: opened(url, sealed), talk)
