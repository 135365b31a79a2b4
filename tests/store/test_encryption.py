"""Items encrypted where they are kept."""

import asyncio
import hashlib
import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from proxy.store.encryption import MARK, Sealed
from proxy.store.envelope import Entry, Envelope, Plain, apart, entries, owner
from proxy.store.envelope import opened as read
from proxy.store.factory import opened
from proxy.store.interface import DEFAULTS, Recalled, Store
from proxy.store.redis_scripts import prefix
from tests.store.talks import FIRST, KEY, LAST, NEXT, SAID, SECOND, USER, run

OTHER = bytes(reversed(KEY))
ME, YOU = owner("me"), owner("you")


def kept_of(envelope: Envelope, items: list[bytes]) -> list[Entry]:
    """What is kept of my items."""
    return asyncio.run(entries(envelope, ME, items, len(items)))


@given(st.binary())
def test_what_was_kept_is_read(item: bytes) -> None:
    """Whatever an item is, it is read as it was written, and never written as it is."""
    sealed = Sealed([KEY])
    digest = sealed.digest(item)
    kept = sealed.close(ME, digest, item)
    assert sealed.open(ME, digest, kept) == item
    assert kept != sealed.close(ME, digest, item)
    assert len(kept) == len(item) + 33


def test_only_in_its_place() -> None:
    """A value that was cut, altered, or moved to another scope or in another item's place does not open."""
    sealed = Sealed([KEY])
    mine, other = kept_of(sealed, [SAID, USER])
    assert sealed.open(ME, mine.digest, mine.value) == SAID
    assert sealed.open(YOU, mine.digest, mine.value) is None
    assert sealed.open(ME, other.digest, mine.value) is None
    for place in range(len(mine.value)):
        altered = bytearray(mine.value)
        altered[place] ^= 1
        assert sealed.open(ME, mine.digest, bytes(altered)) is None
        assert sealed.open(ME, mine.digest, mine.value[:place]) is None
    assert mine.id == "msg_1"


def test_keys_change() -> None:
    """Old keys still read, the newest one writes, and who has not the key reads nothing."""
    (old,) = kept_of(Sealed([OTHER]), [SAID])
    both = Sealed([KEY, OTHER])
    assert both.open(ME, old.digest, old.value) == SAID
    (new,) = kept_of(both, [SAID])
    assert Sealed([KEY]).open(ME, new.digest, new.value) == SAID
    assert Sealed([KEY]).open(ME, old.digest, old.value) is None
    assert Sealed([OTHER]).open(ME, new.digest, new.value) is None
    assert Plain().open(ME, new.digest, new.value) is None


def test_what_is_not_encrypted() -> None:
    """What was written without a key is read only where that is asked for."""
    (plain,) = kept_of(Plain(), [SAID])
    assert Plain().open(ME, plain.digest, plain.value) == SAID
    assert Sealed([KEY]).open(ME, plain.digest, plain.value) is None
    lenient = Sealed([KEY], reads_plain=True)
    assert lenient.open(ME, plain.digest, plain.value) == SAID
    assert lenient.open(ME, plain.digest, plain.value[:-1]) is None
    assert lenient.open(ME, plain.digest, MARK + plain.value) is None


@pytest.mark.parametrize("kind", ["redis", "sqlite"])
def test_a_conversation_through_a_change(kind: str, request: pytest.FixtureRequest) -> None:
    """A conversation goes on when encryption begins, when the key changes, and not without the key."""
    url = request.getfixturevalue(f"{kind}_url")

    async def begin(store: Store) -> None:
        await store.remember("change", FIRST)

    async def go_on(store: Store) -> None:
        await store.remember("change", SECOND)
        assert await store.recall("change", "resp_2", ["msg_1"]) == Recalled((USER, SAID, NEXT, LAST), {"msg_1": SAID})

    async def end(store: Store) -> None:
        assert await store.recall("change", "resp_2", ["msg_1"]) == Recalled((USER, SAID, NEXT, LAST), {"msg_1": SAID})

    async def lose(store: Store) -> None:
        assert await store.recall("change", "resp_2", ["msg_2"]) == Recalled(None, {})

    run(lambda: opened(url), begin)
    first = Sealed([OTHER], reads_plain=True)
    run(lambda: opened(url, DEFAULTS._replace(envelope=first)), go_on)
    then = Sealed([KEY, OTHER], reads_plain=True)
    run(lambda: opened(url, DEFAULTS._replace(envelope=then)), end)
    run(lambda: opened(url, DEFAULTS._replace(envelope=Sealed([KEY]))), lose)
    run(lambda: opened(url), lose)


