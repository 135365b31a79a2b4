"""What every engine of the store does."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from itertools import pairwise
from typing import Any

import pytest
import redis

from proxy.store.memory import MemoryStore
from proxy.store.opening import opened
from proxy.store.redis import ForeignAnswerError, RedisStore
from proxy.store.seam import Recalled, Remembered, Store
from tests.redis_server import redis_running

USER = b'{"role":"user","content":"1e400 \\ud800"}'
SAID = b'{"type":"message","id":"msg_1","role":"assistant","content":"hi"}'
NEXT = b'{"role" : "user","content":"and?"}'
LAST = b'{"type":"message","id":"msg_2","role":"assistant","content":"ho"}'
FIRST = Remembered("resp_1", None, (USER, SAID))
SECOND = Remembered("resp_2", "resp_1", (NEXT, LAST))
NOTHING = Recalled(None, {})


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """A Redis."""
    with redis_running() as server:
        yield server.url


Open = Callable[[], Store]


@pytest.fixture(params=["memory", "redis"])
def engine(request: pytest.FixtureRequest) -> Open:
    """Opens an empty store of each engine, in the loop that uses it."""
    if request.param == "memory":
        return MemoryStore
    url = request.getfixturevalue("redis_url")
    with redis.Redis.from_url(url) as client:
        client.flushall()
    return lambda: opened(url)


Talk = Callable[[Store], Coroutine[Any, Any, None]]


def run(engine: Open, talk: Talk) -> None:
    """Have a conversation with a store."""

    async def whole() -> None:
        store = engine()
        try:
            await talk(store)
        finally:
            await store.close()

    asyncio.run(whole())


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
        await store.remember("me", Remembered("resp_0", None, (b'{"type":"item_reference","id":"msg_2"}', b"5", b"{")))
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


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_what_no_request_could_hold(kind: str, request: pytest.FixtureRequest) -> None:
    """A conversation that is larger than any request may be is not known."""
    size = len(USER) + len(SAID)
    url = request.getfixturevalue("redis_url") if kind == "redis" else ""

    async def talk(store: Store) -> None:
        await store.remember("large", FIRST)
        await store.remember("large", SECOND)
        assert (await store.recall("large", "resp_1", ())).conversation == (USER, SAID)
        assert (await store.recall("large", "resp_2", ())).conversation is None

    run(lambda: RedisStore(url, largest=size) if url else MemoryStore(largest=size), talk)


def test_forgetting(engine: Open) -> None:
    """What is forgotten is gone, with the items that nothing else has; what was not known is no matter."""

    async def talk(store: Store) -> None:
        for response in (FIRST, SECOND, Remembered("resp_3", None, (USER, LAST))):
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
            await store.remember("me", Remembered(f"resp_{number}x", None, (USER, item)))
            assert (await store.recall("me", "resp_1", ())).conversation is not None
        assert store._size <= 20_000
        assert len(store._turns) < 100
        assert (await store.recall("me", "resp_0x", ["msg_0"])) == NOTHING
        for _, response_id in list(store._turns):
            await store.forget("me", response_id)
        assert (store._size, store._items, store._ids) == (0, {}, {})

    run(lambda: MemoryStore(capacity=20_000), talk)


def test_each_item_once() -> None:
    """A conversation of n turns takes what its items take, and a list for each turn."""

    async def talk(store: Store) -> None:
        assert isinstance(store, MemoryStore)
        sizes = []
        for number in range(500):
            item = b'{"role":"user","content":"%0200d"}' % number
            previous = f"resp_{number - 1}" if number else None
            await store.remember("me", Remembered(f"resp_{number}", previous, (item, SAID)))
            sizes.append(store._size)
        costs = [after - before for before, after in pairwise(sizes)]
        assert set(costs) == {costs[0]}
        assert len((await store.recall("me", "resp_499", ())).conversation or ()) == 1000

    run(MemoryStore, talk)


class TestRedis:
    """What only Redis has to do."""

    @pytest.fixture
    def client(self, redis_url: str) -> Iterator["redis.Redis"]:
        """A look into an empty Redis."""
        with redis.Redis.from_url(redis_url) as client:
            client.flushall()
            yield client

    def test_each_item_once(self, client: "redis.Redis", redis_url: str) -> None:
        """A conversation of n turns is one list and its items, whatever way its turns went."""

        async def talk(store: Store) -> None:
            for number in range(200):
                previous = f"resp_{number - 1}" if number else None
                item = b'{"role":"user","content":"%d"}' % number
                await store.remember("me", Remembered(f"resp_{number}", previous, (item, SAID)))
            assert len((await store.recall("me", "resp_199", ())).conversation or ()) == 400

        run(lambda: opened(redis_url), talk)
        assert len(client.keys("*:l:*")) == 1
        assert len(client.keys("*:i:*")) == 201

    def test_nothing_leaks(self, client: "redis.Redis", redis_url: str) -> None:
        """All that is kept has an end, and what is forgotten is gone at once."""

        async def talk(store: Store) -> None:
            await store.remember("me", FIRST)
            await store.remember("me", SECOND)
            assert {int(client.ttl(key)) > 29 * 24 * 3600 for key in client.scan_iter()} == {True}
            await store.forget("me", "resp_1")
            await store.forget("me", "resp_2")

        run(lambda: opened(redis_url), talk)
        assert sorted({bytes(key).split(b":")[3] for key in client.scan_iter()}) == [b"l", b"n"]

    def test_use_renews(self, client: "redis.Redis", redis_url: str) -> None:
        """What is asked for lives on, with all that belongs to it."""

        async def talk(store: Store) -> None:
            await store.remember("me", FIRST)
            for key in client.scan_iter():
                client.expire(key, 100)
            await store.recall("me", "resp_1", ["msg_1"])
            old = {bytes(key).split(b":")[3] for key in client.scan_iter() if int(client.ttl(key)) <= 100}
            assert old == {b"n"}
            for key in client.scan_iter("*:i:*"):
                client.expire(key, 100)
            await store.recall("me", "resp_1", ())
            assert any(int(client.ttl(key)) <= 100 for key in client.scan_iter("*:i:*"))

        run(lambda: opened(redis_url), talk)

    def test_half_of_it(self, client: "redis.Redis", redis_url: str) -> None:
        """A conversation of which an item or a part of the list is gone is not known."""
        for kind in ("i", "l"):

            async def talk(store: Store, kind: str = kind) -> None:
                await store.remember("me", FIRST)
                key = next(iter(client.keys(f"*:{kind}:*")))
                client.delete(key) if kind == "i" else client.ltrim(key, 0, 0)
                assert (await store.recall("me", "resp_1", ())).conversation is None
                await store.remember("me", SECOND)
                await store.remember("me", SECOND._replace(response_id="resp_3", previous="resp_2"))
                assert (await store.recall("me", "resp_2", ())).conversation is None

            run(lambda: opened(redis_url), talk)
            client.flushall()

    def test_an_answer_that_is_not_ours(self, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """An answer to another question is a failure, never somebody else's conversation."""

        async def talk(store: Store) -> None:
            assert isinstance(store, RedisStore)
            for answer in ([], [b"other", b"1", USER], None):

                async def told(answer: Any = answer, **_: Any) -> Any:
                    return answer

                monkeypatch.setattr(store, "_recall", told)
                with pytest.raises(ForeignAnswerError):
                    await store.recall("me", "resp_1", ())

            async def cut(args: list[Any], **_: Any) -> Any:
                return [args[2], b"?", b""]

            monkeypatch.setattr(store, "_recall", cut)
            with pytest.raises(ForeignAnswerError):
                await store.recall("me", None, ["msg_1"])

        run(lambda: opened(redis_url), talk)
