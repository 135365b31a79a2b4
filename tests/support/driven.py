"""An exchange as a driver sees it, without an event loop: work is performed as it comes, other steps are returned."""

from typing import Any

from proxy.report import Report, Route
from proxy.responses.exchange import Exchange
from proxy.responses.history.recall import Recalled
from proxy.responses.history.recording import RequestRecord
from proxy.responses.policy import Policy
from proxy.responses.recovery.lessons import LessonScope
from proxy.responses.steps import Compute, Step


class Driven:
    """An exchange whose steps a test performs one by one."""

    def __init__(
        self, body: bytes, policy: Policy | None = None, *, route: Route = "responses", scope: LessonScope | None = None
    ) -> None:
        self.exchange = Exchange(body, policy or Policy(mode="strip"), route=route, scope=scope)
        self.events = self.exchange.events
        self.costs: list[int] = []
        """What the work cost that was performed so far."""
        self._steps = self.exchange.steps()

    def start(self) -> Any:
        """The first step that is no work."""
        return self._worked(next(self._steps))

    def recalled(self, found: Recalled | None) -> Any:
        """The step after the store's answer."""
        return self._worked(self._steps.send(found))

    def receive(self, status: int, body: bytes) -> Any:
        """The step after a refusal."""
        return self._worked(self._steps.send((status, body)))

    def _worked(self, step: Step) -> Step:
        while isinstance(step, Compute):
            self.costs.append(step.cost)
            step = self._steps.send(step.work())
        return step

    def judges(self, status: int) -> bool:
        """As the exchange's."""
        return self.exchange.judges(status)

    def settle(self, status: int) -> Report:
        """As the exchange's."""
        return self.exchange.settle(status)

    def request_record(self) -> RequestRecord | None:
        """What the store is to remember of the request."""
        found: RequestRecord | None = self.exchange.record().work()
        return found
