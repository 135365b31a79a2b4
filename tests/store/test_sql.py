"""What only databases have to do."""

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from proxy.store import migrations, sql, sql_execution, tables
from proxy.store.conversation_tables import CONVERSATIONS, TURNS
from proxy.store.factory import opened
from proxy.store.interface import DEFAULTS, Recalled, Store
from proxy.store.migrations import VERSION, SchemaError
from proxy.store.sql import SqlStore
from tests.store.talks import FIRST, LAST, NEXT, NOTHING, SAID, SECOND, USER, made, run
from tests.support.postgresql_server import postgresql_running

KINDS = ("sqlite", "postgresql")


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest) -> str:
    """A database that holds nothing."""
    found: str = request.getfixturevalue(f"{request.param}_url")

    async def empty(store: Store) -> None:
        assert isinstance(store, SqlStore)
        await store.purge(everything=True)

    run(lambda: opened(found), empty)
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where no database is yet."""
    return tmp_path / "new.db"


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the store reads, which only the test changes."""
    present = [time.time()]
    monkeypatch.setattr("proxy.store.sql.time.time", lambda: present[0])
    return present


def counted(file: Path) -> dict[str, int]:
    """How many rows each table has."""
    with sqlite3.connect(file) as connection:
        names = ("responses", "places", "items")
        found = {name: connection.execute(f"SELECT count(*) FROM unpinned_{name}").fetchone()[0] for name in names}
    connection.close()
    return found


def changed(file: Path, statement: str) -> None:
    """Change a database behind the store's back."""
    with sqlite3.connect(file) as connection:
        assert connection.execute(statement).rowcount
    connection.close()


async def told(store: Store, *responses: Any) -> None:
    """Have responses remembered."""
    for response in responses:
        await store.remember("me", response)


