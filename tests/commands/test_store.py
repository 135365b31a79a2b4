"""`unpinned store`: what an operator does with a store."""

import asyncio
import base64
import re
import socket
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from proxy.app import open_store
from proxy.cli import main
from proxy.settings import SettingsError, load
from proxy.settings.parsers import STORE
from proxy.store import trial
from proxy.store.factory import ENGINES, opened
from proxy.store.interface import Recalled, Remembered
from proxy.store.migrations import VERSION
from tests.support.redis_server import redis_running

ITEM = b'{"role":"user","content":"hi"}'
KEY = base64.b64encode(bytes(32)).decode()


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Where no database is yet."""
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Any:
    """What a command ends with, and says."""

    def tell(*arguments: str) -> tuple[Any, str]:
        with pytest.raises(SystemExit) as ended:
            main(["store", *arguments])
        printed = capsys.readouterr()
        return ended.value.code, printed.out + printed.err

    return tell


def fill(url: str) -> None:
    """Have two responses remembered."""

    async def remember() -> None:
        engine = opened(url)
        for number in range(2):
            await engine.remember("me", Remembered(f"resp_{number}", None, (ITEM,)))
        await engine.close()

    asyncio.run(remember())


def test_a_database(told: Any, url: str) -> None:
    """Tables are made, looked at, and emptied; a look says first that they are missing."""
    code, said = told("check", "--store", url)
    assert (code, said) == (1, f"BAD  the store ({url}): its tables are missing: run `unpinned store init`\n")
    assert told("init", "--store", url) == (0, f"ok   the store ({url}): the tables are made, version {VERSION}\n")
    assert told("init", "--store", url) == (0, f"ok   the store ({url}): the tables are of version {VERSION}\n")
    fill(url)
    code, said = told("check", "--store", url)
    assert code == 0
    assert re.search(r"sqlite 3[.0-9]+: 2 responses, 1 items; write, read and delete check passed in [0-9.]+ ms", said)
    assert told("purge", "--store", url) == (0, f"ok   the store ({url}): 0 responses forgotten\n")
    assert told("purge", "--all", "--store", url) == (0, f"ok   the store ({url}): 2 responses forgotten\n")


def test_redis(told: Any) -> None:
    """Of a Redis its version and its memory are told, and no credential."""
    with redis_running() as server:
        url = server.url.replace("redis://", "redis://default:secret@")
        with socket.create_connection(("127.0.0.1", server.port)) as admin:
            admin.sendall(b"CONFIG SET requirepass secret\r\n")
            assert admin.recv(100) == b"+OK\r\n"
        code, said = told("check", "--store", url)
        assert (code, "secret" in said) == (0, False)
        assert re.search(
            r"(Redis|Valkey) [.0-9]+: \S+ used, no limit, maxmemory-policy noeviction; write, read and", said
        )
        assert told("init", "--store", url)[0] == 0
        fill(url)
        assert "2 responses forgotten" in told("purge", "--all", "--store", url)[1]
    code, said = told("check", "--store", url)
    assert (code, "secret" in said) == (1, False)
    assert said.startswith("BAD  the store (redis://127.0.0.1:")


def test_what_forgets(told: Any, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not know again what it was told is bad."""

    async def forgotten(*_: Any) -> Recalled:
        return Recalled(None, {})

    told("init", "--store", url)
    monkeypatch.setattr("proxy.store.sql.SqlStore.recall", forgotten)
    assert told("check", "--store", url) == (
        1,
        f"BAD  the store ({url}): the test entry that was written could not be read back\n",
    )


def test_what_does_not_answer(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long."""
    monkeypatch.setattr(trial, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://someone:secret@127.0.0.1:{silent.getsockname()[1]}/db"
        code, said = told("check", "--store", url)
    assert (code, said.endswith("/db): no answer in 0 seconds\n"), "secret" in said) == (1, True, False)


def test_no_store(told: Any) -> None:
    """Where no store is set there is nothing to look at; the store of one process is empty."""
    code, said = told("check")
    assert (code, said) == (2, "unpinned: UNPINNED_STORE is off, so there is no store.\n")
    assert told("check", "--store", "memory")[1].startswith("ok   the store (memory): this process's memory: 0 resp")


def test_no_database(told: Any, tmp_path: Path) -> None:
    """What is no database, or where none can be, is told in the words of who found out."""
    (tmp_path / "text").write_text("no database" * 1000)
    assert "file is not a database" in told("check", "--store", f"sqlite:///{tmp_path / 'text'}")[1]
    assert "No such file or directory" in told("init", "--store", f"sqlite:///{tmp_path / 'none' / 'db'}")[1]


@pytest.mark.parametrize(
    ("module", "variables", "extra"),
    [
        ("redis", {"STORE": "redis://127.0.0.1"}, "redis"),
        ("sqlalchemy", {"STORE": "sqlite:///store.db"}, "sql"),
        ("sqlalchemy", {"STORE": "postgresql://127.0.0.1/db"}, "sql"),
        ("cryptography.hazmat.primitives.ciphers.aead", {"STORE_KEY": KEY, "STORE": "memory"}, "encryption"),
    ],
)
def test_what_is_not_installed(
    module: str, variables: dict[str, str], extra: str, told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing extra is named."""
    for name in ("redis", "sql", "sql_connection", "tables", "encryption"):
        monkeypatch.delitem(sys.modules, f"proxy.store.{name}", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    for name, value in variables.items():
        monkeypatch.setenv(f"UNPINNED_{name}", value)
    needs = f"UNPINNED_{next(iter(variables))} needs what is not installed: pip install 'unpinned[{extra}]' adds it."
    assert told("check") == (2, f"unpinned: {needs}\n")


def test_every_engine_can_be_set() -> None:
    """A setting may name every engine that there is, and no other."""
    for scheme in ENGINES:
        assert STORE.read(f"{scheme}:///x")
    for other in ("mysql://x/db", "sqlite://", "sqlite:///", "sqlite:x", "redis", ""):
        with pytest.raises(SettingsError, match="must be off, memory"):
            load({"store": other}, {})


def test_settings_reach_the_engine(url: str, tmp_path: Path) -> None:
    """How long, how much and with which keys something is remembered is what was set."""
    (tmp_path / "key").write_text(f"{KEY}\n")
    flags: dict[str, str | None] = {
        "store": url,
        "store_ttl": "2h",
        "store_max_conversation": "1MiB",
        "store_key": f"file:{tmp_path / 'key'}",
    }
    engine: Any = open_store(load(flags, {}))
    assert (engine._options.lifetime, engine._options.largest) == (7200, 1 << 20)

    async def whole() -> None:
        await engine.remember("me", Remembered("resp_1", None, (ITEM,)))
        await engine.close()

    asyncio.run(whole())
    with sqlite3.connect(tmp_path / "store.db") as connection:
        ((kept,),) = connection.execute("SELECT value FROM unpinned_items")
    connection.close()
    assert b"hi" not in kept
    with pytest.raises(SettingsError, match="no URL that its client understands"):
        open_store(load({"store": "redis://127.0.0.1:notaport"}, {}))
