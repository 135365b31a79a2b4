"""The ASGI driver: performs the steps of an `Exchange` around any ASGI app that answers for upstream.

It decides nothing. It reads the body of a request on a rewritten route, gives each attempt's body to the app, and holds
the app's answer while the exchange judges it. From the first message of an answer that is not judged on, messages pass
from the app to the client as they arrive, and all that belongs to the request is let go of: a stream may last an hour.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.drivers import loop
from proxy.drivers.attempt import Enough, HeldAnswer, attempt_fields
from proxy.drivers.memory import MemoryBudget, Reservation
from proxy.drivers.offload import Offload
from proxy.drivers.request_body import RequestBody
from proxy.drivers.stall import Stall
from proxy.drivers.work import Work
from proxy.events import Event, Observer, Observers
from proxy.http.context import answer_fault, context_of
from proxy.http.credential import credential
from proxy.http.faults import CLIENT, Fault
from proxy.http.receive import ClientGone, is_gone_within, whole
from proxy.report import Report, Route
from proxy.responses.body.size import MOST
from proxy.responses.exchange import Exchange, TooComplexError
from proxy.responses.history.recall import Recalled
from proxy.responses.policy import Policy
from proxy.responses.recovery.budget import Budget
from proxy.responses.recovery.lessons import Lessons, LessonScope
from proxy.responses.routes import route_of
from proxy.responses.steps import Forward, Recall
from proxy.store.service import StoreService


class PortableMiddleware:
    """Makes requests of the Responses API portable and recovers refused ones; passes on everything else."""

    def __init__(  # noqa: PLR0913 -- options, each with a default and a name
        self,
        app: ASGIApp,
        policy: Policy | None = None,
        *,
        observer: Observer | None = None,
        max_body: int = 64 * 1024 * 1024,
        upload_idle_timeout: float = 60.0,
        report: bool = True,
        service: StoreService | None = None,
        identity: frozenset[bytes] = frozenset(),
        memory: MemoryBudget | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.app = app
        self.policy = policy or Policy()
        self.observer = observer or Observers()
        self.max_body = max_body
        self.upload_idle_timeout = upload_idle_timeout
        self.report = report
        self.service = service
        self.identity = identity
        self.memory = memory or MemoryBudget()
        self.lessons = Lessons()
        self.clock = clock
        self.budget = Budget(self.policy)
        self.offload = Offload()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request through the app behind."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        route = route_of(scope["method"], scope.get("raw_path") or scope["path"].encode())
        call = _Call(self, scope, receive, send, route)
        if route == "other":
            return await call.pass_on(Report())
        memory = Reservation(self.memory)
        try:
            await call.perform(memory)
        except Fault as fault:
            await answer_fault(fault, scope, send)
        except ClientGone:
            return None
        finally:
            memory.release()


class _Call:
    """One request of one client."""

    def __init__(self, options: PortableMiddleware, scope: Scope, receive: Receive, send: Send, route: Route) -> None:
        self.options = options
        self.scope = scope
        self.receive = receive
        self.send = send
        self.route = route
        self.context = context_of(scope)
        self.credential = ""

    async def pass_on(self, report: Report, receive: Receive | None = None) -> None:
        """Let the app answer; `receive` begins with what has been taken of the body already."""

        def relay(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message = self.reported(message, report)
            return self.send(message)

        await self.options.app(self.scope, receive or self.receive, relay)

    def reported(self, start: Message, report: Report) -> Message:
        """`start` with the report's fields."""
        self.context.report = report
        if not self.options.report:
            return start
        return {**start, "headers": [*start.get("headers", ()), *report.fields()]}

    async def perform(self, memory: Reservation) -> None:
        """Read the body, and send it in the forms the exchange says until one is answered."""
        options = self.options
        self.credential = credential(self.scope["headers"], options.identity) or ""
        body = RequestBody(
            self.scope["headers"],
            self.receive,
            limit=options.max_body,
            idle=options.upload_idle_timeout,
            strict=options.policy.mode == "strip",
            memory=memory,
            offload=options.offload,
            caller=self.credential,
        )
        plain = await body.take()
        if plain is None:
            return await self.pass_on(Report(action="unread"), body.replay)
        now = options.clock()
        scope = LessonScope(options.lessons, self.credential, now)
        exchange = Exchange(plain, options.budget.admit(self.credential, now), route=self.route, scope=scope)
        try:
            await _Performer(self, exchange, memory, body.body, plain).run()
        except TooComplexError:
            message = f"The request body holds more than {MOST} values."
            raise Fault(413, "request_too_complex", message, kind=CLIENT) from None

    def notice(self, events: list[Event]) -> None:
        """Tell the observer the facts, and take them out of the list."""
        for event in events:
            self.options.observer.notice(self.context.request_id, event)
        events.clear()

    def spend(self) -> None:
        """Take an attempt that failed out of the budget."""
        exceeded = self.options.budget.spend(self.credential, 1, self.options.clock())
        if exceeded is not None:
            self.notice([exceeded])


