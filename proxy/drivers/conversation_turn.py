"""A response in a conversation of the store: its turn, from the lock to what was answered.

The history takes the place of `conversation`, and the request goes on as if its client had sent it along. What holds at
every moment, whatever dies: the lock is ours or has an end; the turn is not there, *asked*, or *done*.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final, NamedTuple

from proxy.drivers.work import Work
from proxy.responses.body.size import cost
from proxy.responses.conversations import refused
from proxy.responses.conversations.asked import Question
from proxy.responses.conversations.items import id_in
from proxy.responses.conversations.ledger import (
    Head,
    Kept,
    Ledger,
    Turn,
    count_of,
    marks_of,
    names,
    repeated,
    size_of,
)
from proxy.responses.history.recall import AGAIN
from proxy.responses.history.recording import Made, RequestRecord
from proxy.responses.steps import Compute
from proxy.store.conversation_service import (
    BACKGROUND,
    LOCKED,
    RENEWED,
    ConversationService,
    UnavailableError,
)
from proxy.store.conversations import Lock

_TRIES: Final = (0.0, 0.5, 2.0)
"""Seconds before what was answered is tried to be written."""


class History(NamedTuple):
    """A conversation with all its items."""

    ledger: Ledger
    items: tuple[bytes, ...]

    @property
    def since_head(self) -> tuple[bytes, ...]:
        """The items that came behind the response at its head; all where there is none."""
        if not self.ledger.head.response_id:
            return self.items
        return self.items[count_of(turn for turn in self.ledger.visible if turn.number < self.ledger.head.turns) :]


class Conversation:
    """A conversation of `owner`, as one request uses it. `largest`: bytes of a history."""

    def __init__(
        self, service: ConversationService, owner: str, question: Question, largest: int, request_id: str
    ) -> None:
        self.service = service
        self.owner = owner
        self.question = question
        self.largest = largest
        self.request_id = request_id

    async def history(self, reserve: Callable[[int], None]) -> History | None:
        """All that is in it; None where it is not known. Raises Refused."""
        ledger = await self.service.perform(
            self.owner, lambda kept: kept.ledger(self.owner, self.question.conversation_id), self.request_id
        )
        if ledger is None:
            return None
        self.check(ledger)
        return await self.items(ledger, reserve)

    def check(self, ledger: Ledger) -> None:
        """Raise Refused where the request cannot go on with what is in it."""
        refused.check_room(size_of(ledger.visible), count_of(ledger.visible), self.largest)
        twice = repeated(ledger.visible, self.question.ids)
        if twice:
            raise refused.duplicate(twice)

    async def items(self, ledger: Ledger, reserve: Callable[[int], None]) -> History | None:
        """All that is in it; its bytes, and those of a body with it, are reserved before they are read."""
        reserve(2 * size_of(ledger.visible))
        marks = marks_of(ledger.visible)
        items = await self.service.perform(self.owner, lambda kept: kept.items(self.owner, marks), self.request_id)
        return History(ledger, tuple(items)) if items is not None else None

    async def body(self, history: History, work: Work) -> bytes:
        """The request's body with the history in it."""
        size = len(self.question.document.body) + size_of(history.ledger.visible)
        found: bytes = await work.perform(Compute(partial(self.question.with_history, history.items), cost(size)))
        return found

    def record(self, history: History) -> Compute:
        """Makes what a store remembers of the request, so that its response can be continued."""
        head = history.ledger.head.response_id or None
        items = (*history.since_head, *(one.item for one in self.question.kept))
        return Compute(partial(RequestRecord, head, items, None, self.question.in_background), 0)


