"""A circuit breaker: it keeps calls away from a store that cannot be reached, and from one that is down for everybody.

closed      calls go through
open        after a failure calls are kept away, for twice as long after each failure in a row
half-open   when that time is over, one call goes through as a probe; its result closes or opens the breaker

What opens it is a failure of the connection, or timeouts of small calls of several scopes in a row. A call that is
dear, slow or impossible by itself fails for itself: one caller must not take the store from the others.
"""

from typing import Final

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
_SLOW: Final = 5
"""Scopes whose small calls have to time out in a row, none answered in between."""


class CircuitBreaker:
    """The state of the way to one store. `now` is in seconds of any steady clock."""

    def __init__(self) -> None:
        self._pause = 0.0
        self._until = 0.0
        self._is_probing = False
        self._slow: set[str] = set()

    def admits(self, now: float) -> bool:
        """Whether a call may go through; in the half-open state the first one may."""
        if not self._pause:
            return True
        if now < self._until or self._is_probing:
            return False
        self._is_probing = True
        return True

    def failed(self, now: float) -> None:
        """The store could not be reached."""
        self._pause = min(max(_FIRST_PAUSE, 2 * self._pause), _LONGEST_PAUSE)
        self._until = now + self._pause
        self._is_probing = False
        self._slow.clear()

    def timed_out(self, scope: str, now: float) -> None:
        """A small call of a scope was not answered in time."""
        self._slow.add(scope)
        if self._pause or len(self._slow) >= _SLOW:
            self.failed(now)

    def answered(self) -> None:
        """The store did what was requested, or said that it cannot."""
        self._pause = self._until = 0.0
        self._is_probing = False
        self._slow.clear()

    def given_up(self) -> None:
        """A call ended without a result: its request was cancelled, or the call was too large to say anything."""
        self._is_probing = False

    def left(self, now: float) -> float:
        """The seconds for which it stays open."""
        return max(self._until - now, 0.0) if self._pause else 0.0
