"""What becomes of a request, as the proxy's own `Exchange` decides it: a driver whose upstream is a list of refusals.

No I/O. The steps are performed by the loop that every driver uses, with performers that never wait.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from proxy.drivers import loop
from proxy.events import LossyAnswer, Refused, Unrecovered
from proxy.hints import BOUND
from proxy.report import EXPLANATIONS, Explanation, Name, RefusalKind, Remedy, Report, Route
from proxy.responses.exchange import Exchange
from proxy.responses.history.recall import Recalled
from proxy.responses.policy import Policy
from proxy.responses.recovery.bound import bound
from proxy.responses.recovery.ladders import still_names
from proxy.responses.recovery.refusals import classify
from proxy.responses.steps import Compute, Forward, Recall

Ask = Callable[[Recall], Recalled | None]
"""Asks a store; None: it cannot be reached."""


_GIVEN_UP: Final = (
    "Nothing that could be sent instead would be answered: the client gets the first refusal, byte for byte."
)

_WAITS: Final = (
    "It holds what another server may not know. To make it portable would cost {}, so that it is sent as it came, and "
    "in another form only if upstream refuses it: --after-refusal FILE shows which."
)


_BOUND: Final = (
    "That refusal names a {} that lives in one project or region and cannot travel: the client gets it as it is."
)


class Refusal(NamedTuple):
    """What upstream answered to an attempt."""

    status: int
    body: bytes


class Question(NamedTuple):
    """A request's body, and what upstream answered to its attempts.

    One refusal is given to every attempt that still has what it names. Of several, each answers one attempt in turn,
    and the attempt after the last of them is answered.
    """

    body: bytes
    policy: Policy
    route: Route = "responses"
    refusals: tuple[Refusal, ...] = ()


class Sent(NamedTuple):
    """One attempt: what it sends, and the kind of refusal it met; None where it was answered, or was not ours."""

    remedy: Remedy | None
    refusal: RefusalKind | None


class Verdict(NamedTuple):
    """What is sent in the end, and the report of the answer to it."""

    came: bytes
    sent: bytes
    report: Report
    lossy: frozenset[Name] = frozenset()
    """Names of the report for which the model sees less."""
    note: str = ""
    """What became of the refusal, in a sentence."""
    attempts: tuple[Sent, ...] = ()
    """All attempts, in order; empty where no refusal was given."""

    @property
    def changes(self) -> bool:
        """Whether anything but the client's own bytes is sent."""
        return self.sent != self.came

    def reasons(self) -> Iterator[tuple[Name, int, Explanation]]:
        """(name, how often, why) of all that is done."""
        for name, count in self.report.counts():
            yield name, count, EXPLANATIONS[name]


def judge(question: Question, ask: Ask | None = None) -> Verdict:
    """What becomes of a request. Raises TooComplexError as an exchange."""
    verdict = _Course(question, ask).verdict()
    if question.policy.mode != "auto" or question.refusals or verdict.report.action != "passthrough":
        return verdict
    portable = _Course(question._replace(policy=replace(question.policy, mode="strip")), ask).verdict()
    return verdict._replace(note=_WAITS.format(", ".join(sorted(portable.lossy)))) if portable.lossy else verdict


class _Course:
    """The course of one exchange with an upstream that answers with the refusals of a question."""

    def __init__(self, question: Question, ask: Ask | None) -> None:
        self.question = question
        self.ask = ask
        self.exchange = Exchange(question.body, replace(question.policy, recalls=ask is not None), route=question.route)
        self.sent: list[bytes] = []
        self.status = 200
        self.note = ""

    def verdict(self) -> Verdict:
        """Perform the steps, and say how the exchange ends."""
        relay = loop.finished(loop.run(self.exchange.steps(), self))
        sent = self.sent[-1]
        if relay is not None:
            self.status, sent = self.question.refusals[0].status, self.sent[0]
            self.note = _GIVEN_UP
        report = self.exchange.settle(self.status)
        events = self.exchange.events
        lossy = frozenset[Name]().union(*(event.reasons for event in events if isinstance(event, LossyAnswer)))
        return Verdict(self.question.body, sent, report, lossy, self.note, self._attempts())

    def _attempts(self) -> tuple[Sent, ...]:
        if not self.question.refusals:
            return ()
        refused = [event for event in self.exchange.events if isinstance(event, Refused)]
        last = next((event.refusal for event in self.exchange.events if isinstance(event, Unrecovered)), None)
        remedies: list[Remedy | None] = [None, *(event.remedy for event in refused)]
        kinds: Sequence[RefusalKind | None] = [*(event.refusal for event in refused), last]
        return tuple(map(Sent, remedies, kinds))

    async def compute(self, step: Compute) -> Any:
        """The work's result: there is no loop that has to go on."""
        return step.work()

    async def recall(self, step: Recall) -> Recalled | None:
        """What the store knows."""
        return self.ask(step) if self.ask is not None else None

    async def forward(self, step: Forward) -> tuple[int, bytes] | None:
        """The refusal of this attempt, or None where it is answered, or where the refusal goes to the client."""
        self.sent.append(step.body)
        refusal = self._refusal(step.body)
        if refusal is None:
            return None
        if not self.exchange.judges(refusal.status) or classify(*refusal) is None:
            self.status, self.note = refusal.status, _relayed(refusal, self.question.policy)
            return None
        return refusal

    def _refusal(self, body: bytes) -> Refusal | None:
        refusals = self.question.refusals
        if len(refusals) != 1:
            return refusals[len(self.sent) - 1] if len(self.sent) <= len(refusals) else None
        kind = classify(*refusals[0])
        is_first = len(self.sent) == 1
        if kind is None or (is_first and body == self.question.body):
            return refusals[0]
        if still_names(kind, body, side_route=self.question.route != "responses"):
            return refusals[0]
        if is_first:
            self.note = "That refusal names what is not sent any more: it was given to the request as it came."
        return None


def _relayed(refusal: Refusal, policy: Policy) -> str:
    if policy.mode == "observe" and classify(*refusal) is not None:
        return "In `observe` mode refusals are only reported: the client gets it as it is."
    found = bound(refusal.body)
    if found is not None:
        return f"{_BOUND.format(found.replace('_', ' '))} {BOUND[found]}"
    return "That refusal is none of those that Unpinned recovers from: the client gets it as it is."
