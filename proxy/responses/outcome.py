"""What is said of a request: what was read in it, and the report for its client."""

from collections.abc import Iterator

from proxy.events import Event, LossyAnswer, Read, StartedFresh
from proxy.hints import Bound, Hint
from proxy.report import Action, Fidelity, Report
from proxy.responses.body.document import Document
from proxy.responses.policy import Policy
from proxy.responses.recovery.lessons import LessonScope
from proxy.responses.rewrite.rewriter import Rewrite


def read_by(document: Document, tells_ids: bool) -> Read:
    """How many items, and how many ids of upstream's, are in a request."""
    previous = document.text("previous_response_id")
    items, found = 0, int(previous is not None)
    for array in document.arrays:
        items += len(array)
        found += len(array.table.id_places)
    if not tells_ids:
        return Read(items, found)
    ids = [previous, *(item.id or None for array in document.arrays for item in array.items)]
    return Read(items, found, tuple(filter(None, ids)))


def report(action: Action, sent: Rewrite, attempts: int, bound: Bound | None = None) -> Report:
    """The report for a request that was sent like this; `bound` is what its refusal names that never travels."""
    changed = bool(sent.removed or sent.repaired)
    fidelity: Fidelity = "lossy" if sent.lossy else "lossless" if changed else "exact"
    hint = Hint(bound) if bound is not None else None
    return Report(action, fidelity, sent.removed, sent.repaired, attempts, hint=hint)


def losses(sent: Rewrite, policy: Policy, scope: LessonScope) -> Iterator[Event]:
    """What was lost by sending a request like this."""
    if sent.lossy:
        yield LossyAnswer(scope.credential, tuple(sorted(sent.lossy)))
        if policy.mode == "strip" and not sent.lossy.isdisjoint({"previous_response_id", "item_reference"}):
            yield StartedFresh(scope.credential, has_store=policy.recalls)
