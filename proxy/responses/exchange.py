"""One request, its attempts and its outcome.

The exchange decides and a driver performs. `Exchange.steps()` is a generator: it yields a step, the driver performs it
and sends the result in.

| step | how a driver performs it | the result it sends in |
|---|---|---|
| `Compute` | calls `work()`, in another thread where `cost` exceeds `INLINE` | what `work()` returned |
| `Recall` | asks the store, `delay` seconds from now | what the store knows; None where it cannot be reached |
| `Forward` | sends `body` upstream, `delay` seconds from now | `(status, body)` of an answer that it `judges` |
| `Relay` | gives the client the first refusal, byte for byte | nothing: it is the last step |

An answer that the exchange does not judge is the client's, from its first byte on. The driver then *commits*: it calls
`settle(status)` once for the report, after a `Relay` as well, and lets go of the exchange.

What holds at every moment:

- One party works on an exchange at a time. While a `Compute` runs in a thread, the generator is suspended and the
  driver touches nothing.
- Until `settle`, the client has received nothing. After it, the exchange makes no further attempt.
- `events` are the facts in the order in which they happened. The driver takes them out of the list.
- The exchange performs no I/O, reads no clock and keeps no state beyond the request, but for the lessons in its scope.
"""

from collections.abc import Generator, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from proxy.events import Event, Recovered, Refused, Removal, Removed, Unrecovered
from proxy.report import Action, RemovedName, Report, Route
from proxy.responses.attempts import Attempt, Attempts
from proxy.responses.body.document import Document, glance, read, read_closely
from proxy.responses.body.lenient import MalformedError
from proxy.responses.body.size import CLOSELY, MOST, TooComplexError, cost, holds_too_much
from proxy.responses.left_out import may_be_left_out
from proxy.responses.outcome import losses, read_by, report
from proxy.responses.policy import Policy
from proxy.responses.recovery.bound import judged
from proxy.responses.recovery.lessons import LessonScope
from proxy.responses.recovery.refusals import NEVER_OURS, judging_cost
from proxy.responses.steps import INLINE, Compute, Forward, Recall, Relay, Step

if TYPE_CHECKING:
    from proxy.responses.history.recall import Recalled, Recollection
    from proxy.responses.history.recording import RequestRecord

PAUSE: Final = 0.3
"""Seconds before the same bytes are sent again: a parent just made shows up in that time (semantic-kernel#13128)."""

_RUNGS: Final = 4
"""Looks at a body that a ladder costs."""

Steps = Generator[Step, Any, None]


