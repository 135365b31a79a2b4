"""Answers from the store for a response that upstream does not know: it was made elsewhere.

Upstream is asked first, always. Only a 404 that says that it does not know the response is held, and looked at:

- the response itself, where it is finished and the store knows it, is answered with 200 as it was answered then;
- what only its maker can do (its input items, its stream, to cancel, delete or poll it) stays that 404, byte for byte,
  with a field that says where it was made;
- everything else is given to the client as it arrived.
"""

from collections.abc import Awaitable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.drivers.attempt import JUDGED, HeldAnswer
from proxy.drivers.memory import MemoryBudget, Reservation
from proxy.drivers.offload import Offload
from proxy.drivers.stall import Stall
from proxy.hints import Hint
from proxy.http.context import context_of
from proxy.http.faults import Fault
from proxy.http.headers import Fields
from proxy.http.metadata import Metadata
from proxy.report import Report, StoreOutcome
from proxy.responses.history.recall import AGAIN, Recalled
from proxy.responses.history.recording import name_of_answer
from proxy.responses.history.retrieval import Answer, Asked, answer, asked, is_missing
from proxy.responses.steps import INLINE, Recall
from proxy.store.service import StoreService

_NOT_FOUND: Final = 404
_OWN: Final = b"x-unpinned-"
# Fields that are about the body of the refusal.
_OF_THE_REFUSAL: Final = frozenset({
    *(b"content-type", b"content-length", b"content-encoding", b"content-language", b"content-digest"),
    *(b"transfer-encoding", b"trailer", b"etag", b"last-modified", b"digest", b"content-md5"),
})  # fmt: skip


class RetrievalMiddleware:
    """Finds responses that were made elsewhere in the store of `service`; with `observes` it only says where."""

    def __init__(  # noqa: PLR0913 -- options, each with a name
        self,
        app: ASGIApp,
        service: StoreService,
        *,
        memory: MemoryBudget,
        offload: Offload,
        report: bool = True,
        observes: bool = False,
    ) -> None:
        self.app = app
        self.service = service
        self.memory = memory
        self.offload = offload
        self.report = report
        self.observes = observes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request through the app behind, or from the store."""
        wanted = None
        if scope["type"] == "http":
            path: bytes = scope.get("raw_path") or scope["path"].encode()
            wanted = asked(scope["method"], path, scope["query_string"])
        owner = self.service.scope(scope["headers"]) if wanted is not None else None
        if wanted is None or owner is None:
            return await self.app(scope, receive, send)
        if self.observes:
            wanted = wanted._replace(wants="maker")
        passage = _Passage(self, scope, send, owner, wanted)
        try:
            await self.app(scope, receive, passage.relay)
        finally:
            await passage.over()


class _Passage:
    """One answer of upstream's, as it passes or is held."""

    def __init__(self, options: RetrievalMiddleware, scope: Scope, send: Send, owner: str, wanted: Asked) -> None:
        self.options = options
        self.scope = scope
        self.send = send
        self.owner = owner
        self.wanted = wanted
        self.memory = Reservation(options.memory)
        self.held: HeldAnswer | None = None
        self.stall: Stall | None = None

    def relay(self, message: Message) -> Awaitable[None]:
        """Give a message on, or hold it, where it is of a 404."""
        if self.held is not None:
            return self._hold(self.held, message)
        if self.stall is not None:
            return self._follow(self.stall, message)
        if message["type"] == "http.response.start" and message["status"] == _NOT_FOUND:
            return self._begin(message)
        return self.send(message)

    async def _begin(self, start: Message) -> None:
        self.held = HeldAnswer(_NOT_FOUND, Metadata(start.get("headers", ())), start)
        self.stall = Stall(self._give_up, JUDGED)

    async def _hold(self, held: HeldAnswer, message: Message) -> None:
        piece = message.get("body", b"")
        held.add(message, piece, more=message.get("more_body", False))
        if held.is_too_long or not self.memory.may_grow(len(piece)):
            await self._give_up()
        elif held.is_whole:
            self._drop_stall()
            await self._decide(held)

    async def _give_up(self) -> None:
        """Give what is held to the client, and what follows as it arrives."""
        held, self.held = self.held, None
        for part in held.parts if held is not None else ():
            await self.send(part)

    async def _follow(self, giving_up: Stall, message: Message) -> None:
        await giving_up.over()
        await self.send(message)

    async def over(self) -> None:
        """The app has ended: an answer that broke off is given to the client as far as it arrived."""
        try:
            if self.stall is not None:
                await self.stall.over()
            await self._give_up()
        finally:
            self._drop_stall()
            self.memory.release()

    def _drop_stall(self) -> None:
        """Wait for no deadline."""
        if self.stall is not None:
            self.stall.disarm()
        self.stall = None  # it leads back here

    async def _decide(self, held: HeldAnswer) -> None:
        """Answer with the response, or with the refusal, which may get a field."""
        self.held = None
        if not is_missing(held.body()):
            return await self._answer(held.parts)
        context = context_of(self.scope)
        outcome, known = await self._look(context.request_id)
        report = (context.report or Report())._replace(store=outcome)
        if known is not None and known.response is not None and self.wanted.wants == "response":
            context.report = report._replace(action="stored")
            return await self._answer_with(held.parts[0], known.response)
        hint = Hint(made_at=known.place) if known is not None and known.place else None
        context.report = report._replace(hint=hint)
        return await self._answer(held.parts)

    async def _look(self, request_id: str) -> tuple[StoreOutcome, Answer | None]:
        """What the store knows; what will not do is looked for again: another process may be writing it just now."""
        wanted = Recall(name_of_answer(self.wanted.response_id), ())
        known: Answer | None = None
        for delay in (0.0, *AGAIN):
            found = await self.options.service.recall(self.owner, wanted._replace(delay=delay), request_id)
            if found is None:
                return "down", known
            known = await self._known(found)
            if known is not None and (known.response is not None or self.wanted.wants == "maker"):
                break
        return "miss" if known is None else "hit", known

    async def _known(self, found: Recalled) -> Answer | None:
        items = found.conversation
        if not items or not self.memory.may_grow(2 * found.size):
            return None
        if len(items[0]) <= INLINE:
            return answer(items)
        try:
            return await self.options.offload.run(self.owner, answer, items)
        except Fault:
            return None

    async def _answer_with(self, start: Message, response: bytes) -> None:
        fields = [field for field in start.get("headers", ()) if field[0].lower() not in _OF_THE_REFUSAL]
        length = (b"content-length", b"%d" % len(response))
        start = {**start, "status": 200, "headers": [*fields, (b"content-type", b"application/json"), length]}
        await self._answer([start, {"type": "http.response.body", "body": response}])

    async def _answer(self, messages: list[Message]) -> None:
        start = messages[0]
        await self.send({**start, "headers": self._reported(start.get("headers", []))})
        for message in messages[1:]:
            await self.send(message)

    def _reported(self, fields: Fields) -> Fields:
        """The fields with the report as it is now."""
        report = context_of(self.scope).report
        if report is None or not self.options.report:
            return fields
        return [*(field for field in fields if not field[0].lower().startswith(_OWN)), *report.fields()]
