"""What a session is about to have done: its steps in order, the writes to one side in a row as one."""

from collections.abc import Callable
from typing import Any

from proxy.responses.frames import frame
from proxy.responses.session.steps import Ask, SessionStep, ToClient, ToUpstream, Wait
from proxy.responses.steps import Compute, Recall


class Line:
    """What is written to one side. Whole messages wait for the end of one that passes in parts."""

    def __init__(self, steps: list[SessionStep], kind: type[ToClient] | type[ToUpstream]) -> None:
        self._steps = steps
        self._kind = kind
        self._blocked: list[bytes] = []
        self.is_blocked = False
        """A message has passed in part."""

    def part(self, data: bytes | bytearray, *, ends: bool) -> None:
        """Write a part of a message that passes."""
        self.control(data)
        self.is_blocked = not ends
        if ends and self._blocked:
            blocked, self._blocked = self._blocked, []
            for message in blocked:
                self.control(message)

    def control(self, data: bytes | bytearray) -> None:
        """Write a control frame, also between the parts of a message."""
        self._steps.append(self._kind(bytes(data)))

    def message(self, message: bytes) -> None:
        """Write a whole message."""
        if self.is_blocked:
            self._blocked.append(message)
        else:
            self.control(message)


class Outbox:
    """Collects steps. `mask` gives an unpredictable key for a frame that goes upstream."""

    def __init__(self, mask: Callable[[], bytes]) -> None:
        self._mask = mask
        self._steps: list[SessionStep] = []
        self._waiting: dict[int, Callable[[Any, float], None]] = {}
        self._tickets = 0
        self.client = Line(self._steps, ToClient)
        self.upstream = Line(self._steps, ToUpstream)

    def take(self) -> list[SessionStep]:
        """The steps since the last time."""
        steps = self._steps[:] if len(self._steps) < 2 else _joined(self._steps)
        self._steps.clear()
        return steps

    def add(self, step: SessionStep) -> None:
        """Have a step done."""
        self._steps.append(step)

    def text_to_upstream(self, text: bytes) -> None:
        """Write a text message of ours to upstream."""
        self.upstream.message(frame(text, self._mask()))

    def ask(self, step: Compute | Recall, then: Callable[[Any, float], None], turn: int = 0) -> None:
        """Have a step performed; `then` is called with its result, and with the seconds that it took to compute."""
        self.add(Ask(self._ticket(then), step, turn))

    def wait(self, seconds: float, then: Callable[[], None]) -> None:
        """Have `then` called, some time from now."""
        self.add(Wait(self._ticket(lambda *_: then()), seconds))

    def _ticket(self, then: Callable[[Any, float], None]) -> int:
        self._tickets += 1
        self._waiting[self._tickets] = then
        return self._tickets

    def resume(self, ticket: int, result: Any, seconds: float) -> None:
        """Give the result that `ticket` stands for to what waits for it."""
        self._waiting.pop(ticket)(result, seconds)


def _joined(steps: list[SessionStep]) -> list[SessionStep]:
    """The steps, with writes to one side that follow each other as one."""
    joined: list[SessionStep] = []
    run: list[ToClient | ToUpstream] = []
    for step in steps:
        if run and type(step) is not type(run[0]):
            joined.append(_one(run))
            run = []
        if isinstance(step, ToClient | ToUpstream):
            run.append(step)
        else:
            joined.append(step)
    return [*joined, _one(run)] if run else joined


def _one(run: list[ToClient | ToUpstream]) -> ToClient | ToUpstream:
    return run[0] if len(run) == 1 else type(run[0])(b"".join([step.data for step in run]))