class _Performer:
    """Performs the steps of one exchange: `body` is what the client sent, `plain` the same decoded."""

    def __init__(self, call: _Call, exchange: Exchange, memory: Reservation, body: bytes, plain: bytes) -> None:
        self.call = call
        self.memory = memory
        self.exchange = exchange
        self.steps = exchange.steps()
        self.body = body
        self.plain = plain
        self.first: HeldAnswer | None = None
        self.held: HeldAnswer | None = None
        self.sent: Scope = {}
        self.count = 0
        self.work = Work(call.options.offload, call.credential, memory)
        self.compute = self.work.perform
        self.committed = False
        self.stall: Stall | None = None

    async def run(self) -> None:
        """Perform the steps, and give the client the first refusal where nothing else is left."""
        relay = await loop.run(self.steps, self)
        if relay is None or self.first is None:
            return
        if self.count > 1:
            self.call.spend()
        await self._commit(self.first.parts)

    async def recall(self, step: Recall) -> Recalled | None:
        """Ask the store on behalf of the request's caller."""
        service = self.call.options.service
        if service is None:
            return None
        found = await service.recall(service.scope(self.call.scope["headers"]), step, self.call.context.request_id)
        if found is not None:
            self.memory.grow(2 * found.size)  # with the body that is made of it
        return found

    async def forward(self, step: Forward) -> tuple[int, bytes] | None:
        """Give the app a body; the refusal that it answers, unless the client was given the answer or has left."""
        if self.count > 1:
            self.call.spend()  # the attempt before, which was a recovery, was refused
        self.call.notice(self.exchange.events)
        if step.delay and await is_gone_within(self.call.receive, step.delay):
            return None
        self.count += 1
        scope, receive = self._outgoing(step.body)
        del step
        stalled = False
        with suppress(Enough):
            stalled = await self._answer(scope, receive)
        if self.committed or self.held is None:
            return None
        if not (self.held.is_too_long or self.held.is_whole or stalled):
            await self._commit(self.held.parts)  # it broke off: the client gets what arrived of it, visibly cut
            return None
        self.first = self.first or self.held
        if self.work.is_spent:
            self.exchange.exhaust()
        return self.held.status, self.held.body()

    async def _answer(self, scope: Scope, receive: Receive) -> bool:
        """Let the app answer an attempt; whether that is a later refusal that stalled."""
        try:
            await self.call.options.app(scope, receive, self._take)
            if self.stall is not None:
                await self.stall.over()
        except asyncio.CancelledError as reason:
            if self.stall is None or not self.stall.explains(reason):
                raise
            return True
        finally:
            if self.stall is not None:
                self.stall.disarm()
            self.stall = None  # it leads back here: what belongs to the request would wait for a collector
        return False

    async def _give_up(self) -> None:
        """Do not wait for the rest of a refusal: relay it as it arrives, or the first one in the place of a later."""
        if self.committed or self.held is None or self.held.is_whole or self.held.is_too_long:
            return
        if self.first is None:
            await self._commit(self.held.parts)
        elif self.stall is not None:
            self.stall.cut()

    def _outgoing(self, body: bytes) -> tuple[Scope, Receive]:
        """The scope and the `receive` of an attempt; where nothing changed, the body as the client encoded it."""
        self.held = None
        changed = body is not self.plain
        if changed:
            self.memory.grow(len(body))
        body = body if changed else self.body
        fields = attempt_fields(self.call.scope["headers"], len(body), changed=changed, first=self.count == 1)
        self.sent = {**self.call.scope, "headers": fields}
        return self.sent, whole(body, self.call.receive)

    def _take(self, message: Message) -> Awaitable[None]:
        """Take a message of the app's: hold it if it belongs to a refusal, give it to the client otherwise."""
        if self.committed:
            return self.call.send(message) if self.stall is None else self._follow(self.stall, message)
        if message["type"] == "http.response.start" and not self.exchange.judges(message["status"]):
            return self._commit([message])
        return self._hold(message)

    async def _follow(self, stall: Stall, message: Message) -> None:
        """Give the client a message behind those that were held."""
        await stall.over()
        await self.call.send(message)

    async def _hold(self, message: Message) -> None:
        if self.held is None:
            self.held = HeldAnswer(message["status"], message.get("headers", []), message)
            self.stall = Stall(self._give_up)
            return
        piece = message.get("body", b"")
        self.held.add(message, piece, more=message.get("more_body", False))
        if self.held.is_too_long or not self.memory.may_grow(len(piece)):
            if self.first is not None:
                raise Enough
            await self._commit(self.held.parts)

    async def _commit(self, messages: list[Message]) -> None:
        """Give the client the beginning of its answer; what follows goes straight to it."""
        self.committed = True
        report = self.exchange.settle(messages[0]["status"])
        if self.call.options.service is not None:
            self.call.context.request_record = self.exchange.record()
        self.call.notice(self.exchange.events)
        self.steps.close()
        self.memory.release()
        del self.exchange, self.steps, self.body, self.plain, self.first, self.held
        self.call.scope["headers"] = self.sent["headers"] = []
        await self.call.send(self.call.reported(messages[0], report))
        for message in messages[1:]:
            await self.call.send(message)
