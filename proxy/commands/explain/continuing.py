"""What becomes of a request that names a conversation of the store: it is judged with its history. No I/O."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

from proxy.commands.explain.verdict import Ask, Question, Verdict, judge
from proxy.report import Action, Fidelity, Report, StoreOutcome


class Continued(NamedTuple):
    """A request with its history, as the store has it."""

    body: bytes
    items: int
    """How many stand in front of its own."""
    has_gap: bool


class Asking(NamedTuple):
    """How a store is queried, as it is set."""

    recall: Ask
    continued: Callable[[bytes], Continued | None]
    """The request with its history; None where it names no conversation that the store knows."""
    lives_in_store: bool
    """Conversations do, and not upstream."""


_TAKES_ITS_PLACE: Final = "{} of the conversation in the store {} the place of `conversation`, in front of the input."
_WOULD: Final = (
    "The store knows this conversation, but UNPINNED_CONVERSATIONS is upstream: with store its history would be sent."
)


def judged(question: Question, asking: Asking | None) -> Verdict:
    """What becomes of a request, with the store if there is one. Raises TooComplexError as an exchange."""
    ask = asking.recall if asking is not None else None
    found = None
    if asking is not None and question.route != "compact" and question.policy.mode != "observe":
        found = asking.continued(question.body)
    if found is None or asking is None:
        return judge(question, ask)
    if not asking.lives_in_store:
        verdict = judge(question, ask)
        return verdict._replace(note=" ".join(filter(None, (_WOULD, verdict.note))))
    mode = "auto" if question.policy.mode == "recover" else question.policy.mode
    verdict = judge(question._replace(body=found.body, policy=replace(question.policy, mode=mode)), ask)
    items = "1 item" if found.items == 1 else f"{found.items} items"
    note = _TAKES_ITS_PLACE.format(items, "takes" if found.items == 1 else "take")
    report = _reported(verdict.report, has_gap=found.has_gap)
    return verdict._replace(came=question.body, report=report, note=" ".join(filter(None, (note, verdict.note))))


def _reported(report: Report, *, has_gap: bool) -> Report:
    """The report as it is where the history was put in."""
    action: Action = "rewritten" if report.action == "passthrough" else report.action
    fidelity: Fidelity = "lossy" if has_gap else "lossless" if report.fidelity == "exact" else report.fidelity
    store: StoreOutcome = "gap" if has_gap else report.store or "hit"
    return report._replace(action=action, fidelity=fidelity, store=store)
