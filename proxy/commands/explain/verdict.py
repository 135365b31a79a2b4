"""What becomes of a request, by the word of the very `Exchange` that the proxy asks. No I/O."""

import json
from collections.abc import Callable, Iterator
from typing import NamedTuple

from proxy.events import LossyAnswer
from proxy.report import EXPLANATIONS, Explanation, Name, Report, Route
from proxy.responses.exchange import Exchange
from proxy.responses.history.recall import Recall, Recalled
from proxy.responses.policy import Policy
from proxy.responses.recovery.refusals import Refusal, classify
from proxy.responses.steps import Forward

Ask = Callable[[Recall], Recalled | None]
"""Asks a store; None: it is down."""


class NotJsonError(ValueError):
    """A body that is no JSON: a sentence that says where."""


class Question(NamedTuple):
    """A request's body, and what upstream answered to its first attempt, if it has refused it."""

    body: bytes
    policy: Policy
    route: Route = "responses"
    status: int = 0
    refusal: bytes = b""


class Verdict(NamedTuple):
    """What is sent in the end, and the report of the answer to it."""

    came: bytes
    sent: bytes
    report: Report
    lossy: frozenset[Name] = frozenset()
    """Names of the report for which the model sees less."""
    note: str = ""
    """What became of the refusal, in a sentence."""

    @property
    def changes(self) -> bool:
        """Whether anything but the client's own bytes is sent."""
        return self.sent != self.came

    def reasons(self) -> Iterator[tuple[Name, int, Explanation]]:
        """(name, how often, why) of all that is done."""
        for name, count in self.report.counts():
            yield name, count, EXPLANATIONS[name]


def judge(question: Question, ask: Ask | None = None) -> Verdict:
    """What becomes of a request. Raises NotJsonError where the body is none."""
    _check(question.body)
    exchange = Exchange(question.body, question.policy, route=question.route)
    first = _first(exchange, ask)
    if not question.status:
        return _settled(exchange, question, first, 200)
    refusal = classify(question.status, question.refusal)
    if refusal is None or not exchange.judges(question.status):
        return _settled(exchange, question, first, question.status, _relayed(refusal, question.policy))
    if first != question.body and _is_cured(refusal, first):
        note = "That refusal names what is not sent any more: it was given to the request as it came."
        return _settled(exchange, question, first, 200, note)
    _recall(exchange, ask, question.status, question.refusal)
    step = exchange.receive(question.status, question.refusal)
    if isinstance(step, Forward):
        return _settled(exchange, question, step.body, 200)
    note = "Nothing that could be sent instead would be answered: the client gets the refusal, byte for byte."
    return _settled(exchange, question, first, question.status, note)


def _first(exchange: Exchange, ask: Ask | None) -> bytes:
    step = exchange.glance()
    if step is None:
        _recall(exchange, ask)
        step = exchange.look()
    return step.body


def _recall(exchange: Exchange, ask: Ask | None, status: int = 0, refusal: bytes = b"") -> None:
    while ask is not None and (wanted := exchange.recall(status, refusal)) is not None:
        exchange.recalled(ask(wanted))


def _check(body: bytes) -> None:
    try:
        json.loads(body.decode("utf-8-sig", "surrogatepass"))
    except ValueError as error:
        raise NotJsonError(str(error)) from None
    except RecursionError:
        return  # deep, but not for the proxy


def _relayed(refusal: Refusal | None, policy: Policy) -> str:
    if refusal is not None and policy.mode == "observe":
        return "In `observe` mode refusals are only reported: the client gets it as it is."
    return "That refusal is none of those that Unpinned recovers from: the client gets it as it is."


def _is_cured(refusal: Refusal, sent: bytes) -> bool:
    """Whether what was refused is not in the first attempt."""
    return bool(refusal.ids) and not any(json.dumps(id_).encode() in sent for id_ in refusal.ids)


def _settled(exchange: Exchange, question: Question, sent: bytes, status: int, note: str = "") -> Verdict:
    report = exchange.settle(status)
    lossy = frozenset[Name]().union(*(event.reasons for event in exchange.events if isinstance(event, LossyAnswer)))
    return Verdict(question.body, sent, report, lossy, note)
