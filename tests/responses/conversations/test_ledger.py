"""Turns, marks and names of a conversation."""

from proxy.responses.conversations.ledger import (
    DIGEST,
    MARK,
    Ledger,
    Turn,
    candidates,
    marks_of,
    minted,
    name_of,
    names,
    places,
    repeated,
    size_of,
)

CONVERSATION = "conv_" + "0" * 48


def turn(number: int, *item_names: bytes, done: bool = True) -> Turn:
    """A turn of items with these names, of ten bytes each."""
    marks = b"".join(bytes([number]) * DIGEST + name for name in item_names)
    return Turn(number, done, marks, 10 * len(item_names))


ONE, TWO, THREE = (name_of(item_id) for item_id in ("msg_1", "msg_2", "msg_3"))
TURNS = (turn(0, ONE, TWO), turn(1, THREE, done=False))


def test_what_is_in_the_history() -> None:
    """A turn that is asked is in it once no lock holds it, and is a gap then; without items it is none."""
    ledger = Ledger(b"{}", 1, TURNS)
    assert (ledger.visible, ledger.has_gap, ledger.next) == (TURNS, True, 2)
    locked = ledger._replace(locked=True)
    assert (locked.visible, locked.has_gap) == (TURNS[:1], False)
    done = ledger._replace(turns=TURNS[:1], locked=True)
    assert (done.visible, done.has_gap) == (TURNS[:1], False)
    assert not Ledger(b"{}", 1, (turn(0, done=False),)).has_gap
    assert (Ledger(b"{}", 1).next, Ledger(b"{}", 1, locked=True).visible) == (0, ())


def test_sizes_and_marks() -> None:
    """The marks of turns are those of their items in order, and their sizes add up."""
    assert [mark[DIGEST:] for mark in marks_of(TURNS)] == [ONE, TWO, THREE]
    assert (size_of(TURNS), TURNS[0].digests) == (30, [bytes(DIGEST), bytes(DIGEST)])


def test_names() -> None:
    """An id has one name everywhere; items without an id have different ones, of a seed that is used once."""
    first, second, third = names(["", "msg_1", ""], b"seed")
    assert second == ONE == names(["msg_1"], b"other")[0]
    assert len({first, second, third, *names(["", "", ""], b"other")}) == 6


def test_an_id_is_minted_once() -> None:
    """The id of an item that came without one is the same whenever it is shown, and leads back to its name."""
    (name,) = names([""], b"seed")
    shown = minted(CONVERSATION, "msg", name)
    assert shown == minted(CONVERSATION, "msg", name) != minted(CONVERSATION[:-1] + "1", "msg", name)
    assert (len(shown), name in candidates(shown), name_of(shown) in candidates(shown)) == (52, True, True)
    assert candidates("msg_" + "g" * 48) == {name_of("msg_" + "g" * 48)}


def test_places() -> None:
    """An item is found by its id, and its turn goes on without it."""
    (place,) = places(TURNS, "msg_2")
    assert (place.turn, place.mark[DIGEST:]) == (TURNS[0], TWO)
    assert place.without(10) == TURNS[0]._replace(marks=TURNS[0].marks[:MARK], size=10)
    assert not list(places(TURNS, "msg_9"))


def test_what_is_there_twice() -> None:
    """An id is not taken a second time, neither of the conversation nor within one request."""
    assert repeated(TURNS, ["msg_9", "", "msg_3"]) == "msg_3"
    assert repeated(TURNS, ["msg_9", "msg_9"]) == "msg_9"
    assert repeated(TURNS, ["msg_9", "", ""]) == ""
