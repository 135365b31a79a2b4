"""One request that concerns the conversations of a store: it performs what is to be done, and says so.

Under `/conversations` it answers from the store; a request for a response that names a conversation goes on with its
history in it; the end of a response in the background is written where a conversation waits for it.
"""

import secrets
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.drivers.attempt import attempt_fields
from proxy.drivers.conversation_routes import Place, Request, Routes
from proxy.drivers.conversation_turn import Conversation, History, TurnInProgress, finish_waiting
from proxy.drivers.memory import MemoryBudget, Reservation
from proxy.drivers.offload import Offload
from proxy.drivers.request_body import RequestBody
from proxy.drivers.work import Work
from proxy.http.context import Sent, context_of
from proxy.report import Action, Fidelity, Report, StoreOutcome
from proxy.responses.body.size import cost_of
from proxy.responses.conversations import refused
from proxy.responses.conversations.asked import Question, may_name_one, question
from proxy.responses.conversations.refused import Refused
from proxy.responses.history.recording import Made
from proxy.responses.steps import Compute
from proxy.store.conversation_service import ConversationService, UnavailableError

_DELETED: Final = frozenset({200, 204})
_COUNT: Final = b"/input_tokens"


@dataclass(frozen=True, slots=True)
class Options:
    """What all requests share."""

    app: ASGIApp
    """Answers what is not known here."""
    service: ConversationService
    resolved: ASGIApp | None
    """Answers what has its history; None: requests for responses are left as they came."""
    largest: int = 64 * 1024 * 1024
    """Bytes of a conversation."""
    max_body: int = 64 * 1024 * 1024
    upload_idle_timeout: float = 60.0
    remembers_all: bool = False
    report: bool = True
    memory: MemoryBudget = field(default_factory=MemoryBudget)
    offload: Offload = field(default_factory=Offload)


class Call:
    """One request of an owner."""

    def __init__(  # noqa: PLR0913, PLR0917 -- an ASGI call, and whose it is
        self,
        options: Options,
        scope: Scope,
        receive: Receive,
        send: Send,
        memory: Reservation,
        owner: str,
    ) -> None:
        self.options = options
        self.scope = scope
        self.receive = receive
        self.send = send
        self.memory = memory
        self.owner = owner
        self.context = context_of(scope)
        self.routes = Routes(options.service, options.largest)
        self.work = Work(options.offload, owner, memory)

    def _body(self, *, strict: bool) -> RequestBody:
        options = self.options
        return RequestBody(
            self.scope["headers"],
            self.receive,
            self.context,
            limit=options.max_body,
            idle=options.upload_idle_timeout,
            strict=strict,
            memory=self.memory,
            offload=options.offload,
            caller=self.owner,
        )

    async def _pass_on(self, receive: Receive) -> None:
        self.memory.release()
        await self.options.app(self.scope, receive, self.send)

    # Requests under `/conversations`.

    async def answer(self, place: Place) -> None:
        """Answer from the store; what it does not know is for upstream."""
        receive, body = self.receive, None
        if self.scope["method"] == "POST":
            taken = self._body(strict=True)
            body = await taken.take()
            receive = taken.replay
        asked = Request(
            owner=self.owner,
            place=place,
            query=self.scope["query_string"].decode("latin-1"),
            body=body,
            request_id=self.context.request_id,
        )
        try:
            found = await self.routes.answer(self.scope["method"], asked, self.work, self.memory.grow)
        except Refused as refusal:
            return await self._answered(refusal.status, refusal.body)
        return await (self._pass_on(receive) if found is None else self._answered(200, found))

    async def _answered(self, status: int, body: bytes) -> None:
        self.context.report = Report("stored", attempts=0)
        fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        fields += self.context.report.fields() if self.options.report else []
        await self.send({"type": "http.response.start", "status": status, "headers": fields})
        await self.send({"type": "http.response.body", "body": body})

    # Responses in a conversation.

    async def respond(self) -> None:
        """Send a request that names a conversation with its history; any other passes as it came."""
        try:
            outgoing = await self._outgoing()
        except Refused as refusal:
            return await self._answered(refusal.status, refusal.body)
        # Nothing of the request is held here while its answer streams.
        try:
            await outgoing.app(outgoing.scope, outgoing.receive, outgoing.send)
        finally:
            if outgoing.turn is not None:
                await self.options.service.finish(outgoing.turn.over())

    async def _outgoing(self) -> "_Outgoing":
        """The request as it goes on. Raises Refused, and UnavailableError."""
        taken = self._body(strict=False)
        body = await taken.take()
        asked: Question | None = None
        if body is not None and may_name_one(body):
            read = partial(question, body, secrets.token_bytes(16))
            asked = await self.work.perform(Compute(read, cost_of(body)))
        outgoing = await self._continued(asked) if asked is not None else None
        if outgoing is None:
            self.memory.release()
            return _Outgoing(self.options.app, self.scope, taken.replay, self.send)
        return outgoing

    async def _continued(self, asked: Question) -> "_Outgoing | None":
        """The request with its history; None where that is not known."""
        options, path = self.options, self.scope.get("raw_path") or self.scope["path"].encode()
        conversation = Conversation(options.service, self.owner, asked, options.largest, self.context.request_id)
        if path.endswith(_COUNT):
            history = await conversation.history(self.memory.grow)
            return await self._with_history(conversation, history, None) if history is not None else None
        held = await options.service.lock(self.owner, asked.conversation_id, self.context.request_id)
        if held == "held":
            raise refused.locked()
        if held == "unknown":
            return None
        turn = TurnInProgress(options.service, held.lock, keeps_response=options.remembers_all or asked.stores)
        outgoing = None
        try:
            conversation.check(held.ledger)
            async with turn.asking(asked.kept, held.ledger.next, self.context.request_id):
                history = await conversation.items(held.ledger, self.memory.grow)
                if history is not None:
                    outgoing = await self._with_history(conversation, history, turn)
            return outgoing
        finally:
            if outgoing is None or not turn.is_asked:
                await options.service.finish(turn.over())

    async def _with_history(
        self, conversation: Conversation, history: History, turn: TurnInProgress | None
    ) -> "_Outgoing":
        body = await conversation.body(history, self.work)
        if len(body) > self.options.max_body:
            raise refused.too_large(self.options.max_body)
        record = conversation.record(history) if turn is not None and turn.keeps_response else None
        answer = _Answer(self, conversation.question.conversation_id, turn, record, has_gap=history.ledger.has_gap)
        fields = attempt_fields(self.scope["headers"], len(body), changed=True, first=True)
        app = self.options.resolved or self.options.app
        return _Outgoing(app, {**self.scope, "headers": fields}, self._given([body]), answer.relay, turn)

    def _given(self, body: list[bytes]) -> Receive:
        """A `receive` that gives the body, which from then on is counted where it is taken."""

        async def given() -> Message:
            if not body:
                return await self.receive()
            self.memory.release()
            return {"type": "http.request", "body": body.pop(), "more_body": False}

        return given

    # Responses in the background.

    async def watch(self, response_id: str) -> None:
        """Pass on a request for a response; where a conversation waits for it, its end is written there."""
        heard: list[Made] = []
        self.context.hears = heard.append
        await self.options.app(self.scope, self.receive, self.send)
        self.context.hears = None
        made = heard[-1] if heard else None
        if made is not None and made.response_id == response_id and made.background and (made.finished or made.failed):
            await self.options.service.finish(self._finished(made))

    async def forget(self, response_id: str) -> None:
        """Pass on the end of a response: a conversation that waits for it goes on without."""
        status = 0

        def relay(message: Message) -> Sent:
            nonlocal status
            status = message.get("status", status)
            return self.send(message)

        await self.options.app(self.scope, self.receive, relay)
        if status in _DELETED:
            gone = Made(response_id, finished=False, background=True, stored=False, output=(), failed=True)
            await self.options.service.finish(self._finished(gone))

    async def _finished(self, made: Made) -> None:
        try:
            await finish_waiting(self.options.service, self.owner, made)
        except UnavailableError:
            return


