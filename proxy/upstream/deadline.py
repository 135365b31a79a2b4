"""One deadline that moves often: when it passes, one function is called with the reason.

Moving it later costs an assignment; the timer behind it is set again only when it fires too early.
"""

import asyncio
from collections.abc import Callable

NEVER = float("inf")


class Deadline:
    """At most one thing is due at a time; `missed` is called with its code when the time is over."""

    __slots__ = ("_code", "_due", "_loop", "_missed", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, missed: Callable[[str], None]) -> None:
        self._loop = loop
        self._missed = missed
        self._due = NEVER
        self._code = ""
        self._timer: asyncio.TimerHandle | None = None

    def expect(self, seconds: float, code: str) -> None:
        """Set what is due, and in how many seconds; it replaces what was due before."""
        self._due = self._loop.time() + seconds
        self._code = code
        if self._timer is not None and self._timer.when() > self._due:
            self._timer.cancel()
            self._timer = None
        if self._timer is None and seconds != NEVER:
            self._timer = self._loop.call_later(seconds, self._fire)

    def clear(self) -> None:
        """Make nothing due; the timer stays for the next deadline."""
        self._due = NEVER

    def cancel(self) -> None:
        """Make nothing due, for good."""
        self._due = NEVER
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        now = self._loop.time()
        if self._due <= now:
            self._due = NEVER
            self._missed(self._code)
        elif self._due != NEVER:
            self._timer = self._loop.call_at(self._due, self._fire)