class TurnInProgress:
    """The turn of a request that holds the lock of its conversation; it holds nothing of the request."""

    def __init__(self, service: ConversationService, lock: Lock, *, keeps_response: bool) -> None:
        self.keeps_response = keeps_response
        """The response is remembered by its id as well."""
        self.made: Made | None = None
        """What was answered, as far as it has been seen."""
        self.was_answered = False
        """The client has the whole answer, and it was no refusal."""
        self._service = service
        self._lock = lock
        self._turn: Turn | None = None
        self._renewing: asyncio.Task[None] | None = None

    @property
    def is_asked(self) -> bool:
        """Whether it is written down."""
        return self._turn is not None

    @asynccontextmanager
    async def asking(self, asked: Sequence[Kept], number: int, request_id: str) -> AsyncIterator[None]:
        """Write down the input, while other work goes on, and hold the lock from now on.

        It is written when the other work is over, or UnavailableError or Refused is raised: whether it is must be
        known when the turn is dropped.
        """
        self._renewing = asyncio.create_task(self._renew())
        asking = asyncio.create_task(self._ask(asked, number, request_id))
        await asyncio.sleep(0)  # it goes first
        try:
            yield
            await asyncio.shield(asking)
        finally:
            await asyncio.wait([asking])
            asking.exception()  # of two faults the first is raised

    async def _ask(self, asked: Sequence[Kept], number: int, request_id: str) -> None:
        items = await self._service.inlined(self._lock.scope, tuple(one.item for one in asked), request_id)
        kept = [one._replace(item=item) for one, item in zip(asked, items, strict=True)]
        turn = Turn(number, False, b"", 0)
        self._turn = await self._service.perform(
            self._lock.scope, lambda found: found.append(self._lock, turn, kept), request_id
        )
        if self._turn is None:
            raise refused.locked()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEWED)
            with suppress(UnavailableError):
                await self._service.perform(self._lock.scope, lambda kept: kept.renew(self._lock, LOCKED))

    def hear(self, made: Made) -> None:
        """Take note of what is answered."""
        self.made = made

    async def over(self) -> None:
        """Write what was answered and give the lock back; the turn goes where no answer was seen."""
        if self._renewing is not None:
            self._renewing.cancel()
        with suppress(UnavailableError):
            await self._end()

    async def _end(self) -> None:
        made, turn, lock = self.made, self._turn, self._lock
        if turn is None or (made is None and self.was_answered):  # what could not be read leaves a gap
            await self._service.perform(lock.scope, lambda kept: kept.release(lock))
        elif made is None or made.failed or not (made.finished or made.background):
            await self._service.perform(lock.scope, lambda kept: kept.drop(lock, turn))
        elif made.finished:
            await finish(self._service, lock, turn, made, keeps_response=self.keeps_response)
        else:
            waiting = (made.response_id, turn.number)
            await self._service.perform(lock.scope, lambda kept: kept.renew(lock, BACKGROUND, waiting))


async def finish(service: ConversationService, lock: Lock, turn: Turn, made: Made, *, keeps_response: bool) -> None:
    """Write down what was answered to a turn. Raises UnavailableError where that cannot be done in some seconds."""
    ids = [id_in(item) for item in made.output]
    kept = [*map(Kept, made.output, names(ids, lock.token.encode()))]
    head = Head(made.response_id, turn.number + 1) if keeps_response and made.stored else None
    for last, pause in zip((False, False, True), _TRIES, strict=True):
        await asyncio.sleep(pause)
        try:
            await service.perform(lock.scope, lambda found: found.done(lock, turn, kept, head))
        except UnavailableError:
            if last:
                raise
        else:
            return


async def finish_waiting(service: ConversationService, owner: str, made: Made) -> None:
    """Write down the answer of a response that was made in the background, where a conversation waits for it."""
    found = None
    for pause in (0.0, *AGAIN):  # another process may be writing down just now that it waits
        await asyncio.sleep(pause)
        found = await service.perform(owner, lambda kept: kept.waiting(owner, made.response_id))
        if found is not None:
            break
    if found is None:
        return
    ledger = await service.perform(owner, lambda kept: kept.ledger(owner, found.lock.conversation_id))
    turn = next((turn for turn in ledger.turns if turn.number == found.number), None) if ledger is not None else None
    if turn is None:
        return
    if made.finished:
        await finish(service, found.lock, turn, made, keeps_response=True)
    else:
        await service.perform(owner, lambda kept: kept.drop(found.lock, turn))