class _Outgoing(NamedTuple):
    """A request on its way to the app behind."""

    app: ASGIApp
    scope: Scope
    receive: Receive
    send: Send
    turn: TurnInProgress | None = None


class _Answer:
    """The answer to a request with its history, on its way to the client."""

    def __init__(
        self, call: Call, conversation_id: str, turn: TurnInProgress | None, record: Compute | None, *, has_gap: bool
    ) -> None:
        self.call = call
        self.conversation_id = conversation_id
        self.turn = turn
        self.record = record
        self.has_gap = has_gap
        self.answers = False

    def relay(self, message: Message) -> Sent:
        """Give a message on; its first with what is to be said of the conversation."""
        if message["type"] == "http.response.start":
            message = self._reported(message)
            self.answers = message["status"] < 300
            if self.turn is not None and self.answers:
                self.call.context.hears = self.turn.hear
                self.call.context.request_record = self.record
            self.record = None
        elif self.turn is not None and not message.get("more_body", False):
            self.turn.was_answered = self.answers
        return self.call.send(message)

    def _reported(self, start: Message) -> Message:
        context = self.call.context
        before = context.report
        if before is None:  # a fault of ours
            return start
        action: Action = "rewritten" if before.action == "passthrough" else before.action
        fidelity: Fidelity = "lossy" if self.has_gap else "lossless" if before.fidelity == "exact" else before.fidelity
        store: StoreOutcome = "gap" if self.has_gap else before.store or "hit"
        context.report = before._replace(action=action, fidelity=fidelity, store=store)
        if not self.call.options.report:
            return start
        ours = {name for name, _ in before.fields()}
        others = [named for named in start.get("headers", ()) if named[0] not in ours]
        conversation = (b"x-unpinned-conversation", self.conversation_id.encode())
        return {**start, "headers": [*others, *context.report.fields(), conversation]}