def test_nothing_can_be_read(tmp_path: Path) -> None:
    """A file holds none of the words of a conversation, nor what could be compared with them."""

    async def talk(store: Store) -> None:
        await store.remember("me", FIRST._replace(items=(b'{"role":"user","content":"a secret word"}',)))

    for name, envelope in (("plain", Plain()), ("sealed", Sealed([KEY]))):
        run(partial(opened, f"sqlite:///{tmp_path / name}", DEFAULTS._replace(envelope=envelope)), talk)
    held = {name: b"".join(path.read_bytes() for path in tmp_path.glob(f"{name}*")) for name in ("plain", "sealed")}
    assert b"a secret word" in held["plain"]
    assert b"secret" not in held["sealed"]
    assert Plain().digest(FIRST.items[0]) != Sealed([KEY]).digest(FIRST.items[0])


def test_large_items() -> None:
    """What is large is as it would be if it were small."""
    items = [b'{"id":"msg_1","content":"%s"}' % (b"x" * 2_000_000), SAID]
    for envelope in (Plain(), Sealed([KEY])):
        kept = kept_of(envelope, items)
        assert [entry.id for entry in kept] == ["", "msg_1"]
        assert asyncio.run(read(envelope, ME, [(entry.digest, entry.value) for entry in kept])) == items


class Shelf:
    """A store whose records somebody else rewrites: what each response has, as the engine keeps it."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url) if url.startswith("redis") else None
        self._file = None if self._redis is not None else sqlite3.connect(url.removeprefix("sqlite:///"))
        if self._redis is not None:
            self._redis.flushall()

    def close(self) -> None:
        """Let go of it."""
        for held in (self._redis, self._file):
            if held is not None:
                held.close()

    def list_of(self, response_id: str) -> list[bytes]:
        """The digests of a response's own items."""
        if self._redis is not None:
            return apart(cast("bytes", self._redis.hget(self._name(response_id), "d")))
        return [row[0][16:] for row in self._rows(response_id)]

    def _rows(self, response_id: str) -> list[Any]:
        assert self._file is not None
        found = "SELECT item FROM unpinned_places WHERE response = ? ORDER BY place"
        return self._file.execute(found, (ME + response_id.encode(),)).fetchall()

    def _name(self, response_id: str) -> str:
        return f"{prefix('me')}r:{response_id}"

    def write(self, response_id: str, digests: list[bytes]) -> None:
        """Give a response other items."""
        if self._redis is not None:
            self._redis.hset(self._name(response_id), "d", b"".join(digests))
            return
        assert self._file is not None
        key = ME + response_id.encode()
        self._file.execute("DELETE FROM unpinned_places WHERE response = ?", (key,))
        rows = [(key, place, ME + digest) for place, digest in enumerate(digests)]
        self._file.executemany("INSERT INTO unpinned_places VALUES (?, ?, ?)", rows)
        self._file.execute("UPDATE unpinned_responses SET length = ? WHERE key = ?", (len(digests), key))
        self._file.commit()

    def change(self, response_id: str, what: str, value: bytes | None) -> None:
        """Change what a response continues, or its signature."""
        if self._redis is not None:
            self._redis.hset(self._name(response_id), {"previous": "p", "signature": "m"}[what], value or b"")
            return
        assert self._file is not None
        value = ME + value if value and what == "previous" else value
        change = f"UPDATE unpinned_responses SET {what} = ? WHERE key = ?"
        self._file.execute(change, (value, ME + response_id.encode()))
        self._file.commit()

    def name(self, item_id: str, digest: bytes) -> None:
        """Have an id lead to another item."""
        if self._redis is not None:
            self._redis.set(f"{prefix('me')}d:{item_id}", digest)
            return
        assert self._file is not None
        for change, values in (
            ("UPDATE unpinned_items SET named = NULL WHERE named = ?", (ME + item_id.encode(),)),
            ("UPDATE unpinned_items SET named = ? WHERE key = ?", (ME + item_id.encode(), ME + digest)),
        ):
            self._file.execute(change, values)
        self._file.commit()


