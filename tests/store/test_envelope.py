"""How an item is kept."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.responses.body.lenient import MalformedError
from proxy.responses.body.table import item_of
from proxy.store.envelope import Plain, apart, entries, owner

ME = owner("me")


def id_of(item: bytes) -> str:
    """The id under which an item is kept."""
    [entry] = asyncio.run(entries(Plain(), ME, [item], 1))
    assert entry.value == item
    return entry.id


@pytest.mark.parametrize(
    ("item", "id_"),
    [
        (b'{"type":"message","id":"msg_1"}', "msg_1"),
        (b'{"role":"user","id":"msg_1"}', "msg_1"),
        (b'{"type":null,"role":"user","id":"msg_1"}', "msg_1"),
        (b'{ "id" : "msg_\\u0031" , "type":"reasoning"}', "msg_1"),
        (b'{"\\u0069d":"msg_1","type":"reasoning"}', "msg_1"),
        (b'{"type":"message","id":"msg_1","content":"\\ud800"}', "msg_1"),
        (b'{"type":"message","id":"msg_1","content":NaN}', "msg_1"),
        (b'{"type":"message","id":"msg_1","id":"msg_2"}', "msg_2"),
        (b'{"type":"item_reference","id":"msg_1"}', ""),
        (b'{"id":"msg_1"}', ""),
        (b'{"type":null,"id":"msg_1"}', ""),
        (b'{"type":"message","id":null}', ""),
        (b'{"type":"message","id":5}', ""),
        (b'{"type":"message","id":""}', ""),
        (b'{"type":"message","id":"m\xc3\xa9"}', ""),
        (b'{"type":"message","id":"%s"}' % (b"m" * 300), ""),
        (b'{"type":"message"}', ""),
        (b"5", ""),
        (b'"msg_1"', ""),
        (b"{", ""),
        (b"", ""),
    ],
)
def test_ids(item: bytes, id_: str) -> None:
    """An item is kept under its id, however that is written; a reference to an item is not the item."""
    assert id_of(item) == id_


VALUES: Any = st.sampled_from([None, "", "message", "item_reference", "msg_1", 5, {}, []])


@given(st.dictionaries(st.sampled_from(["id", "type", "role", "content"]), VALUES))
def test_the_quick_look_sees_what_the_careful_one_sees(item: dict[str, Any]) -> None:
    """The id is that of the item as it is read everywhere else."""
    found = item_of(json.dumps(item).encode())
    id_ = found.text("id") if found.kind.id != "reference" else None
    assert id_of(json.dumps(item).encode()) == (id_ or "")


@given(st.binary(max_size=40))
def test_whatever_it_is(item: bytes) -> None:
    """What is no item has no id, and nothing is raised."""
    try:
        item_of(item)
    except MalformedError:
        assert id_of(item) == ""


def test_digests_apart() -> None:
    """Digests that stand one after the other are told apart."""
    digests = [Plain().digest(b"%d" % number) for number in range(3)]
    assert apart(b"".join(digests)) == digests
    assert apart(b"") == []
