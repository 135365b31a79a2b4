"""The place of one of the processes that serve, and when it may be filled again."""

import time
from typing import TYPE_CHECKING, Final, Protocol

from proxy.admin import Reading
from proxy.server.serving import Failure

if TYPE_CHECKING:
    from proxy.server.program import Generation

_LASTED: Final = 10.0
"""Seconds after which a process that ends has not failed to start."""
_LONGEST: Final = 30.0
"""Seconds between two attempts to start a process, at most."""


class Worker(Protocol):
    """A process that serves: this one or a child."""

    began: float
    lacks_store: bool

    async def start(self) -> Failure | None:
        """Begin to serve; the failure where it cannot."""

    def retire(self) -> None:
        """Leave the listener to others, and end with the last connection."""

    def end(self) -> None:
        """Drain; on the second call, cut what still runs."""

    async def over(self) -> str:
        """Wait for its end; how it ended, or "" where it was an orderly one."""

    async def reading(self) -> Reading:
        """What it has counted, and what goes on."""


class Slot:
    """A worker, and the generation that it belongs to; both None while there is none."""

    def __init__(self) -> None:
        self.worker: Worker | None = None
        self.generation: Generation | None = None
        self._failures = 0
        self._not_before = 0.0

    @property
    def pause(self) -> float:
        """Seconds until the next attempt to start a process."""
        return max(0.0, self._not_before - time.monotonic())

    def postpone(self) -> float:
        """Pause before the next attempt, longer each time; the seconds."""
        pause = min(_LONGEST, 2.0**self._failures)
        self._failures += 1
        self._not_before = time.monotonic() + pause
        return pause

    def vacate(self) -> None:
        """The worker has ended: another one may start now, or, where it did not last, after a pause."""
        if self.worker is not None and time.monotonic() - self.worker.began < _LASTED:
            self.postpone()
        else:
            self._failures = 0
        self.worker = self.generation = None

    def retire(self) -> None:
        """There are to be fewer workers."""
        if self.worker is not None:
            self.worker.retire()
        self.worker = self.generation = None
