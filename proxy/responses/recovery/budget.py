"""How much recovering may multiply the load on upstream: more than a fifth of the recent requests must not need it.

Pure, and small: it remembers two numbers for each second of the last minute that had a request.
"""

from collections import deque
from dataclasses import replace
from math import inf
from typing import Final, NamedTuple

from proxy.events import BudgetExceeded
from proxy.responses.policy import Policy

RECENT: Final = 60.0
"""Seconds for which a request is recent."""
LEAST: Final = 50
"""Recent requests below which their shares mean nothing."""
_SHARE: Final = 5
_LIMIT: Final = 1


class _Mark(NamedTuple):
    """What had been counted at a time."""

    time: float
    requests: int
    recoveries: int


class Budget:
    """The policy for the next request: the one set, or one with fewer attempts while too many requests need them.

    `now` is the time in seconds of any steady clock.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._frugal = replace(policy, max_recoveries=min(policy.max_recoveries, _LIMIT))
        self._requests = 0
        self._recoveries = 0
        self._marks: deque[_Mark] = deque()
        self._next = -inf
        self._exceeded = False

    def admit(self, now: float) -> Policy:
        """Count a request; the policy for it."""
        if now >= self._next:
            self._mark(now)
        self._requests += 1
        return self._frugal if self._exceeded else self._policy

    def spend(self) -> BudgetExceeded | None:
        """Count a request that needs another attempt; the news, if that is one too many."""
        self._recoveries += 1
        share = self._share()
        known, self._exceeded = self._exceeded, share is not None
        return None if known else share

    def _mark(self, now: float) -> None:
        """Once a second, remember what was counted before it, and forget what is not recent any more."""
        self._next = now + 1
        self._marks.append(_Mark(now, self._requests, self._recoveries))
        while self._marks[0].time <= now - RECENT:
            self._marks.popleft()
        if self._exceeded:
            self._exceeded = self._share() is not None

    def _share(self) -> BudgetExceeded | None:
        """The recent requests, if too many of them needed recovery."""
        _, requests, recoveries = self._marks[0]
        recent, recovered = self._requests - requests, self._recoveries - recoveries
        return BudgetExceeded(recovered, recent) if recent >= LEAST and recovered * _SHARE > recent else None
