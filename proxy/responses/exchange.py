"""One request, its attempts and its outcome.

Everything that decides whether to try again lives here and in `remedies`; nothing performs I/O. A driver sends what
`Forward` holds, hands every refusal that the exchange `judges` to `receive`, and calls `settle` for what it relays.
With a store it asks `recall` before `start` and `receive`, and hands what the store knows to `recalled`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from typing import Final

from proxy.events import Event, Read, Recovered, Refused, Removal, Removed, Unrecovered
from proxy.report import Action, Remedy, RemovedName, Report, Route
from proxy.responses.body.document import Document, read
from proxy.responses.body.lenient import MalformedError
from proxy.responses.history.recall import RESOLVABLE, Recall, Recalled, Recollection
from proxy.responses.history.recording import Asked, asked
from proxy.responses.outcome import losses, read_by, report
from proxy.responses.policy import Policy
from proxy.responses.recovery.ladders import Situation, ids_of, learn, remedies
from proxy.responses.recovery.lessons import Lessons, Scope, digest
from proxy.responses.recovery.refusals import NEVER_OURS, Refusal, classify
from proxy.responses.rewrite import fast_path
from proxy.responses.rewrite.rewriter import Form, Rewrite, rewrite
from proxy.responses.steps import Forward, Relay

PAUSE: Final = 0.3
"""Seconds before the same bytes are sent again: a parent just made shows up in that time (semantic-kernel#13128)."""


@dataclass(slots=True)
class _Attempt:
    form: Form
    rewrite: Rewrite
    remedy: Remedy = "same"
    refusal: Refusal | None = None
    document: Document | None = None
    """What it was made from, where that may not be what the next one is made from."""


class Exchange:
    """A request of one of the rewritten routes. `events` are the facts so far; the driver takes them away."""

    def __init__(
        self, body: bytes, policy: Policy | None = None, *, route: Route = "responses", scope: Scope | None = None
    ) -> None:
        self.policy = policy or Policy()
        self.events: list[Event] = []
        self._body = body
        self._route = route
        self._scope = scope or Scope(Lessons())
        self._attempts: list[_Attempt] = []
        self._sent: set[bytes] = set()
        self._relayed = False
        self._readable = True
        self._documents: list[Document | None] = []
        self._memory: Recollection | None = None

    @property
    def _document(self) -> Document | None:
        if self._memory is not None:
            return self._memory.document
        # Not a cached_property: till Python 3.12 who computes one keeps all others waiting, in every thread.
        if not self._documents:
            self._documents.append(self._read())
        return self._documents[0]

    def _read(self) -> Document | None:
        try:
            return read(self._body)
        except MalformedError:
            self._readable = False
            return None

    def start(self) -> Forward:
        """The first attempt."""
        return self.glance() or self.look()

    def glance(self) -> Forward | None:
        """The first attempt of a request that is ordinary, or is so with what the store knew; None for any other."""
        memory = self._memory
        if memory is None:
            short = self._ordinary(self._body)
        else:
            short = self._ordinary(memory.resolved.body) if memory.resolved is not None else None
        if short is None or (self.policy.recalls and short.rewrite.took_references):
            return None
        self.events.append(Read(short.items, short.found) if memory is None else self._read_by(memory.came))
        return self._begin(_Attempt(self._form(portable=True), short.rewrite))

    def look(self) -> Forward:
        """The first attempt of any request; finding it may take long, if that was meant."""
        if self._document is None:
            return Forward(self._body)
        first = self._first(self._document)
        self.events.append(self._read_by(self._memory.came if self._memory else self._document))
        return self._begin(first)

    def _read_by(self, came: Document) -> Read:
        return read_by(came, self.policy.tell_ids)

    def forget(self) -> None:
        """Let go of what is found again if the first attempt is refused: its answer may be long in coming."""
        if self._attempts and not self.policy.recalls:
            first = self._attempts[0]
            self._documents, first.document = [], None
            first.rewrite = first.rewrite._replace(entries=(), taken=())

    def _begin(self, first: _Attempt) -> Forward:
        self._attempts.append(first)
        self._tell_removed(first.rewrite.ids_taken())
        return Forward(self._body if self.policy.mode == "observe" else first.rewrite.body)

    def recall(self, status: int = 0, refusal: bytes = b"") -> Recall | None:
        """What to ask the store before `look`, or before this refusal is received; None where there is nothing.

        To be asked until it is None: what was not found is looked for again.
        """
        document = self._document if self.policy.recalls else None
        if document is None or (self._memory is None and not self._may_recall(document, status, refusal)):
            return None
        if self._memory is None:
            self._memory = Recollection(document, self.policy)
        return self._memory.next

    def _may_recall(self, document: Document, status: int, refusal: bytes) -> bool:
        if not status:
            return self.policy.mode != "recover" or self._will_be_refused(document)
        refused = classify(status, refusal) if len(self._attempts) <= self.policy.max_recoveries else None
        return refused is not None and refused.kind in RESOLVABLE

    def recalled(self, found: Recalled | None) -> None:
        """Take what the store knows; None: it is down."""
        if self._memory is not None:
            self._memory.take(found)
            self._tell_removed(self._memory.ids)

    def asked(self) -> Asked | None:
        """What the store is to remember of this request now that it is answered; None where that is nothing."""
        came = self._memory.came if self._memory is not None else self._document
        if came is None or not self.policy.recalls:
            return None
        return asked(came, self._memory, self._attempts[-1].rewrite.removed, self.policy)

    def _ordinary(self, body: bytes) -> fast_path.Ordinary | None:
        """What the short way makes of an ordinary request, where it is what the whole way would make of it."""
        policy = self.policy
        if policy.mode == "recover" or policy.profile != "openai" or policy.tell_ids or self._scope.has_news:
            return None
        return fast_path.portable(body)

    def _form(self, *, portable: bool) -> Form:
        """The form in which a request is sent of which nothing is known."""
        return _form(self.policy.profile, self.policy.drop_conversation, self._side_route, portable)

    def _first(self, document: Document) -> _Attempt:
        came = self._came(document)
        if self.policy.mode != "recover" or self._memory is not None or self._will_be_refused(document):
            form = replace(came, portable=True)
            portable = rewrite(document, form)
            if self._may_start_with(portable):
                return _Attempt(form, portable, document=document)
        document = self._memory.came if self._memory else document
        return _Attempt(came, rewrite(document, came), document=document)

    def _came(self, document: Document) -> Form:
        """The request as the client sent it, but for what this upstream and this credential are known to refuse."""
        if not self._scope.has_news:
            return self._form(portable=False)
        return replace(
            self._form(portable=False),
            refused=self._scope.fields("refused"),
            demanded=self._scope.fields("demanded"),
            blobs=self._refused_blobs(document),
        )

    def _may_start_with(self, portable: Rewrite) -> bool:
        if not portable.took_references:
            return portable.answerable
        return portable.answerable if self._route == "responses" else portable.stands_alone

    def _refused_blobs(self, document: Document) -> frozenset[bytes]:
        known = self._scope.blobs()
        if not known:
            return frozenset()
        blobs = {item.raw("encrypted_content") for array in document.arrays for item in array.items}
        return frozenset(blob for blob in blobs if blob is not None and digest(blob) in known)

    def _will_be_refused(self, document: Document) -> bool:
        known = self._scope.ids()
        return bool(known) and not known.isdisjoint(ids_of(document))

    def judges(self, status: int) -> bool:
        """Whether an answer with `status` is to be held and handed to `receive`, its body decoded."""
        if not 400 <= status < 500 or self.policy.mode == "observe" or not self._attempts:
            return False
        return status not in NEVER_OURS if len(self._attempts) == 1 else status != 429

    def receive(self, status: int, body: bytes) -> Forward | Relay:
        """What follows a refusal: another attempt, or the first refusal for the client."""
        attempt = self._attempts[-1]
        attempt.refusal = refusal = classify(status, body)
        following = self._next(refusal) if refusal is not None else None
        if refusal is None or following is None:
            self._relayed = True
            return Relay()
        self._attempts.append(following)
        self.events.append(Refused(status, refusal.kind, following.remedy))
        self._tell_removed(following.rewrite.ids_taken())
        return Forward(following.rewrite.body, PAUSE if following.remedy == "same" else 0.0)

    def _next(self, refusal: Refusal) -> _Attempt | None:
        last = self._attempts[-1]
        if self._document is None or len(self._attempts) > self.policy.max_recoveries:
            return None
        self._sent.add(_fingerprint(last.rewrite.body))
        # The short way leaves the entries out.
        last.rewrite = rewrite(last.document or self._document, last.form)
        situation = Situation(self._document, last.form, last.rewrite, self.policy.keep_last, self._side_route)
        for remedy, form in remedies(refusal, situation):
            if remedy == "same":
                if self._may_repeat(refusal):
                    return _Attempt(form, last.rewrite, remedy, document=last.document)
                continue
            changed = rewrite(self._document, form)
            if self._may_send(changed) and _fingerprint(changed.body) not in self._sent:
                return _Attempt(form, changed, remedy, document=self._document)
        return None

    @property
    def _side_route(self) -> bool:
        return self._route != "responses"

    def _may_repeat(self, refusal: Refusal) -> bool:
        """Whether the same bytes may do: once, and not for an id of which it is known that they will not."""
        if len(self._attempts) > 1 or (self._memory and self._memory.resolved):
            return False
        if refusal.kind == "locked":
            return True
        return self.policy.profile == "azure" and self._scope.ids().isdisjoint(refusal.ids)

    def _may_send(self, changed: Rewrite) -> bool:
        return changed.answerable and (changed.has_history or not self._side_route)

    def settle(self, status: int) -> Report:
        """The report for the answer with `status` that the client gets (the first refusal's after `Relay`)."""
        if not self._attempts:
            return Report(action="passthrough" if self._readable else "unread")
        attempts = len(self._attempts)
        if status >= 400:
            return self._settle_refused(attempts)
        last = self._attempts[-1]
        if attempts > 1 and self._document is not None:
            self.events.append(Recovered(last.remedy, attempts))
            self._learn(self._document, last)
        if self.policy.mode != "observe":
            self.events += losses(last.rewrite, self.policy.mode, self._scope)
        return self._report(self._action(last, attempts), last, attempts)

    def _learn(self, document: Document, answered: _Attempt) -> None:
        if answered.remedy == "same":
            return  # what was refused is taken by now: it only came too early
        for attempt in self._attempts[:-1]:
            learn(self._scope, attempt.document or document, attempt.refusal, attempt.rewrite, answered.form)

    def _settle_refused(self, attempts: int) -> Report:
        first = self._attempts[0]
        refusal = first.refusal
        if refusal is not None:
            self.events.append(Unrecovered(refusal.kind, attempts))
        action: Action = "unrecovered" if refusal is not None else self._action(first, 1)
        shown = first if self._relayed else self._attempts[-1]
        return self._report(action, shown, attempts)

    def _report(self, action: Action, shown: _Attempt, attempts: int) -> Report:
        told = report(action, shown.rewrite, attempts)
        return self._memory.reported(told, shown.document) if self._memory else told

    def _action(self, attempt: _Attempt, attempts: int) -> Action:
        if self.policy.mode == "observe":
            return "observed"
        if attempts > 1:
            return "recovered"
        return "passthrough" if attempt.rewrite.body is self._body else "rewritten"

    def _tell_removed(self, taken: Iterable[tuple[RemovedName, str]]) -> None:
        removals = tuple(Removal(*one) for one in taken) if self.policy.tell_ids else ()
        if removals:
            self.events.append(Removed(removals))


@cache
def _form(profile: str, drops_conversation: bool, side_route: bool, portable: bool) -> Form:
    return Form(profile=profile, asks=not side_route, portable=portable, drop_conversation=drops_conversation)


def _fingerprint(body: bytes) -> bytes:
    return sha256(body).digest()
