"""Many writers of conversations in a store for a moment; `python -m tests.soak.conversations` does it for a minute."""

import pytest

from tests.soak.conversations import Books, Size, Write, soaked

SMALL = Size(seconds=2, conversations=10)
HELD = [("user", "a"), ("assistant", "re: a"), ("user", "b")]


@pytest.mark.parametrize("engine", ["sqlite", "redis", "postgresql"])
def test_nothing_is_lost_and_nothing_is_there_twice(engine: str) -> None:
    """Of what five writers of each conversation write at once through two processes, all that was acknowledged is kept.

    Each is there once, in order and with its answer, what was refused is not, and no lock is left.
    """
    books, gaps = soaked(engine, SMALL)
    assert len(books.writes) == SMALL.conversations
    assert books.counts["items, kept"]
    assert books.counts["responses, kept"]
    assert books.counts.keys() <= {"items, kept", "responses, kept", "items, locked", "responses, locked"}
    assert gaps == 0


@pytest.mark.parametrize(
    ("held", "fault"),
    [
        (HELD, None),
        (HELD[:2], "b (kept) is there 0 times"),
        ([*HELD, HELD[2]], "b (kept) is there 2 times"),
        ([*HELD, ("user", "c")], "c (locked) is there 1 times"),
        ([*HELD, ("user", "d")], "nobody wrote {'d'}"),
        ([HELD[0], HELD[2]], "no answer to {'a'}"),
        ([HELD[2], *HELD[:2]], "a had ended before another began that stands before it"),
    ],
)
def test_a_fault_is_found(held: list[tuple[str, str]], fault: str | None) -> None:
    """The books show what is lost, there twice, made up, without its answer or out of order."""
    books = Books()
    books.writes["conv"] = [
        Write("a", True, 1.0, 2.0, "kept"),
        Write("b", False, 3.0, 4.0, "kept"),
        Write("c", False, 3.0, 4.0, "locked"),
    ]
    if fault is None:
        books.compare("conv", held)
    else:
        with pytest.raises(AssertionError) as found:
            books.compare("conv", held)
        assert str(found.value) == fault
