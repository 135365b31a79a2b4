"""Performs the steps of an exchange, for every driver: it knows neither ASGI nor HTTP, and holds no opinion.

A driver brings the three performers: how work is computed, how the store is queried, and how a body is sent upstream.
The loop is one coroutine. A driver without an event loop brings performers that never wait, and runs it by `finished`.
"""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from proxy.responses.exchange import Steps
from proxy.responses.steps import Compute, Forward, Recall, Relay

if TYPE_CHECKING:
    from proxy.responses.history.recall import Recalled

Result = TypeVar("Result")


class Performer(Protocol):
    """How a driver performs the steps."""

    async def compute(self, step: Compute) -> Any:
        """What `step.work()` returns, or raises."""

    async def recall(self, step: Recall) -> "Recalled | None":
        """What the store knows; None where it cannot be reached."""

    async def forward(self, step: Forward) -> tuple[int, bytes] | None:
        """The status and the decoded body of a refusal that the exchange judges; None once anything is committed."""


async def run(steps: Steps, performer: Performer) -> Relay | None:
    """Perform steps until the driver has committed (None), or is to give the client the first refusal (Relay)."""
    step = next(steps)
    while True:
        match step:
            case Compute():
                step = steps.send(await performer.compute(step))
            case Recall():
                step = steps.send(await performer.recall(step))
            case Forward():
                attempt = performer.forward(step)
                del step  # its body: the answer may stream for an hour
                refusal = await attempt
                if refusal is None:
                    return None
                step = steps.send(refusal)
            case Relay():
                return step


def finished(work: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine that never waits, without an event loop. Raises RuntimeError where it does wait."""
    try:
        work.send(None)
    except StopIteration as end:
        result: Result = end.value
        return result
    work.close()
    raise RuntimeError("a performer waited, but there is no event loop")
