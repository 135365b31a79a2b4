"""How the steps of one request are computed: on the event loop where that is quick, else in another thread."""

import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from proxy.drivers.memory import Reservation
from proxy.responses.steps import ENOUGH, INLINE, Compute

Result = TypeVar("Result")


class Elsewhere(Protocol):
    """Where work is performed that may take long: `Offload`, or what a driver has in its place."""

    async def run(self, caller: str, work: Callable[..., Result], *arguments: Any) -> Result:
        """What `work` returns or raises."""


class Work:
    """The work of one request of `caller`."""

    __slots__ = ("_caller", "_memory", "_offload", "_seconds")

    def __init__(self, offload: Elsewhere, caller: str, memory: Reservation) -> None:
        self._offload = offload
        self._caller = caller
        self._memory = memory
        self._seconds = 0.0

    @property
    def seconds(self) -> float:
        """Of processor time, in other threads."""
        return self._seconds

    @property
    def is_spent(self) -> bool:
        """Whether the request has had as much work in other threads as one may."""
        return self._seconds > ENOUGH

    async def perform(self, step: Compute) -> Any:
        """The result of a step's work."""
        if step.cost <= INLINE:
            return step.work()
        space = 2 * step.cost  # about what the values of a body take while it is worked on
        self._memory.grow(space)
        try:
            return await self._offload.run(self._caller, self._timed, step.work)
        finally:
            self._memory.shrink(space)

    def _timed(self, work: Callable[[], Any]) -> Any:
        began = time.thread_time()
        try:
            return work()
        finally:
            self._seconds += time.thread_time() - began
