"""Which form of the request may succeed after which refusal: a ladder for each kind, the gentlest rung first.

A rung changes the form of the attempt that was refused, and only ever takes more away (or gives a demanded field back).
So the rungs of one request go down: what an earlier rung took out stays out, and an attempt that would send the same
bytes as one before is skipped. `Attempts` climbs down until a rung gives a body that differs and may be sent.

The order within a ladder is by what the model loses: nothing (the same bytes, labels), then single items or blobs, and
as the last resort the older part of the conversation (`fresh`).

A new kind of refusal is a row in `_LADDERS`; its words are a row in `refusals`.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from proxy.report import RefusalKind, Remedy
from proxy.responses.body.document import Document, read
from proxy.responses.body.item import ABSENT
from proxy.responses.items import COMPACTION, REASONING
from proxy.responses.recovery.refusals import Refusal
from proxy.responses.rewrite import pairing
from proxy.responses.rewrite.entry import Entry
from proxy.responses.rewrite.form import Form
from proxy.responses.rewrite.rewriter import Rewrite, rewrite


class Situation(NamedTuple):
    """A refused request: the original document, and the form that was sent last."""

    document: Document
    form: Form
    sent: Rewrite
    keep_last: int
    side_route: bool
    """It is no question to the model: a count, or a history to compact."""


Rung = Callable[[Refusal, Situation], Form | None]


def _same(_: Refusal, situation: Situation) -> Form:
    return situation.form


def _portable(_: Refusal, situation: Situation) -> Form:
    return replace(situation.form, portable=True)


def _without_ids(_: Refusal, situation: Situation) -> Form | None:
    """Ids go from every turn. An id that pairs stays, and would be refused next: then the attempt is better spent."""
    pairing = any(
        entry.sent and entry.came.kind.id == "pinned" and entry.came.kind is not COMPACTION
        for entry in situation.sent.entries
    )
    return None if pairing else replace(situation.form, portable=True, no_ids=True)


def _without_doubled_ids(refusal: Refusal, situation: Situation) -> Form | None:
    """Two different items with one id, which some client made up, are two items: without ids both stay."""
    for id_ in refusal.ids:
        came = [entry.came.fields for entry in situation.sent.entries if entry.sent and entry.came.id == id_]
        if len({tuple(sorted((name, bytes(value)) for name, value in fields.items())) for fields in came}) > 1:
            return replace(situation.form, no_ids=True)
    return None


def _with_summaries(refusal: Refusal, situation: Situation) -> Form | None:
    """A gateway calls a reasoning without its summary an unreadable blob."""
    form, summary = situation.form, (REASONING.label, "summary")
    if refusal.blob or refusal.ids or form.portable or summary in form.demanded:
        return None
    reasoning = [entry.item for entry in situation.sent.entries if entry.item.kind is REASONING]
    lacks = any(item.summary is ABSENT for item in reasoning)
    return replace(form, demanded=form.demanded | {summary}) if lacks else None


def _without(refusal: Refusal, situation: Situation) -> Form:
    lost = refusal.ids | _sharing_fate(refusal, situation)
    return replace(situation.form, portable=True, without=situation.form.without | lost)


def _sharing_fate(refusal: Refusal, situation: Situation) -> set[str]:
    """The ids that were sent on items of the kinds named: a refusal names one id at a time, of all that are unknown."""
    sent = [entry for entry in situation.sent.entries if entry.fate == "kept" and "id" not in entry.cut]
    kinds = {entry.came.kind.label for entry in sent if entry.came.id in refusal.ids}
    return {entry.came.id or "" for entry in sent if entry.came.kind.label in kinds}


def _adjacent(refusal: Refusal, situation: Situation) -> Form | None:
    """An output that is said to be missing, and is there, is not where it is looked for: right behind its call."""
    apart = {entry.item.call_id for entry in pairing.apart(situation.sent.entries)}
    if situation.form.adjacent or not (apart & refusal.ids if refusal.ids else apart):
        return None
    return replace(situation.form, adjacent=True)


def _repaired(refusal: Refusal, situation: Situation) -> Form:
    return replace(situation.form, repaired=True, unpaired=situation.form.unpaired | refusal.ids)


def _without_named_blobs(refusal: Refusal, situation: Situation) -> Form | None:
    named = frozenset(_named_blobs(refusal, situation))
    return replace(situation.form, blobs=situation.form.blobs | named) if named else None


def _named_blobs(refusal: Refusal, situation: Situation) -> Iterator[bytes]:
    entry = named_entry(refusal, situation.sent)
    named = entry.came if entry is not None else None
    for array in situation.document.arrays:
        for item in array.items:
            if not item.has_blob:
                continue
            blob = bytes(item.encrypted_content)
            text = blob[1:-1].decode("utf-8", "replace")
            shown = refusal.blob is not None and text.startswith(refusal.blob[0]) and text.endswith(refusal.blob[1])
            if shown or item is named or item.id in refusal.ids:
                yield blob


def _without_blobs(_: Refusal, situation: Situation) -> Form:
    return replace(situation.form, no_blobs=True)


def _without_reasoning(_: Refusal, situation: Situation) -> Form:
    return replace(situation.form, no_blobs=True, no_reasoning=True)


def _noted_containers(refusal: Refusal, situation: Situation) -> Form:
    expired = refusal.ids or {entry.came.text("container_id") or "" for entry in situation.sent.entries}
    return replace(situation.form, containers=situation.form.containers | expired)


# Fields that most items are made of, and that one kind can do without: an image call's action is a label of its tool.
_OF_ONE_KIND: Final = {"content": "reasoning", "action": "image_generation_call"}


def _field(refusal: Refusal, situation: Situation) -> Form | None:
    label = label_of(refusal, situation.sent)
    if label is None or _OF_ONE_KIND.get(refusal.field, label) != label:
        return None
    form = situation.form
    known = frozenset((each, refusal.field) for each in _labels(label, refusal, situation))
    if refusal.demanded:
        return replace(form, demanded=form.demanded | known, refused=form.refused - known)
    return replace(form, refused=form.refused | known, demanded=form.demanded - known)


def _labels(label: str, refusal: Refusal, situation: Situation) -> set[str]:
    """The kind of item that has the refused field; all that have it where it was refused of another kind before.

    A refusal names one item at a time, and there are more kinds than attempts.
    """
    before = {field for _, field in situation.form.refused}
    if refusal.demanded or refusal.field == "id" or refusal.field not in before:
        return {label}
    return {label} | {entry.item.kind.label for entry in situation.sent.entries if refusal.field in entry.item.fields}


def _noted_hosted(refusal: Refusal, situation: Situation) -> Form | None:
    """A search whose shape or lost id is refused is context only: the model reads of it in words (codex#6700)."""
    entry = named_entry(refusal, situation.sent)
    if entry is None or not entry.item.kind.hosted:
        return None
    return replace(situation.form, portable=True, noted=situation.form.noted | {entry.item.kind.label})


def _as_it_arrived(refusal: Refusal, situation: Situation) -> Form | None:
    """What upstream demands because it was taken out, it gets back: vLLM and gateways check items by their fields."""
    return replace(situation.form, portable=False) if refusal.demanded and situation.form.portable else None


def label_of(refusal: Refusal, sent: Rewrite) -> str | None:
    """The label of the kind of item that has the refused field; reasoning where no item was named.

    "ID is required" without a place was said of reasoning (codex PR#3528).
    """
    if refusal.place is None:
        return REASONING.label
    entry = named_entry(refusal, sent)
    return entry.item.kind.label if entry is not None else None


def named_entry(refusal: Refusal, sent: Rewrite) -> Entry | None:
    """The item that the refusal names by its place; None where it names none, or one that was not sent."""
    return sent.entries[refusal.place] if refusal.place is not None and refusal.place < len(sent.entries) else None


def _without_envelope(_: Refusal, situation: Situation) -> Form:
    return replace(situation.form, no_envelope=True)


def _trimmed(_: Refusal, situation: Situation) -> Form | None:
    if situation.side_route or not situation.keep_last:
        return None
    return replace(situation.form, portable=True, keep_last=situation.keep_last)


_LADDERS: Final[dict[RefusalKind, tuple[tuple[Remedy, Rung], ...]]] = {
    "locked": (("same", _same),),
    "response": (("same", _same), ("portable", _portable), ("fresh", _trimmed)),
    "item": (
        ("portable", _portable),
        ("repaired", _without_ids),
        ("repaired", _without),
        ("same", _same),
        ("fresh", _trimmed),
    ),
    "pairing": (
        ("repaired", _without_doubled_ids),
        ("repaired", _adjacent),
        ("repaired", _repaired),
        ("fresh", _trimmed),
    ),
    "encrypted": (
        ("repaired", _with_summaries),
        ("repaired", _without_named_blobs),
        ("repaired", _without_blobs),
        ("repaired", _without_reasoning),
        ("fresh", _trimmed),
    ),
    "container": (("repaired", _noted_containers),),
    "field": (("repaired", _field), ("repaired", _noted_hosted), ("repaired", _as_it_arrived)),
    "envelope": (("repaired", _without_envelope),),
}


def remedies(refusal: Refusal, situation: Situation) -> Iterator[tuple[Remedy, Form]]:
    """The forms that may do after `refusal`, the gentlest first."""
    for remedy, rung in _LADDERS[refusal.kind]:
        form = rung(refusal, situation)
        if form is not None:
            yield remedy, form


def still_names(refusal: Refusal, body: bytes, *, side_route: bool) -> bool:
    """Whether `body` still has what the refusal names: the ladder's rungs, without the trim, would change it."""
    document = read(body)
    if document is None:
        return False
    sent = rewrite(document, Form(asks=not side_route))
    situation = Situation(document, Form(asks=not side_route), sent, 0, side_route)
    names_blobs = refusal.kind == "encrypted" and bool(refusal.blob or refusal.ids)
    for remedy, rung in _LADDERS[refusal.kind]:
        if remedy == "same" or (names_blobs and rung in (_without_blobs, _without_reasoning)):
            continue
        form = rung(refusal, situation)
        if form is not None and rewrite(document, form).body != body:
            return True
    return False
