"""What only Redis has to do."""

import re
from collections.abc import Iterator
from typing import Any, cast

import pytest
import redis

from proxy.store.factory import opened
from proxy.store.interface import Recalled, Store
from proxy.store.redis import ForeignAnswerError, RedisStore, prefix
from tests.store.talks import FIRST, SAID, SECOND, USER, made, run
from tests.support.redis_server import RedisServer


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
                await store.remember("me", made(f"resp_{number}", previous, (item, SAID)))
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

    @pytest.mark.parametrize(
        ("kind", "command"),
        [
            ("r", ("SET", "foreign")),
            ("r", ("HSET", "c", "many")),
            ("r", ("HSET", "c", "3")),
            ("l", ("SET", "foreign")),
            ("i", ("SET", "foreign")),
            ("i", ("HSET", "v", '{"role":"user"')),
            ("i", ("HSET", "v", "")),
        ],
    )
    def test_what_is_not_ours(self, client: "redis.Redis", redis_url: str, kind: str, command: tuple[str, ...]) -> None:
        """What somebody else has written, cut or altered is not known, and is no failure of the store."""

        async def talk(store: Store) -> None:
            await store.remember("me", FIRST)
            await store.remember("you", FIRST)
            for key in client.keys(f"{prefix('me')}{kind}:*"):
                if command[0] == "SET":
                    client.delete(key)
                cast("Any", client).execute_command(command[0], key, *command[1:])
            assert (await store.recall("me", "resp_1", ["msg_1"])).conversation is None
            assert (await store.recall("you", "resp_1", ["msg_1"])).conversation == (USER, SAID)

        run(lambda: opened(redis_url), talk)

    def test_a_redis_that_is_full(self, client: "redis.Redis", redis_url: str) -> None:
        """It cannot be told anything, and still says what it knows."""

        async def talk(store: Store) -> None:
            await store.remember("me", FIRST)
            client.config_set("maxmemory", 1)
            try:
                with pytest.raises(redis.ResponseError, match="maxmemory"):
                    await store.remember("me", SECOND)
                assert (await store.recall("me", "resp_1", ["msg_1"])) == Recalled((USER, SAID), {"msg_1": SAID})
            finally:
                client.config_set("maxmemory", 0)

        run(lambda: opened(redis_url), talk)

    def test_an_answer_that_is_not_ours(self, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """An answer to another question is a failure, never somebody else's conversation."""

        async def talk(store: Store) -> None:
            assert isinstance(store, RedisStore)
            for answer in ([], [b"other", b"1", USER], None):

                async def told(*_: Any, answer: Any = answer) -> Any:
                    return answer

                monkeypatch.setattr(store, "_run", told)
                with pytest.raises(ForeignAnswerError):
                    await store.recall("me", "resp_1", ())

            async def cut(_script: str, _scope: str, word: bytes, *_: Any) -> Any:
                return [word, b"?", b"0" * 16]

            monkeypatch.setattr(store, "_run", cut)
            with pytest.raises(ForeignAnswerError):
                await store.recall("me", None, ["msg_1"])

        run(lambda: opened(redis_url), talk)


class TestCluster:
    """What only a cluster of Redis' has to do."""

    def test_every_node(self, cluster_nodes: list[RedisServer]) -> None:
        """Whichever node a setting names, each scope is found, and the scopes are shared among the nodes."""

        async def tell(store: Store) -> None:
            for number in range(24):
                await store.remember(f"scope-{number}", FIRST)

        async def ask(store: Store) -> None:
            for number in range(24):
                assert (await store.recall(f"scope-{number}", "resp_1", ["msg_1"])).conversation == (USER, SAID)

        run(lambda: opened(cluster_nodes[0].url), tell)
        for node in cluster_nodes:
            run(lambda url=node.url: opened(url), ask)  # type: ignore[misc]
            with redis.Redis.from_url(node.url) as client:
                assert client.keys("unpinned:1:*:r:resp_1")

    def test_upkeep(self, cluster_nodes: list[RedisServer]) -> None:
        """All nodes are emptied, and the one that is named says what it is."""

        async def talk(store: Any) -> None:
            assert await store.prepare() == "no schema needed"
            assert "used, no limit, maxmemory-policy noeviction" in await store.standing()
            for number in range(24):
                await store.remember(f"scope-{number}", FIRST)
            assert re.match("(Redis|Valkey) [0-9]", await store.standing())
            assert await store.purge() == 0
            assert await store.purge(everything=True) >= 24
            assert (await store.recall("scope-1", "resp_1", ())).conversation is None

        run(lambda: opened(cluster_nodes[0].url), talk)
        for node in cluster_nodes:
            with redis.Redis.from_url(node.url) as client:
                assert not client.keys("*")