class Exchange:
    """A request of one of the rewritten routes, as a driver sees it."""

    def __init__(
        self, body: bytes, policy: Policy | None = None, *, route: Route = "responses", scope: LessonScope | None = None
    ) -> None:
        self.policy = policy or Policy()
        self.events: list[Event] = []
        self._body = body
        self._size = len(body)
        self._objects = 0
        self._effort = 1
        self._route = route
        self._scope = scope or LessonScope()
        self._attempts = Attempts(self.policy, self._scope, route)
        self._made: list[Attempt] = []
        self._relayed = self._is_exhausted = self._is_read = False
        self._is_readable = True
        self.holds_blobs = False
        """What was last to be sent holds encrypted content, of which upstream may leave something out."""
        self.in_background = False
        """The client asks for a response in the background, whose id it wants without delay."""
        self._came: Document | None = None
        self._memory: Recollection | None = None

    def steps(self) -> Steps:
        """The steps from the body that arrived to the answer; see the module's docstring. Raises TooComplexError."""
        if len(self._body) > MOST and (yield Compute(partial(holds_too_much, self._body), cost(self._size))):
            first = self._unread()
        else:
            yield Compute(self._glance, cost(self._size))
            if self._came is None:
                self._effort = CLOSELY  # whatever asks for the document next
            if self.policy.recalls:
                yield from self._resolve()
            first = yield Compute(self._look, self._look_cost())
        refusal = yield first
        while True:
            status, body = refusal
            attempt = self._made[-1]
            attempt.refusal, attempt.bound = yield Compute(partial(judged, status, body), judging_cost(body))
            if self.policy.recalls:
                yield from self._resolve()
            refusal = yield (yield Compute(partial(self._judge, status), _RUNGS * self._look_cost()))

    def _resolve(self) -> Steps:
        """Ask the store for what the request refers to, and again for what another process may just be writing."""
        wanted: Recall | None = yield Compute(self._wanted, self._look_cost())
        while wanted is not None and self._memory is not None:
            found: Recalled | None = yield wanted
            if found is not None:
                self._size += found.size
                if (yield Compute(found.takes_closer_look, cost(self._size))):
                    self._effort = CLOSELY
            wanted = yield Compute(partial(self._take, self._memory, found), self._look_cost())

    def _look_cost(self) -> int:
        return max(cost(self._size, self._objects), min(cost(self._effort * self._size), INLINE + 1))

    def judges(self, status: int) -> bool:
        """Whether an answer with `status` is to be held, and its body, decoded, to be sent in."""
        if not 400 <= status < 500 or self.policy.mode == "observe" or not self._made:
            return False
        return status not in NEVER_OURS if len(self._made) == 1 else status != 429

    @property
    def judges_events(self) -> bool:
        """Whether the first events of a stream are to be held as well: one may be a refusal, as `early` has it."""
        may_follow = len(self._made) > 1 or self.policy.max_recoveries > 0
        return self.policy.early and may_follow and self._route == "responses" and self.judges(400)

    def exhaust(self) -> None:
        """Make no further attempt: the driver's budget of work for one request is spent."""
        self._is_exhausted = True

    # The work of the steps, in the order in which it is done.

    def _glance(self) -> None:
        """Read the body, unless that takes a closer look."""
        self._came = glance(self._body)
        self._is_read = self._came is not None
        if self._came is not None and cost(self._size) <= INLINE:  # a longer one is looked at elsewhere in any case
            self._objects = self._came.objects

    def _unread(self) -> Forward:
        if self.policy.mode == "strip":
            raise TooComplexError
        self._is_read, self._is_readable = True, False
        return self._forward(self._body)

    def _wanted(self) -> Recall | None:
        """What to ask the store before the first attempt, or before what follows a refusal; None: nothing."""
        document = self._document
        if document is None or not self._may_recall(document):
            return None
        if self._memory is None:
            from proxy.responses.history.recall import Recollection  # noqa: PLC0415 -- only where there is a store

            self._memory = Recollection(document, self.policy, partial(self._attempts.is_unreadable, self._made))
        self._memory.look_behind()
        return self._memory.next

    def _may_recall(self, document: Document) -> bool:
        if self.policy.references == "stay":
            return False
        if not self._made:
            return self.policy.mode != "recover" or self._attempts.will_be_refused(document)
        refusal = self._made[-1].refusal
        if len(self._made) > self.policy.max_recoveries or refusal is None:
            return False
        from proxy.responses.history.recall import may_help  # noqa: PLC0415 -- as above

        return may_help(refusal.kind, document)

    def _take(self, memory: "Recollection", found: "Recalled | None") -> Recall | None:
        """Take what the store knows; what to ask next, None: nothing."""
        memory.take(found)
        if self.policy.tell_ids:
            self._note_removed(memory.ids)
        return memory.next

    def _look(self) -> Forward:
        """The first attempt of any request."""
        came = self._document_that_came
        if came is None:
            return self._forward(self._body)
        attempt = self._attempts.first(came, self._document or came, self._behind)
        self.events.append(read_by(came, self.policy.tell_ids))
        self.in_background = came.raw("background") == b"true"
        step = self._begin(attempt)
        if self._size > INLINE:
            self._release()
        return step

    def _release(self) -> None:
        """Let go of what can be made again after a refusal: the answer to a large request may be long in coming."""
        if not self.policy.recalls:
            first = self._made[0]
            self._is_read, self._came, first.document = False, None, None
            first.rewrite = first.rewrite._replace(entries=(), taken=())

    def _begin(self, first: Attempt) -> Forward:
        self._made.append(first)
        if self.policy.tell_ids:
            self._note_removed(first.rewrite.ids_taken())
        return self._forward(self._body if self.policy.mode == "observe" else first.rewrite.body)

    def _forward(self, body: bytes, delay: float = 0.0) -> Forward:
        self.holds_blobs = may_be_left_out(body)  # here, as a look at a large body is beside the event loop
        return Forward(body, delay)

    def _judge(self, status: int) -> Forward | Relay:
        """What follows a refusal."""
        refusal, document = self._made[-1].refusal, self._document
        following = None
        if refusal is not None and document is not None and not self._is_exhausted:
            resolved = self._memory is not None and self._memory.resolved is not None
            following = self._attempts.after(refusal, self._made, document, self._behind, resolved=resolved)
        if refusal is None or following is None:
            self._relayed = True
            return Relay()
        self._made.append(following)
        self.events.append(Refused(status, refusal.kind, following.remedy))
        if self.policy.tell_ids:
            self._note_removed(following.rewrite.ids_taken())
        return self._forward(following.rewrite.body, PAUSE if following.remedy == "same" else 0.0)

    @property
    def _document(self) -> Document | None:
        """What attempts are made from: the request with what the store knew, or as it arrived; None: no JSON object."""
        return self._memory.document if self._memory is not None else self._document_that_came

    @property
    def _behind(self) -> frozenset[bytes]:
        """Blobs that cannot be read, with a compaction whose place its history has taken."""
        return self._memory.behind if self._memory else frozenset()

    @property
    def _document_that_came(self) -> Document | None:
        if self._memory is not None:
            return self._memory.came
        if not self._is_read:
            self._is_read = True
            try:
                self._came = read(self._body) if self._effort == 1 else read_closely(self._body)
            except MalformedError:
                self._is_readable = False
        return self._came

    def _note_removed(self, taken: Iterable[tuple[RemovedName, str]]) -> None:
        removals = tuple(Removal(*one) for one in taken)
        if removals:
            self.events.append(Removed(removals))

    # What is said in the end.

    def settle(self, status: int) -> Report:
        """The report for the answer that the client gets (after a `Relay` the first refusal): what `status` it says.

        A stream that refuses says so in an event, whatever the status of its head.
        """
        if not self._made:
            return Report(action="passthrough" if self._is_readable else "unread")
        attempts = len(self._made)
        if status >= 400 or self._relayed:
            return self._settle_refused(attempts)
        last = self._made[-1]
        if attempts > 1 and self._document is not None:
            self.events.append(Recovered(last.remedy, attempts))
            self._attempts.learn(self._made, self._document)
        if self.policy.mode != "observe":
            self.events += losses(last.rewrite, self.policy, self._scope)
        return self._report(self._action(last, attempts), last, attempts)

    def _settle_refused(self, attempts: int) -> Report:
        first = self._made[0]
        refusal = first.refusal
        if refusal is not None:
            self.events.append(Unrecovered(refusal.kind, attempts))
        action: Action = "unrecovered" if refusal is not None else self._action(first, 1)
        return self._report(action, first if self._relayed else self._made[-1], attempts)

    def _report(self, action: Action, shown: Attempt, attempts: int) -> Report:
        plain = report(action, shown.rewrite, attempts, shown.bound)
        return self._memory.reported(plain, shown.document) if self._memory else plain

    def _action(self, attempt: Attempt, attempts: int) -> Action:
        if self.policy.mode == "observe":
            return "observed"
        if attempts > 1:
            return "recovered"
        return "passthrough" if attempt.rewrite.body is self._body else "rewritten"

    def record(self) -> Compute:
        """Makes what the store is to remember of this request now that it is answered; None where that is nothing."""
        return Compute(self._record, self._look_cost())

    def _record(self) -> "RequestRecord | None":
        came = self._document_that_came
        if came is None or not self.policy.recalls:
            return None
        from proxy.responses.history.recording import asked  # noqa: PLC0415 -- as above

        return asked(came, self._memory, self._made[-1].rewrite.removed, self.policy)
