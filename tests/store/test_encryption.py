"""Items encrypted where they are kept."""

import asyncio
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.store.encryption import MARK, Sealed
from proxy.store.envelope import Entry, Envelope, Plain, entries, owner
from proxy.store.envelope import opened as read
from proxy.store.factory import opened
from proxy.store.interface import DEFAULTS, Recalled, Store
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
