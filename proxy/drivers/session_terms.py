"""What all sessions share, and the terms of one session's caller."""

from collections.abc import Callable
from typing import Protocol

from proxy.drivers.memory import MemoryBudget
from proxy.drivers.offload import Offload
from proxy.drivers.recorder import Recording
from proxy.events import Observer
from proxy.responses.policy import Policy
from proxy.responses.recovery.budget import Budget
from proxy.responses.recovery.lessons import Lessons, LessonScope
from proxy.store.service import StoreService


class Options(Protocol):
    """What all sessions share."""

    policy: Policy
    observer: Observer
    max_body: int
    service: StoreService | None
    recording: Recording | None
    identity: frozenset[bytes]
    memory: MemoryBudget
    lessons: Lessons
    budget: Budget
    offload: Offload

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds of a steady clock."""


class CallerTerms:
    """On which terms a caller's turns are sent: those of its requests over HTTP."""

    def __init__(self, options: Options, caller: str) -> None:
        self._options = options
        self.credential = caller

    def admit(self) -> Policy:
        """Count a turn; the policy for it."""
        return self._options.budget.admit(self.credential, self._options.clock())

    def lessons(self) -> LessonScope:
        """What its refusals have taught."""
        return LessonScope(self._options.lessons, self.credential, self._options.clock())
