"""Which attempt comes first, and which comes after a refusal.

Every attempt is made from the body that arrived, or from that body with what the store knew, as a function of it and a
`Form`; only the form changes from one attempt to the next. No two attempts of a request send the same bytes, but for
one repetition where the refusal says that time alone may help.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from typing import Any, Final

from proxy.hints import Bound
from proxy.report import Remedy, Route
from proxy.responses.body.document import Document
from proxy.responses.policy import Policy
from proxy.responses.recovery.ladders import Situation, remedies
from proxy.responses.recovery.learning import AS_IT_CAME, NOTED, ids_of, learn, marks_of
from proxy.responses.recovery.lessons import LessonScope, digest
from proxy.responses.recovery.refusals import Refusal
from proxy.responses.rewrite.form import Form
from proxy.responses.rewrite.rewriter import Rewrite, rewrite

_REFERENCES: Final = frozenset({"previous_response_id", "item_reference"})


@dataclass(slots=True)
class Attempt:
    """A body that is sent upstream, how it was made, and what upstream said to it."""

    form: Form
    rewrite: Rewrite
    remedy: Remedy = "same"
    refusal: Refusal | None = None
    bound: Bound | None = None
    """What the refusal names that lives in one project, where it is none of ours."""
    document: Document | None = None
    """What it was made from, where later attempts may be made from another document."""


class Attempts:
    """The forms in which one request may be sent, the most faithful first."""

    def __init__(self, policy: Policy, scope: LessonScope, route: Route) -> None:
        self._policy = policy
        self._scope = scope
        self._route = route
        self._is_side_route = route != "responses"
        self._sent: set[bytes] = set()

    def plain_form(self, *, portable: bool) -> Form:
        """The form of a request about which no lesson is known."""
        policy = self._policy
        return _form(
            policy.profile, policy.drop_conversation, self._is_side_route, portable, strict=policy.mode == "strip"
        )

    def is_unreadable(self, made: Sequence[Attempt], blob: bytes) -> bool:
        """Whether upstream cannot read a blob: it was refused before, or one of the request just was."""
        refusal = made[-1].refusal if made else None
        return (refusal is not None and refusal.kind == "encrypted") or digest(blob) in self._scope.facts.blobs

    def first(self, came: Document, known: Document, behind: frozenset[bytes] = frozenset()) -> Attempt:
        """The first attempt for the document that arrived, `came`; `known` has what the store knew, or is the same.

        `behind` are the blobs of a compaction whose history stands in `known`: those that cannot be read.
        """
        plain = form = self.plain_form(portable=False)
        names: Mapping[str, frozenset[str]] = {}
        if self._scope.has_news:
            names = self._learnt_manner(known)
            form = self._learnt_form(plain, known, names)
        if behind:
            form = replace(form, blobs=form.blobs | behind)
        if AS_IT_CAME in names:
            return self._as_it_came(form, came)
        refused = bool(form.blobs) or form.portable or self._names_refused(known)
        if refused or self._policy.mode != "recover" or known is not came:
            portable_form = self.plain_form(portable=True) if form is plain else replace(form, portable=True)
            portable = rewrite(known, portable_form)
            if self._may_begin_with(portable) and (refused or self._may_lose(portable)):
                return Attempt(portable_form, portable, document=known)
        return self._as_it_came(form, came)

    def _as_it_came(self, form: Form, came: Document) -> Attempt:
        """The first attempt without what is known to be refused: mostly the very bytes, which need no look."""
        if form is self.plain_form(portable=False):
            return Attempt(form, Rewrite(came.body), document=came)
        changed = rewrite(came, form)
        if not self._may_go(changed):
            form = replace(form, portable=False)
            changed = rewrite(came, form)
        return Attempt(form, changed, document=came)

    def _may_lose(self, portable: Rewrite) -> bool:
        """Whether the portable form may be sent before upstream has refused anything, although it loses this."""
        if self._policy.mode == "auto":
            return portable.lossy <= {"conversation"}  # which the operator has taken out
        # Where there is a store, a reference that it does not know is left to upstream in `strip` mode as well.
        left = self._policy.mode == "strip" and self._policy.recalls
        return not left or portable.lossy.isdisjoint(_REFERENCES)

    def _learnt_manner(self, document: Document) -> Mapping[str, frozenset[str]]:
        """What a form had that was answered when it held ids, call ids or the model of this one, and which of them."""
        facts = self._scope.facts
        names: dict[str, set[str]] = {}
        for mark in marks_of(document).intersection(facts.manners) if facts.manners else ():
            for name in facts.manners[mark]:
                names.setdefault(name, set()).add(mark)
        return {name: frozenset(marks) for name, marks in names.items()}

    def _learnt_form(self, plain: Form, document: Document, names: Mapping[str, frozenset[str]]) -> Form:
        """The request as the client sent it, without what its upstream or credential is known to refuse."""
        facts = self._scope.facts
        manner: dict[str, Any] = {name: True for name in names if name != AS_IT_CAME and not name.startswith(NOTED)}
        return replace(
            plain,
            refused=facts.refused,
            demanded=facts.demanded,
            noted=frozenset(name.removeprefix(NOTED) for name in names if name.startswith(NOTED)),
            blobs=self._refused_blobs(document),
            unpaired=names.get("repaired", plain.unpaired),
            **manner,
        )

    def _refused_blobs(self, document: Document) -> frozenset[bytes]:
        known = self._scope.facts.blobs
        if not known:
            return frozenset()
        items = (item for array in document.arrays for item in array.items if item.has_blob)
        blobs = (bytes(item.encrypted_content) for item in items)
        return frozenset(blob for blob in blobs if digest(blob) in known)

    def _may_begin_with(self, portable: Rewrite) -> bool:
        if not self._may_go(portable):
            return False
        if not portable.took_references or self._route == "responses":
            return portable.answerable
        return portable.stands_alone

    def will_be_refused(self, document: Document) -> bool:
        """Whether the request holds an id or a blob that was refused to its credential before."""
        return self._names_refused(document) or bool(self._refused_blobs(document))

    def _names_refused(self, document: Document) -> bool:
        known = self._scope.facts.ids
        return bool(known) and not known.isdisjoint(ids_of(document))

    def after(
        self,
        refusal: Refusal,
        made: Sequence[Attempt],
        document: Document,
        behind: frozenset[bytes] = frozenset(),
        *,
        resolved: bool,
    ) -> Attempt | None:
        """The attempt that follows the last of those `made`, which was refused; None where none is left.

        `document` is what it is made from; `resolved` says that the store's answer stands in it already; `behind` as in
        `first`.
        """
        last = made[-1]
        if len(made) > self._policy.max_recoveries:
            return None
        self._sent.add(_fingerprint(last.rewrite.body))
        if not last.rewrite.entries:  # it was sent as it came, or was let go of
            last.rewrite = rewrite(last.document or document, last.form)
        situation = self._situation(last, document)
        expanded = replace(last.form, portable=True, blobs=last.form.blobs | behind)
        begun: list[tuple[Remedy, Form]] = [("repaired", expanded)] if behind and refusal.kind == "encrypted" else []
        for remedy, form in (*begun, *remedies(refusal, situation)):
            if remedy == "same":
                if len(made) == 1 and not resolved and self._may_repeat(refusal):
                    return Attempt(form, last.rewrite, remedy, document=last.document)
                continue
            changed = rewrite(document, form)
            if self._may_send(changed) and _fingerprint(changed.body) not in self._sent:
                return Attempt(form, changed, remedy, document=document)
        return None

    def _situation(self, attempt: Attempt, document: Document) -> Situation:
        return Situation(document, attempt.form, attempt.rewrite, self._policy.keep_last, self._is_side_route)

    def _may_repeat(self, refusal: Refusal) -> bool:
        """Whether the same bytes may succeed in a moment; an id that is known to be refused will not."""
        if refusal.kind == "locked":
            return True
        return self._policy.profile == "azure" and self._scope.facts.ids.isdisjoint(refusal.ids)

    def _may_send(self, changed: Rewrite) -> bool:
        return changed.answerable and (changed.has_history or not self._is_side_route) and self._may_go(changed)

    def _may_go(self, changed: Rewrite) -> bool:
        """Whether the references may go that are not in the changed request any more."""
        match self._policy.references:
            case "may_go":
                return True
            case "go_without_loss":
                return changed.lossy.isdisjoint(_REFERENCES)
            case "stay":
                return not changed.took_references

    def learn(self, made: Sequence[Attempt], document: Document) -> None:
        """Remember what the refusals taught, now that the last of the attempts was answered."""
        if made[-1].remedy == "same":
            return  # the same bytes were accepted in the end, so that the refusal taught nothing
        for attempt in made[:-1]:
            sent = self._situation(attempt, attempt.document or document)
            learn(self._scope, attempt.refusal, sent, made[-1].form)


@cache
def _form(profile: str, drops_conversation: bool, side_route: bool, portable: bool, *, strict: bool) -> Form:
    return Form(
        profile=profile,
        asks=not side_route,
        portable=portable,
        drop_conversation=drops_conversation,
        no_comparison=strict,
    )


def _fingerprint(body: bytes) -> bytes:
    return sha256(body).digest()