class TestTables:
    """How the tables are made."""

    def test_who_comes_first_makes_them(self, file: Path) -> None:
        """Many that find no tables at once make them once."""

        async def whole() -> None:
            stores = [opened(f"sqlite:///{file}") for _ in range(8)]
            await asyncio.gather(*(store.remember(f"{number}", FIRST) for number, store in enumerate(stores)))
            assert {await store.prepare() for store in stores} == {f"the tables are of version {VERSION}"}
            for store in stores:
                await store.close()

        asyncio.run(whole())
        assert counted(file)["responses"] == 8

    def test_many_come_first(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of many lookups that come first to a process one makes the tables, and all others wait for it."""
        made = []

        def migrate(connection: Any) -> Any:
            made.append(connection)
            return real(connection)

        async def talk(store: Store) -> None:
            found = await asyncio.gather(*(store.recall("me", f"resp_{number}", ()) for number in range(50)))
            assert found == [NOTHING] * 50

        real = migrations.migrate
        monkeypatch.setattr(migrations, "migrate", migrate)
        run(lambda: opened(f"sqlite:///{file}"), talk)
        assert len(made) == 1

    def test_postgresql_too(self, postgresql_url: str) -> None:
        """Many that find no tables at once make them once, in PostgreSQL as well."""

        async def whole() -> None:
            stores: list[Any] = [opened(postgresql_url) for _ in range(8)]
            async with stores[0]._writing.begin() as connection:
                await connection.run_sync(tables.METADATA.drop_all)
            said = await asyncio.gather(*(store.prepare() for store in stores))
            assert sorted(said) == [
                f"the tables are made, version {VERSION}",
                *[f"the tables are of version {VERSION}"] * 7,
            ]
            await told(stores[0], FIRST)
            for store in stores:
                await store.close()

        asyncio.run(whole())

    def test_a_file_is_its_owners(self, file: Path) -> None:
        """Nobody else on the machine can read a file with conversations, nor what SQLite puts beside it."""

        async def talk(store: Store) -> None:
            await told(store, FIRST)
            assert {path.stat().st_mode & 0o777 for path in file.parent.iterdir()} == {0o600}

        run(lambda: opened(f"sqlite:///{file}"), talk)

    def test_a_look_makes_nothing(self, file: Path) -> None:
        """Who looks is told what is missing, and makes no tables."""

        async def talk(store: Any) -> None:
            with pytest.raises(SchemaError, match="unpinned store init"):
                await store.standing()
            await told(store, FIRST)
            assert (await store.standing()).endswith(": 1 responses, 2 items")

        run(lambda: opened(f"sqlite:///{file}"), talk)

    def test_of_a_later_version(self, file: Path) -> None:
        """Tables that a newer Unpinned made are left alone."""
        url = f"sqlite:///{file}"

        async def fill(store: Any) -> None:
            await told(store, FIRST)

        async def leave(store: Any) -> None:
            for use in (store.standing, lambda: store.recall("me", "resp_1", ()), store.prepare):
                with pytest.raises(SchemaError, match=f"knows only {VERSION}"):
                    await use()

        run(lambda: opened(url), fill)
        changed(file, f"UPDATE unpinned_schema SET version = {VERSION + 1}")
        run(lambda: opened(url), leave)

    @pytest.mark.parametrize("database", ["sqlite", "postgresql"])
    def test_from_the_first_version(self, database: str, file: Path, request: pytest.FixtureRequest) -> None:
        """Tables of version 1, which had no signatures, are brought up to date and keep what they hold."""
        url = f"sqlite:///{file}" if database == "sqlite" else request.getfixturevalue("postgresql_url")

        async def migrate(store: Any) -> None:
            await store.purge(everything=True)
            await told(store, FIRST)
            async with store._writing.begin() as connection:
                await connection.execute(text("ALTER TABLE unpinned_responses DROP COLUMN signature"))
                for table in (CONVERSATIONS, TURNS):  # of version 3
                    await connection.execute(text(f"DROP TABLE {table.name}"))
                await connection.execute(text("UPDATE unpinned_schema SET version = 1"))
            with pytest.raises(SchemaError, match=f"version 1, not {VERSION}: run `unpinned store init`"):
                await store.standing()
            assert await store.prepare() == f"the tables are of version {VERSION}, were 1"
            await told(store, SECOND)
            assert (await store.recall("me", "resp_2", ())).conversation == (USER, SAID, NEXT, LAST)
            assert await store.conversations.ledger("me", "conv_1") is None

        run(lambda: opened(url), migrate)


class TestKept:
    """What is kept, and for how long."""

    def test_nothing_leaks(self, file: Path) -> None:
        """What is replaced or forgotten leaves nothing behind, and no item is kept twice."""

        async def talk(store: Store) -> None:
            await told(store, FIRST, SECOND, SECOND, FIRST._replace(items=(USER, USER, SAID)))
            assert counted(file) == {"responses": 2, "places": 5, "items": 4}
            await told(store, FIRST)
            await store.forget("me", "resp_1")
            assert counted(file) == {"responses": 1, "places": 2, "items": 2}
            await store.forget("me", "resp_2")
            assert set(counted(file).values()) == {0}

        run(lambda: opened(f"sqlite:///{file}"), talk)

    def test_an_end(self, url: str, now: list[float]) -> None:
        """What nobody uses for too long is not known, and then gone; what is used lives on, with all before it."""

        async def talk(store: Any) -> None:
            await told(store, FIRST, SECOND, FIRST._replace(response_id="resp_old"))
            now[0] += 80
            assert (await store.recall("me", "resp_2", ())).conversation == (USER, SAID, NEXT, LAST)
            now[0] += 80
            assert (await store.recall("me", "resp_old", ())).conversation is None
            assert await store.purge() == 1
            assert (await store.recall("me", "resp_2", ())).conversation == (USER, SAID, NEXT, LAST)
            now[0] += 101
            assert await store.purge() == 2
            assert await store.recall("me", "resp_1", ["msg_1"]) == NOTHING
            assert (await store.standing()).endswith(": 0 responses, 0 items")

        run(lambda: opened(url, DEFAULTS._replace(lifetime=100)), talk)

    def test_it_ends_by_itself(self, url: str, now: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
        """Who writes clears away now and then what nobody used."""
        monkeypatch.setattr(sql, "_PURGED_EVERY", 0.0)

        async def talk(store: Any) -> None:
            await told(store, FIRST)
            now[0] += 101
            await told(store, SECOND)
            assert (await store.standing()).endswith(": 1 responses, 2 items")

        run(lambda: opened(url, DEFAULTS._replace(lifetime=100)), talk)

    def test_much_to_purge(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Much is forgotten in several steps, of every scope."""
        monkeypatch.setattr(sql, "_AT_ONCE", 3)

        async def talk(store: Any) -> None:
            for number in range(7):
                await store.remember(f"scope-{number % 2}", FIRST._replace(response_id=f"resp_{number}"))
            assert await store.purge() == 0
            assert await store.purge(everything=True) == 7
            assert (await store.standing()).endswith(": 0 responses, 0 items")

        run(lambda: opened(url), talk)

    @pytest.mark.parametrize("way", ["forget", "purge"])
    def test_in_short_transactions(self, url: str, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
        """What is forgotten goes in transactions of so many items, and after an interruption the rest of it does."""
        items = tuple(b'{"type":"message","id":"m_%d"}' % place for place in range(95))

        async def talk(store: Any) -> None:
            await told(store, *(made(f"resp_{number}", None, items) for number in range(3)))
            released: list[int] = []

            async def release(connection: Any, gone: Any) -> None:
                if len(released) == 4:
                    raise KeyError
                released.append(len(gone))
                await real(connection, gone)

            real = sql_execution.release
            with monkeypatch.context() as patch:
                patch.setattr(sql, "SLICE", 10)
                patch.setattr(sql, "release", release)
                with pytest.raises(KeyError):
                    await (store.purge(everything=True) if way == "purge" else store.forget("me", "resp_1"))
            assert released == [10] * 4
            assert (await store.standing()).endswith(": 3 responses, 95 items")
            known = [(await store.recall("me", f"resp_{number}", ())).conversation for number in range(3)]
            assert known.count(None) == 1
            assert await store.purge() == (1 if way == "forget" else 0)
            assert await store.purge(everything=True) == (2 if way == "forget" else 3)
            assert (await store.standing()).endswith(": 0 responses, 0 items")

        run(lambda: opened(url), talk)


class TestFaults:
    """What may be wrong with a database."""

    @pytest.mark.parametrize(
        "damage",
        [
            "DELETE FROM unpinned_items WHERE instr(named, CAST('msg_1' AS BLOB))",
            "DELETE FROM unpinned_places WHERE place = 1",
            "DELETE FROM unpinned_responses WHERE instr(key, CAST('resp_1' AS BLOB))",
            "UPDATE unpinned_items SET value = substr(value, 1, 5) WHERE instr(named, CAST('msg_1' AS BLOB))",
            "UPDATE unpinned_items SET value = x'ff' WHERE instr(named, CAST('msg_1' AS BLOB))",
            "UPDATE unpinned_responses SET previous = (SELECT max(key) FROM unpinned_responses) WHERE previous IS NULL",
        ],
    )
    def test_damage(self, file: Path, damage: str) -> None:
        """A conversation of which anything is missing or altered is not known."""

        async def talk(store: Store) -> None:
            await told(store, FIRST, SECOND)
            changed(file, damage)
            assert (await store.recall("me", "resp_2", ())).conversation is None
            assert (await store.recall("me", None, ["msg_1"])).items in ({}, {"msg_1": SAID})
            assert (await store.recall("me", None, ["msg_2"])) == Recalled(None, {"msg_2": LAST})

        run(lambda: opened(f"sqlite:///{file}"), talk)

    def test_who_gives_up_leaves_nothing_behind(self, url: str) -> None:
        """However often a lookup is given up in the middle, the next one finds a connection."""

        async def talk(store: Store) -> None:
            await told(store, FIRST)
            for number in range(60):
                asking = asyncio.create_task(store.recall("me", "resp_1", ["msg_1"]))
                for _ in range(number % 20):
                    await asyncio.sleep(0)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
            assert await store.recall("me", "resp_1", ["msg_1"]) == Recalled((USER, SAID), {"msg_1": SAID})

        run(lambda: opened(url), talk)

    def test_all_at_once(self, url: str) -> None:
        """Many that read and write at once, with the same items, do not get into each other's way."""

        async def whole() -> None:
            stores = [opened(url) for _ in range(4)]

            async def converse(number: int) -> None:
                store = stores[number % 4]
                one = FIRST._replace(response_id=f"resp_{number}_1")
                two = SECOND._replace(response_id=f"resp_{number}_2", previous=one.response_id)
                await told(store, one, two)
                found = await stores[(number + 1) % 4].recall("me", two.response_id, ())
                assert found.conversation == (USER, SAID, NEXT, LAST)
                await store.forget("me", one.response_id)

            await asyncio.gather(*(converse(number) for number in range(40)))
            assert (await stores[0].standing()).endswith(": 40 responses, 2 items")
            for store in stores:
                await store.close()

        asyncio.run(whole())

    def test_a_restart(self) -> None:
        """A database that was restarted is asked again at once, and knows what it knew."""
        with postgresql_running() as server:

            async def talk(store: Store) -> None:
                await told(store, FIRST)
                assert (await store.recall("me", "resp_1", ())).conversation == (USER, SAID)
                server.stop()
                with pytest.raises((OSError, DBAPIError)):
                    await store.recall("me", "resp_1", ())
                server.start()
                await told(store, SECOND)
                assert (await store.recall("me", "resp_2", ())).conversation == (USER, SAID, NEXT, LAST)
                await asyncio.to_thread(server.stop)
                await asyncio.to_thread(server.start)
                assert (await store.recall("me", "resp_2", ())).conversation == (USER, SAID, NEXT, LAST)

            run(lambda: opened(server.url), talk)

    def test_how_others_ask_for_tls(self, postgresql_url: str) -> None:
        """TLS is asked for as all of PostgreSQL's clients ask for it."""

        async def talk(store: Store) -> None:
            await told(store, FIRST)

        run(lambda: opened(f"{postgresql_url}?sslmode=prefer"), talk)
        with pytest.raises(ConnectionError, match="SSL"):
            run(lambda: opened(f"{postgresql_url}?sslmode=require"), talk)
