"""The budget of recovery, as a table of seconds and requests."""

from collections.abc import Iterable

import pytest

from proxy.events import BudgetExceeded
from proxy.responses.policy import Policy
from proxy.responses.recovery.budget import LEAST, RECENT, Budget

Second = tuple[float, int, int]


class Day:
    """A budget, and the time."""

    def __init__(self, most: int = 3) -> None:
        self.now = 1000.0
        self.budget = Budget(Policy(max_recoveries=most))
        self.news: list[BudgetExceeded] = []

    def live(self, seconds: Iterable[Second]) -> int:
        """At each time so many requests, the last so many of them refused; the attempts that the next one may have."""
        for time, requests, refused in seconds:
            self.now = 1000.0 + time
            for number in range(requests):
                self.budget.admit(self.now)
                event = self.budget.spend() if number >= requests - refused else None
                self.news += [event] if event else []
        return self.budget.admit(self.now).max_recoveries


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
        ([(0, 100, 100), (RECENT + 1, 1, 0)], 3),
        ([(0, 100, 100), (RECENT - 1, 1, 0)], 1),
        ([(0, 100, 100), (1, 500, 0), (2, 1, 0)], 3),
        ([(0, 100_000, 0), (RECENT * 10, 60, 60)], 1),
        ([(0, 0, 0), (5, 200, 10), (90, 200, 100)], 1),
    ],
)
def test_the_share_that_may_need_recovery(seconds: list[Second], attempts: int) -> None:
    """Beyond a fifth of the requests of the last minute, a request has one attempt after the first, till then three."""
    assert Day().live(seconds) == attempts


def test_the_news_is_told_once() -> None:
    """It is news when the budget is exceeded, not while it is, and again after it was not."""
    day = Day()
    day.live([(second, 100, 50) for second in range(30)])
    assert day.news == [BudgetExceeded(13, 63)]
    day.live([(200, 100, 0), (201, 100, 100)])
    assert len(day.news) == 2


def test_it_allows_no_more_than_is_set() -> None:
    """Where no recovery is wished for, none is allowed."""
    assert Day(most=0).live([(0, 100, 100)]) == 0


def test_its_memory_is_bounded() -> None:
    """It keeps a number for each of the last seconds, however many requests and days there are."""
    day = Day()
    day.live([(number / 10, 2, 1) for number in range(20_000)])
    assert len(day.budget._marks) <= RECENT + 1
