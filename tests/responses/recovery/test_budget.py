"""The budget of recovery, as a table of seconds and requests."""

from collections.abc import Iterable

import pytest

from proxy.events import BudgetExceeded
from proxy.responses.policy import Policy
from proxy.responses.recovery import budget as module
from proxy.responses.recovery.budget import LEAST, MINUTE, Budget

Second = tuple[float, int, int]


class Day:
    """A budget, and the time."""

    def __init__(self, most: int = 3) -> None:
        self.now = 1000.0
        self.budget = Budget(Policy(mode="strip", max_recoveries=most))
        self.news: list[BudgetExceeded] = []

    def live(self, seconds: Iterable[Second], caller: str = "me") -> int:
        """At each time so many requests and failed attempts; the attempts that the next request may have."""
        for time, requests, failed in seconds:
            self.now = 1000.0 + time
            for _ in range(requests):
                self.budget.admit(caller, self.now)
            for _ in range(failed):
                event = self.budget.spend(caller, 1, self.now)
                self.news += [event] if event else []
        return self.budget.admit(caller, self.now).max_recoveries


@pytest.mark.parametrize(
    ("seconds", "attempts"),
    [
        ([], 3),
        ([(0, LEAST * 10, 0)], 3),
        ([(0, LEAST - 2, LEAST - 2)], 3),
        ([(0, LEAST, LEAST)], 1),
        ([(0, 100, 20)], 3),
        ([(0, 100, 21)], 1),
        ([(second, 10, 2) for second in range(300)], 3),
        ([(second, 10, 3) for second in range(300)], 1),
        ([(0, 100, 100), (2 * MINUTE, 1, 0)], 3),
        ([(0, 100, 100), (MINUTE - 1, 1, 0)], 1),
        ([(0, 100, 100), (1, 500, 0), (2, 1, 0)], 3),
        ([(0, 0, 0), (5, 200, 10), (90, 200, 100)], 1),
    ],
)
def test_the_share_that_may_fail(seconds: list[Second], attempts: int) -> None:
    """Where attempts fail for more than a fifth of a minute's requests, a request has one attempt after the first."""
    assert Day().live(seconds) == attempts


def test_each_credential_has_its_own() -> None:
    """A caller whose attempts all fail takes nothing from another caller."""
    day = Day()
    assert day.live([(0, 1000, 1000)], "them") == 1
    assert day.live([(0, 1000, 0)], "me") == 3


def test_an_attempt_that_is_answered_costs_nothing() -> None:
    """A caller whose every request needs three attempts and is answered goes on having three."""
    day = Day()
    for _ in range(1000):
        assert day.budget.admit("me", day.now).max_recoveries == 3
        assert day.budget.spend("me", 0, day.now) is None


def test_the_news_is_told_once() -> None:
    """It is news when the budget is exceeded, not while it is, and again after it was not."""
    day = Day()
    day.live([(second, 100, 50) for second in range(30)])
    assert day.news == [BudgetExceeded(21, 100)]
    day.live([(200, 100, 0), (201, 100, 100)])
    assert len(day.news) == 2


def test_it_allows_no_more_than_is_set() -> None:
    """Where no recovery is wished for, none is allowed."""
    assert Day(most=0).live([(0, 100, 100)]) == 0


@pytest.mark.interpreted
def test_its_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps four counts for each caller, and forgets the caller that sent no request for longest."""
    monkeypatch.setattr(module, "_CAPACITY", 3)
    day = Day()
    for caller in ("a", "b", "a", "c", "d"):
        day.budget.admit(caller, day.now)
    assert list(day.budget._accounts) == ["a", "c", "d"]
    assert day.budget.spend("b", 1, day.now) is None
