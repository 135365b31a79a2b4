"""What only Redis has to do."""

import re
from collections.abc import Iterator
from typing import Any, cast

import pytest
import redis

from proxy.store.envelope import owner
from proxy.store.factory import opened
from proxy.store.interface import Recalled, Store
from proxy.store.redis import RedisStore
from proxy.store.redis_reading import BYTES, ITEMS, ForeignAnswerError, Reading
from proxy.store.redis_scripts import RECALL, RELEASE, REMEMBER, prefix
from tests.store.talks import FIRST, NOTHING, SAID, SECOND, USER, made, run
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
        """A conversation of n turns is n records and its items; no turn copies what came before it."""

        async def talk(store: Store) -> None:
            for number in range(200):
                previous = f"resp_{number - 1}" if number else None
                item = b'{"role":"user","content":"%d"}' % number
                await store.remember("me", made(f"resp_{number}", previous, (item, SAID)))
            assert len((await store.recall("me", "resp_199", ())).conversation or ()) == 400

        run(lambda: opened(redis_url), talk)
        assert len(client.keys("*:i:*")) == 201
        assert {len(cast("bytes", client.hget(key, "d"))) for key in client.keys("*:r:*")} == {32}

    def test_nothing_leaks(self, client: "redis.Redis", redis_url: str) -> None:
        """All that is kept has an end, and what is forgotten is gone at once."""

        async def talk(store: Store) -> None:
            await store.remember("me", FIRST)
            await store.remember("me", SECOND)
            assert {int(client.ttl(key)) > 29 * 24 * 3600 for key in client.scan_iter()} == {True}
            await store.forget("me", "resp_1")
            await store.forget("me", "resp_2")

        run(lambda: opened(redis_url), talk)
        assert client.dbsize() == 0

    def test_use_renews(self, client: "redis.Redis", redis_url: str) -> None:
        """What is asked for lives on, with all that belongs to it."""

        async def talk(store: Store) -> None:
            await store.remember("me", FIRST)
            for key in client.scan_iter():
                client.expire(key, 100)
            await store.recall("me", "resp_1", ["msg_1"])
            assert not [key for key in client.scan_iter() if int(client.ttl(key)) <= 100]
            for key in client.scan_iter("*:i:*"):
                client.expire(key, 100)
            await store.recall("me", "resp_1", ())
            assert any(int(client.ttl(key)) <= 100 for key in client.scan_iter("*:i:*"))

        run(lambda: opened(redis_url), talk)

    def test_half_of_it(self, client: "redis.Redis", redis_url: str) -> None:
        """A conversation of which an item, a turn or a part of its list is gone is not known."""
        for kind in ("i", "r", "d"):

            async def talk(store: Store, kind: str = kind) -> None:
                await store.remember("me", FIRST)
                key = next(iter(client.keys("*:r:*" if kind == "d" else f"*:{kind}:*")))
                client.hset(key, "d", "x" * 15) if kind == "d" else client.delete(key)
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
            ("r", ("HSET", "d", "many")),
            ("r", ("HSET", "p", "resp_1")),
            ("r", ("HDEL", "m")),
            ("i", ("SET", "foreign")),
            ("i", ("HSET", "v", '{"role":"user"')),
            ("i", ("HSET", "v", "")),
            ("i", ("HSET", "k", "3")),
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
            for answer in ([], [b"other", [b"resp_1", b"", b"", b"", b""], [], [], []], None):

                async def told(*_: Any, answer: Any = answer) -> Any:
                    return answer

                monkeypatch.setattr(store, "run", told)
                with pytest.raises(ForeignAnswerError):
                    await store.recall("me", "resp_1", ())

        run(lambda: opened(redis_url), talk)

    @pytest.mark.parametrize(
        "answer",
        [
            [[], []],
            [[], [], [], []],
            [[b"resp_1"], [], [], []],
            [[], [b"0" * 16], [], []],
            [[], [b"0" * 16, b"item"], [], [b"0" * 16, b"many"]],
            [[], [], [b"", b""], []],
            [b"?", 5, None, []],
        ],
    )
    def test_an_answer_that_does_not_fit(self, answer: Any) -> None:
        """An answer that is cut, too long or says nothing is a failure, and is not asked for without end."""
        reading = Reading("resp_1", ["msg_1"], 1000)
        assert reading.question() == (b"resp_1", b"0", b"", "msg_1")
        with pytest.raises(ForeignAnswerError):
            reading.take(answer)

    def test_no_script_is_long(self, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """However many or large the items of a response are, each script adds, finds or releases few of them."""
        many = tuple(b'{"type":"message","id":"m_%d","role":"assistant"}' % number for number in range(3000))
        large = tuple(b'{"type":"message","id":"l_%d","x":"%s"}' % (n, b"x" * n) for n in (5_000_000, 1_000_000, 10))

        async def talk(store: Store) -> None:
            assert isinstance(store, RedisStore)
            items: list[int] = []
            sizes: list[int] = []

            async def watched(script: str, scope: str, *arguments: Any) -> Any:
                answer = await real(script, scope, *arguments)
                if script == RECALL:
                    items.append(len(answer[1]) // 5 + len(answer[2]) // 2)
                elif script == REMEMBER:
                    items.append(len(arguments[4:]) // 4)
                elif script == RELEASE:
                    items.append(len(arguments[0]) // 16)
                values = answer[2][1::2] if script == RECALL else arguments[5::4] if script == REMEMBER else []
                sizes.append(sum(map(len, values)))
                return answer

            real = store.run
            monkeypatch.setattr(store, "run", watched)
            await store.remember("me", made("resp_1", None, many))
            await store.remember("me", made("resp_2", "resp_1", large))
            found = await store.recall("me", "resp_2", ["l_5000000", "m_2999", "m_x"])
            assert found == Recalled(many + large, {"l_5000000": large[0], "m_2999": many[2999]})
            await store.remember("me", made("resp_2", "resp_1", large[1:]))
            assert (await store.recall("me", "resp_2", ["l_5000000"])) == Recalled(many + large[1:], {})
            await store.forget("me", "resp_1")
            await store.forget("me", "resp_2")
            assert max(items) <= ITEMS
            assert max(sizes) <= BYTES + 1024 * 1024

        run(lambda: opened(redis_url), talk)
        with redis.Redis.from_url(redis_url) as client:
            assert not client.keys(f"{prefix('me')}*")

    def test_what_changes_meanwhile(
        self, client: "redis.Redis", redis_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A conversation of which a part goes while it is read in several steps is not known."""
        items = tuple(b'{"type":"message","id":"m_%d"}' % number for number in range(2500))

        async def talk(store: Store) -> None:
            assert isinstance(store, RedisStore)
            await store.remember("me", made("resp_1", None, items))
            real = store.run

            async def disturbed(script: str, scope: str, *arguments: Any) -> Any:
                answer = await real(script, scope, *arguments)
                for key in client.keys(f"{prefix('me')}i:*")[:1500]:
                    client.delete(key)
                return answer

            monkeypatch.setattr(store, "run", disturbed)
            assert await store.recall("me", "resp_1", ()) == NOTHING

        run(lambda: opened(redis_url), talk)

    def test_a_circle(self, client: "redis.Redis", redis_url: str) -> None:
        """Turns that somebody led in a circle are not known, and end."""

        async def talk(store: Store) -> None:
            await store.remember("me", made("resp_1", "resp_2", ()))
            await store.remember("me", made("resp_2", "resp_1", (SAID,)))
            assert await store.recall("me", "resp_1", ["msg_1"]) == Recalled(None, {"msg_1": SAID})

        run(lambda: opened(redis_url), talk)
        assert owner("me").hex().encode() in client.keys("*:r:resp_1")[0]


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
                assert client.keys("unpinned:2:*:r:resp_1")

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
