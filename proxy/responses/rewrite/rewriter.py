"""A body in another form: which rules are applied, in which order, and what that did to the request.

Every attempt is a pure function of the body that arrived and of a `Form`: the same prefix of a conversation becomes the
same bytes on every turn, which keeps upstream's prompt cache.

A rule marks entries of a `Draft`; nothing is edited before all rules have run. `_RULES` is the table of rules, in their
order, each with the condition under which the form has it and the kinds of items that it is about. A new rule is a new
row there, and a function in `rules`, `pairing` or `trimming`; a reason to apply it that no form has yet is a new field
of `Form`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final, NamedTuple

from proxy.report import Name, RemovedName, RepairedName
from proxy.responses.body import lenient
from proxy.responses.body.document import Document
from proxy.responses.body.edits import Edit, cut_members, splice
from proxy.responses.body.giving_way import give_way
from proxy.responses.body.item import Item
from proxy.responses.items import (
    CODE_INTERPRETER,
    COMPUTER_CALL,
    IMAGE,
    PAIRED,
    REASONING,
    REFERENCE,
    REQUEST_ENVELOPE,
    Kind,
)
from proxy.responses.rewrite import pairing, rules, trimming
from proxy.responses.rewrite.draft import Changes, Draft
from proxy.responses.rewrite.entry import Entry
from proxy.responses.rewrite.form import Form


class Rewrite(NamedTuple):
    """A body in a form, and what that did."""

    body: bytes
    removed: Mapping[RemovedName, int] = MappingProxyType({})
    repaired: Mapping[RepairedName, int] = MappingProxyType({})
    lossy: frozenset[Name] = frozenset()
    taken: Sequence[tuple[RemovedName, Item | str]] = ()
    """As what an item, or an id, was taken out."""
    took_references: bool = False
    """A previous response, a reference, a bare reasoning or a conversation was taken out."""
    answerable: bool = True
    """It may be sent: its end is a question the client asked, and no output lost its call by what was taken out."""
    stands_alone: bool = True
    """Nothing was lost but labels."""
    has_history: bool = True
    """What was taken out held no items that the input does not: all that is lost is reasoning."""
    entries: tuple[Entry, ...] = ()
    """What is sent of the input, in order: `input[i]` of a refusal is `entries[i]`."""

    def ids_taken(self) -> Iterator[tuple[RemovedName, str]]:
        """(what, id) of everything taken out that has an id."""
        for what, taken in self.taken:
            id_ = taken if isinstance(taken, str) else taken.id
            if id_:
                yield what, id_


def rewrite(document: Document, form: Form) -> Rewrite:
    """`document` in `form`."""
    return _Rewriting(document, form).result()


class _Rewriting:
    """The rules of one form, applied to one document in their order."""

    def __init__(self, document: Document, form: Form) -> None:
        self.document = document
        self.form = form
        self.changes = Changes()
        self.removed = self.changes.removed
        self.lossy = self.changes.lossy
        self.edits: list[Edit] = []
        self.has_conversation = document.raw("conversation") is not None
        if form.portable and self.has_conversation and not form.drop_conversation:
            self.form = replace(form, portable=False)
        self.previous = document.text("previous_response_id")
        self.dropped_references = False
        self.lost_references = False
        self.lost_reasoning = False
        self.orphaned = False

    def result(self) -> Rewrite:
        self._top_level()
        drafts = [Draft(array, self.changes) for array in self.document.arrays]
        for draft in drafts:
            present = draft.table.by_kind
            for rule, applies, kinds in _RULES:
                if not (kinds and kinds.isdisjoint(present)) and applies(self.form):
                    give_way()
                    rule(self, draft)
            self.edits += draft.edits(self.document.body)
        last = drafts[-1] if drafts else None
        answerable = self._answerable(last)
        alone = answerable and self._stands_alone(last)
        if not alone and "previous_response_id" in self.removed:
            self.lossy.add("previous_response_id")
        return Rewrite(
            body=splice(self.document.body, self.edits),
            removed=self.removed,
            repaired=self.changes.repaired,
            lossy=frozenset(self.lossy),
            taken=self.changes.taken,
            took_references=self.took_references,
            answerable=answerable,
            stands_alone=alone and not self.lost_reasoning,
            has_history=alone,
            entries=tuple(last.sent()) if last else (),
        )

    @property
    def took_references(self) -> bool:
        """Whether something was taken out that upstream might have resolved."""
        top_level = "previous_response_id" in self.removed or "conversation" in self.removed
        return self.dropped_references or self.lost_reasoning or top_level

    def _top_level(self) -> None:
        form = self.form
        names = self._state_parameters() if form.portable else set[str]()
        if form.portable or form.no_envelope:
            envelope = [member.name for member in self.document.members if member.name in REQUEST_ENVELOPE]
            names.update(envelope)
            if envelope:
                self.removed["envelope_field"] += len(envelope)
        if names:
            self.edits += self.document.cut(names)
        if form.no_comparison and form.portable:
            self._remove_comparison()

    def _remove_comparison(self) -> None:
        """Not known elsewhere, it gives no refusal and no diagnosis (openai 3.57.0, 2026-11)."""
        body = self.document.body
        for member in self.document.members:
            if member.name == "prompt_cache_options" and body[member.value] == ord("{"):
                inner = lenient.members(body, member.value)
                self.edits += cut_members(inner, {"comparison_response_id"})
                self.removed["comparison"] += sum(one.name == "comparison_response_id" for one in inner)

    def _state_parameters(self) -> set[str]:
        names = set()
        if self.previous is not None:
            names.add("previous_response_id")
            self.removed["previous_response_id"] += 1
            self.changes.taken.append(("previous_response_id", self.previous))
        if self.has_conversation:
            names.add("conversation")
            self.removed["conversation"] += 1
            self.lossy.add("conversation")
        return names

    # The rules, each as a row of `_RULES` applies it.

    def drop_references(self, draft: Draft) -> None:
        self.dropped_references = True
        self.lost_references |= rules.drop_references(draft)

    def reduce_reasoning(self, draft: Draft) -> None:
        self.lost_reasoning |= rules.reduce_reasoning(draft)

    def drop_blobs(self, draft: Draft) -> None:
        rules.drop_blobs(draft, None if self.form.no_blobs else self.form.blobs)

    def repair_items(self, draft: Draft) -> None:
        pairing.drop_duplicates(draft)
        pairing.rename_calls(draft)
        pairing.note_unreasoned(draft, self.form.unpaired)

    def repair_pairs(self, draft: Draft) -> None:
        if PAIRED.isdisjoint(draft.table.by_kind) and not self.form.keep_last:
            return
        pairs = pairing.pairs_of(draft)
        calls_elsewhere = self._may_hold_calls(draft)
        self.orphaned |= self.form.portable and calls_elsewhere and bool(pairs.orphans)
        if self.form.keep_last:
            trimming.trim(draft, self.form.keep_last)
            pairs = pairing.pairs_of(draft)
        unpaired = self.form.unpaired
        orphans = [
            entry for entry in pairs.orphans if not calls_elsewhere or not unpaired.isdisjoint(pairing.keys(entry.item))
        ]
        pairing.repair_orphan_outputs(draft, orphans)
        pairing.repair_unanswered_calls(draft, pairs.unanswered())

    def remove_ids(self, draft: Draft) -> None:
        form = self.form
        rules.remove_ids(draft, profile=form.profile, all_turns=form.strips_every_turn, demanded=form.demanded)

    def remove_fields(self, draft: Draft) -> None:
        rules.remove_fields(draft, profile=self.form.profile, demanded=self.form.demanded)

    def _may_hold_calls(self, draft: Draft) -> bool:
        """Whether something that upstream resolves, or would have, can hold the calls of outputs in the input."""
        if self.previous is not None or self.lost_references or self.has_conversation:
            return True
        return any(entry.sent for entry in draft.of(rules.REFERENCES))

    def _answerable(self, draft: Draft | None) -> bool:
        if self.orphaned:
            return False
        if draft is None:
            return not self.took_references or bool(self.document.text("input"))
        if not self.form.asks:
            return True
        for entry in reversed(draft.entries):
            if entry.fate != "added" and not entry.came.kind.is_setting:
                return entry.fate == "kept" and (entry.came.kind.essential or not self.took_references)
        return not self.took_references

    def _stands_alone(self, draft: Draft | None) -> bool:
        """Whether an input that is answerable holds all that it stands for."""
        if not self.took_references:
            return True
        if self.lost_references or "conversation" in self.removed or draft is None:
            return False
        sent = draft.sent()
        begins = next((entry for entry in sent if entry.item.kind.role or not entry.item.kind.is_setting), None)
        if begins is None or not begins.item.kind.is_beginning:
            return False
        return "previous_response_id" not in self.removed or any(entry.item.kind.is_answer for entry in sent)


_Rule = tuple[Callable[[_Rewriting, Draft], None], Callable[[Form], object], frozenset[str]]


def _of(*kinds: Kind) -> frozenset[str]:
    return frozenset(kind.name for kind in kinds)


_ANY: Final = _of()
"""For a rule that is applied to items of any kind."""


_RULES: Final[tuple[_Rule, ...]] = (
    # What consists of its id goes first: it decides which outputs are orphans, and which turns lost their reasoning.
    (_Rewriting.drop_references, lambda form: form.portable, _of(REFERENCE)),
    (_Rewriting.reduce_reasoning, lambda form: form.strips_ids, _of(REASONING)),
    (lambda _, draft: rules.replace_images(draft), lambda form: form.strips_ids, _of(IMAGE)),
    # What upstream refused by name.
    (_Rewriting.drop_blobs, lambda form: form.blobs or form.no_blobs, _ANY),
    (lambda _, draft: rules.drop_reasoning(draft), lambda form: form.no_reasoning, _of(REASONING)),
    (lambda it, draft: trimming.drop_groups(draft, it.form.without), lambda form: form.without, _ANY),
    (
        lambda it, draft: rules.note_expired_code(draft, it.form.containers),
        lambda form: form.containers,
        _of(CODE_INTERPRETER),
    ),
    (lambda it, draft: rules.note_hosted_calls(draft, it.form.noted), lambda form: form.noted, _ANY),
    # Calls that cannot stand without reasoning become notes before pairs are counted, with their outputs.
    (lambda _, draft: rules.note_unreasoned_computer_calls(draft), lambda _: True, _of(COMPUTER_CALL)),
    (lambda _, draft: pairing.bring_together(draft), lambda form: form.adjacent, _ANY),
    (_Rewriting.repair_items, lambda form: form.repaired, _ANY),
    # Pairs, and between two counts of them the trim, which drops whole groups.
    (_Rewriting.repair_pairs, lambda form: form.portable or form.repaired or form.keep_last, _ANY),
    # Only now is it known which reasoning lost the item that it led to.
    (lambda _, draft: pairing.drop_unfollowed_reasoning(draft), lambda form: form.takes_items, _of(REASONING)),
    # Members of what is left. A refused field goes before ids and stray fields, so that it is counted once.
    (lambda it, draft: rules.remove_refused(draft, it.form.refused), lambda form: form.refused, _ANY),
    (_Rewriting.remove_ids, lambda form: form.strips_ids, _ANY),
    (_Rewriting.remove_fields, lambda form: form.portable, _ANY),
    (
        lambda _, draft: rules.give_summaries(draft),
        lambda form: form.portable or ("reasoning", "summary") in form.demanded,
        _of(REASONING),
    ),
)
"""(rule, when the form has it, the kinds of which one has to be there), in the order in which they are applied."""