@pytest.fixture(params=["redis", "sqlite"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Shelf]]:
    """A store that holds a conversation of two turns and another one, and who can write to it."""
    url = f"sqlite:///{tmp_path / 'shelf'}" if request.param == "sqlite" else request.getfixturevalue("redis_url")

    async def fill(store: Store) -> None:
        for response in (FIRST, SECOND, FIRST._replace(response_id="resp_x", items=(LAST, SAID, USER))):
            await store.remember("me", response)

    shelf = Shelf(url)
    run(lambda: opened(url, DEFAULTS._replace(envelope=Sealed([KEY]))), fill)
    yield url, shelf
    shelf.close()


def known(url: str, envelope: Envelope) -> Recalled:
    """What is known of the conversation."""
    found: list[Recalled] = []

    async def ask(store: Store) -> None:
        found.append(await store.recall("me", "resp_2", ["msg_1"]))

    run(lambda: opened(url, DEFAULTS._replace(envelope=envelope)), ask)
    return found[0]


@pytest.mark.parametrize(
    ("response", "change"),
    [
        ("resp_1", lambda own, _: own[::-1]),
        ("resp_1", lambda own, _: own[:1]),
        ("resp_2", lambda own, _: own[1:]),
        ("resp_2", lambda own, other: own + other[:1]),
        ("resp_2", lambda _, other: other),
        ("resp_1", lambda _own, _other: []),
    ],
    ids=["reversed", "cut", "beheaded", "longer", "exchanged", "emptied"],
)
def test_who_can_write_rearranges_nothing(shelf: tuple[str, Shelf], response: str, change: Any) -> None:
    """A conversation whose items somebody exchanges, cuts or puts in another order is not known, if there is a key."""
    url, writer = shelf
    own = writer.list_of(response)
    writer.write(response, own)
    assert known(url, Sealed([OTHER, KEY])).conversation == (USER, SAID, NEXT, LAST)
    writer.write(response, change(own, writer.list_of("resp_x")))
    assert known(url, Sealed([KEY])).conversation is None
    assert known(url, Sealed([KEY], reads_plain=True)).conversation is None


@pytest.mark.parametrize("previous", [None, b"resp_x"])
def test_a_turn_stays_in_its_conversation(shelf: tuple[str, Shelf], previous: bytes | None) -> None:
    """A turn that somebody puts behind another one, or in front, is not known."""
    url, writer = shelf
    writer.change("resp_2", "previous", previous)
    assert known(url, Sealed([KEY])).conversation is None


def test_without_a_signature(shelf: tuple[str, Shelf]) -> None:
    """A turn whose signature is gone, cut or another's is not known; while `plain` is read one that is gone passes."""
    url, writer = shelf
    for signature in (b"x", b"x" * 36, hashlib.sha256(KEY).digest()):
        writer.change("resp_1", "signature", signature)
        assert known(url, Sealed([KEY], reads_plain=True)).conversation is None
    writer.change("resp_1", "signature", None)
    assert known(url, Sealed([KEY])).conversation is None
    assert known(url, Sealed([KEY], reads_plain=True)).conversation == (USER, SAID, NEXT, LAST)


def test_an_id_leads_to_its_item(shelf: tuple[str, Shelf]) -> None:
    """An id that somebody has lead to another item leads nowhere."""
    url, writer = shelf
    assert known(url, Sealed([KEY])).items == {"msg_1": SAID}
    writer.name("msg_1", writer.list_of("resp_2")[1])
    assert known(url, Sealed([KEY])).items == {}


def test_no_part_is_taken_for_anothers() -> None:
    """A signature is that of a response, what it continues and its digests, not of these in one piece."""
    sealed = Sealed([KEY])
    signature = sealed.sign(b"ab", b"cd", b"ef")
    assert sealed.signed(b"ab", b"cd", b"ef", signature)
    for other in ((b"abc", b"d", b"ef"), (b"ab", b"c", b"def"), (b"ab", b"", b"cdef"), (b"ab", b"cd", b"eF")):
        assert not sealed.signed(*other, signature)
