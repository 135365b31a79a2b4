"""What a refusal teaches, once a later form of the same request was answered: the lessons, and by what they are found.

A new lesson is a topic of `lessons`, learnt here and applied by `Attempts`.
"""

from collections.abc import Iterator
from typing import Final, Literal

from proxy.responses.body.document import Document
from proxy.responses.recovery.ladders import Situation, label_of, named_entry
from proxy.responses.recovery.lessons import LessonScope
from proxy.responses.recovery.refusals import Refusal
from proxy.responses.rewrite.form import Form

_MANNERS: Final = ("portable", "repaired", "adjacent", "no_ids", "no_blobs", "no_reasoning")
"""What of a form is remembered of the conversation that it answered; a trim is not: it is the last resort each time."""
NOTED: Final = "noted:"
"""In front of the label of a kind of hosted calls that became notes."""
AS_IT_CAME: Final = "as_it_came"
"""The same of a form that is not portable, after one that was."""


def learn(scope: LessonScope, refusal: Refusal | None, sent: Situation, answered: Form) -> None:
    """Remember what a refusal of what was `sent` taught, once a later form was answered."""
    if refusal is None:
        return
    document = sent.document
    gained = frozenset(_gained(sent.form, answered))
    marks = _marks(refusal, sent, gained) if gained else []
    for mark in marks:
        scope.learn_manner(mark, gained)
    noted = frozenset(name for name in gained if name.startswith(NOTED))
    if noted and not marks:
        scope.learn_manner(_anonymous(document), noted)
    if refusal.kind == "response":
        refused = refusal.ids or {document.text("previous_response_id") or ""}
    else:
        refused = refusal.ids if refusal.kind == "item" else frozenset()
    for id_ in ids_of(document) & refused:
        scope.learn_id(id_)
    if refusal.kind == "encrypted":
        for blob in _refused_blobs(document, answered):
            scope.learn_blob(blob)
        for label, name in answered.demanded - sent.form.demanded:
            scope.learn_field("demanded", label, name)
    if refusal.kind == "field":
        _learn_fields(scope, refusal, sent, answered)


def _gained(sent: Form, answered: Form) -> Iterator[str]:
    yield from (name for name in _MANNERS if getattr(answered, name) and not getattr(sent, name))
    yield from (NOTED + label for label in answered.noted - sent.noted)
    if sent.portable and not answered.portable:
        yield AS_IT_CAME


def _learn_fields(scope: LessonScope, refusal: Refusal, sent: Situation, answered: Form) -> None:
    label = label_of(refusal, sent.sent)
    if label in answered.noted - sent.form.noted:
        return  # it is these calls that were refused, not the field
    topic: Literal["demanded", "refused"] = "demanded" if refusal.demanded else "refused"
    known = (answered.demanded - sent.form.demanded) if refusal.demanded else (answered.refused - sent.form.refused)
    labels = {each for each, field in known if field == refusal.field} | ({label} if label is not None else set())
    for each in labels:
        scope.learn_field(topic, each, refusal.field)


_TELLING: Final = 12
"""Characters from which an id belongs to one conversation: `terminal:0` and `call_1` are in many."""
_FEW: Final = 4


def _marks(refusal: Refusal, sent: Situation, gained: frozenset[str]) -> list[str]:
    """By what the next turn of this conversation, and no other, is known again.

    What the refusal names of it; else the ids at its beginning, which every turn repeats. A model that takes no
    reasoning at all, with or without a blob, takes none of any conversation.
    """
    document = sent.document
    if "no_reasoning" in gained and not any(_blobs(document)):
        return [_model(document)]
    previous = list(filter(None, [document.text("previous_response_id")]))
    if refusal.kind == "response":
        return previous
    telling = [mark for mark in _own_marks(document) if len(mark) >= _TELLING]
    entry = named_entry(refusal, sent.sent)
    named = {*refusal.ids, *((entry.came.id, entry.came.call_id) if entry is not None else ())}
    return [mark for mark in telling if mark in named] or telling[:_FEW] or previous


def _own_marks(document: Document) -> Iterator[str]:
    for array in document.arrays:
        for item in array.items:
            yield from filter(None, (item.id, item.call_id))


def _model(document: Document) -> str:
    return f"model {document.text('model')}"


def _anonymous(document: Document) -> str:
    """The mark of a request in which nothing has an id: its client drops them all, and will again."""
    return f"anonymous {document.text('model')}"


def marks_of(document: Document) -> set[str]:
    """By what a request may be known again: its ids and call ids, its previous response's id, and its model."""
    own, previous = {*_own_marks(document)}, document.text("previous_response_id")
    named = previous or any(len(mark) >= _TELLING for mark in own)
    return own | {previous or "", _model(document), "" if named else _anonymous(document)}


def _blobs(document: Document) -> Iterator[bytes]:
    for array in document.arrays:
        yield from (bytes(item.encrypted_content) for item in array.items if item.has_blob)


def _refused_blobs(document: Document, answered: Form) -> Iterator[bytes]:
    return (blob for blob in _blobs(document) if answered.no_blobs or blob in answered.blobs)


def ids_of(document: Document) -> set[str]:
    """Every id in the request: its previous response's, its items'."""
    ids = {item.id for array in document.arrays for item in array.items if item.id}
    previous = document.text("previous_response_id")
    return ids | {previous} if previous else ids
