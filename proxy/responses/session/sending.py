"""A turn on its way to an answer: the steps of its exchange, the attempts that are sent, and how it is settled.

What a connection adds to an exchange:

- A turn that continues a response of this connection goes as it came, in every mode: its calls and references live in
  the parent. Refused, it may be repaired once, and keeps its parent.
- Any other turn loses references only where nothing is lost with them, and is never trimmed: a client that is refused
  has its whole history and heals, while an answer without context could not be reported here.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any, Final, NamedTuple, Protocol

import orjson

from proxy.report import Report
from proxy.responses.body.size import MOST, TooComplexError
from proxy.responses.exchange import Exchange, Steps
from proxy.responses.frames import frame
from proxy.responses.policy import Policy
from proxy.responses.recovery.lessons import LessonScope
from proxy.responses.recovery.refusals import classify
from proxy.responses.session.lanes import Turn
from proxy.responses.session.outbox import Outbox
from proxy.responses.session.reading import DEFAULT_LANE
from proxy.responses.session.steps import Noted, Settled, Spent
from proxy.responses.steps import ENOUGH, INLINE, Compute, Forward, Recall, Relay, Step

LARGEST: Final = (16 * 1024 - 64) * 1024
"""Bytes of a turn that upstream takes for sure: beyond 16 MiB it closes with 1009 (opencodex#2426, 2026-08)."""


class Terms(Protocol):
    """On which terms a turn is sent, at the moment at which it is."""

    credential: str
    """A digest of the session's caller."""

    def admit(self) -> Policy:
        """Count a turn of the session's caller; its policy."""

    def lessons(self) -> LessonScope:
        """What its caller's refusals have taught."""


class Failure(NamedTuple):
    """Why a turn could not be performed: what its client is told in place of an answer."""

    status: int
    code: str
    message: str
    kind: str = "invalid_request_error"

    def event(self, lane: str) -> bytes:
        """The event that says so, in the shape of upstream's."""
        error = {"type": self.kind, "code": self.code, "message": self.message, "param": None}
        routed = {"stream_id": lane} if lane != DEFAULT_LANE else {}
        return orjson.dumps({"type": "error", "status": self.status, **routed, "error": error})


TOO_COMPLEX: Final = Failure(413, "request_too_complex", f"The turn holds more than {MOST} values.")


class Sender:
    """Sends turns. `settled` is called with each of which it is decided which answer the client gets, `sent` before."""

    def __init__(
        self, terms: Terms, outbox: Outbox, *, sent: Callable[[Turn], None], settled: Callable[[Turn], None]
    ) -> None:
        self.is_closed = False
        """One side is leaving: nothing more of ours is sent."""
        self._terms = terms
        self._out = outbox
        self._sent = sent
        self._settled = settled

    def start(self, turn: Turn, *, is_own: bool) -> None:
        """Send a turn upstream, in the form that its exchange says. `is_own`: its parent is of this connection."""
        turn.state = "preparing"
        policy = _policy(self._terms.admit(), is_own=is_own)
        scope = LessonScope() if is_own else self._terms.lessons()
        turn.exchange = Exchange(turn.payload, policy, scope=scope)
        turn.steps = turn.exchange.steps()
        self._go_on(turn, turn.steps, None)

    def _go_on(self, turn: Turn, steps: Steps, result: Any) -> None:
        """Perform what is quick, and have the rest performed."""
        try:
            step: Step = steps.send(result)
            while isinstance(step, Compute) and step.cost <= INLINE:
                step = steps.send(step.work())
        except TooComplexError:
            self._fail(turn, TOO_COMPLEX)
            return
        if isinstance(step, Relay):
            self.relay(turn)
        elif not isinstance(step, Forward):
            self._ask(turn, steps, step)
        elif step.delay:
            self._out.wait(step.delay, partial(self._send, turn, step.body))
        else:
            self._send(turn, step.body)

    def _ask(self, turn: Turn, steps: Steps, step: Compute | Recall) -> None:
        turn.is_asking = True
        self._out.ask(step, partial(self._resume, turn, steps), turn.number)

    def _resume(self, turn: Turn, steps: Steps, result: Any, seconds: float) -> None:
        turn.is_asking = False
        turn.seconds += seconds
        if turn.state != "preparing":
            return
        if isinstance(result, Failure):
            self._fail(turn, result)
        else:
            self._go_on(turn, steps, result)

    def _fail(self, turn: Turn, failure: Failure) -> None:
        """A turn cannot be performed: what upstream said stands, or the client is told why it was not sent."""
        if turn.attempts:
            self.relay(turn)
            return
        turn.status, turn.fault = failure.status, failure.code
        turn.report = Report(action="unread", attempts=0)
        self._out.client.message(frame(failure.event(turn.lane.name)))
        self._decide(turn)

    def _send(self, turn: Turn, body: bytes) -> None:
        exchange = turn.exchange
        if turn.state != "preparing" or exchange is None or self.is_closed:
            return
        if turn.attempts > 1:
            self._out.add(Spent())
        self._note(turn)
        turn.attempts += 1
        turn.held, turn.state = [], "sent"
        turn.is_plain = LARGEST < len(body) > len(turn.payload)
        if turn.is_plain:
            exchange.exhaust()
        body = turn.payload if turn.is_plain else body
        if body is turn.payload and turn.message:
            self._out.upstream.message(turn.message)
        else:
            self._out.text_to_upstream(body)
        turn.message = b""
        turn.holds_blobs = exchange.holds_blobs
        if turn.lane.steered or not exchange.judges(400):
            self.settle(turn, 200)
        else:
            self._sent(turn)

    # How it is decided.

    def refused(self, turn: Turn, response_id: str | None, status: int, error: bytes) -> None:
        """Upstream refused an attempt, in an event that is the last of `turn.held`."""
        exchange, steps = turn.exchange, turn.steps
        if exchange is None or steps is None or not exchange.judges(status):
            self.settle(turn, status)
            return
        if turn.first is None:
            turn.first, turn.first_status, turn.held = turn.held, status, []
        elif exchange.policy.references == "stay" and _is_parent_gone(status, error):
            # Upstream forgets the parent of a turn that it refuses. Of the two refusals this is the one on which
            # clients send everything again, which can be recovered; on any other they stop (codex 0.171, seen).
            turn.first, turn.first_status, turn.held = turn.held, status, []
        if response_id is not None:
            turn.stale.add(response_id)
        if turn.seconds > ENOUGH:
            exchange.exhaust()
        turn.state = "preparing"
        self._go_on(turn, steps, (status, error))

    def decide(self, turn: Turn, *, is_last: bool = False) -> None:
        """Judge a turn no longer: the client gets what is held. `is_last`: upstream says nothing more."""
        if turn.state == "preparing" or (is_last and turn.first and not turn.held):
            self.relay(turn)
        else:
            self.settle(turn, 200)

    def relay(self, turn: Turn) -> None:
        """The first refusal is the client's, byte for byte."""
        if turn.attempts > 1:
            self._out.add(Spent())
        turn.held = [*(turn.first or ()), *(turn.held if turn.attempts == 1 else ())]
        self.settle(turn, turn.first_status)

    def settle(self, turn: Turn, status: int) -> None:
        """What is held is the client's, and all that follows."""
        turn.status = status
        turn.report, record = self._reported(turn, status)
        self._out.add(Settled(turn.number, record))
        self._decide(turn)

    def _decide(self, turn: Turn) -> None:
        turn.state = "decided"
        turn.exchange = turn.steps = None
        turn.message = turn.payload = b""
        self._settled(turn)

    def _reported(self, turn: Turn, status: int) -> tuple[Report, Compute | None]:
        """The report, and what makes the store's record; the exchange has none to give while a step is performed."""
        exchange = turn.exchange
        if exchange is None or turn.is_asking:
            return Report(action="unrecovered", attempts=turn.attempts), None
        report = exchange.settle(status)._replace(attempts=turn.attempts)
        self._note(turn)
        record = exchange.record() if status < 400 and exchange.policy.recalls else None
        return (Report(attempts=turn.attempts) if turn.is_plain else report), record

    def _note(self, turn: Turn) -> None:
        if turn.exchange is not None and turn.exchange.events:
            self._out.add(Noted(turn.number, tuple(turn.exchange.events)))
            turn.exchange.events.clear()


def _is_parent_gone(status: int, error: bytes) -> bool:
    refusal = classify(status, error)
    return refusal is not None and refusal.kind == "response"


@cache
def _policy(policy: Policy, *, is_own: bool) -> Policy:
    """The policy for a turn, out of that for a request over HTTP."""
    if not is_own:
        return replace(policy, references="go_without_loss", keep_last=0)
    mode = policy.mode if policy.mode == "observe" else "recover"
    return replace(policy, mode=mode, references="stay", keep_last=0, max_recoveries=min(policy.max_recoveries, 1))
