"""The ASGI driver's part in one exchange: performs its steps, holds what is to be judged, and commits to an answer."""

import asyncio
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Final, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.drivers import loop
from proxy.drivers.attempt import Enough, HeldAnswer, attempt_fields, may_tell
from proxy.drivers.memory import Reservation
from proxy.drivers.offload import Offload
from proxy.drivers.stall import Stall
from proxy.drivers.work import Work
from proxy.events import Event, LeftOutByUpstream
from proxy.http.context import RequestContext
from proxy.http.receive import is_gone_within, whole
from proxy.report import LeftOut, Report
from proxy.responses.exchange import Exchange
from proxy.responses.history.recall import Recalled
from proxy.responses.left_out import left_out
from proxy.responses.steps import Forward, Recall
from proxy.store.service import StoreService

_NOTHING: Final[Mapping[LeftOut, int]] = MappingProxyType({})


class Options(Protocol):
    """What all requests share."""

    offload: Offload

    @property
    def app(self) -> ASGIApp:
        """Answers for upstream."""

    @property
    def service(self) -> StoreService | None:
        """The store, where there is one."""


class Call(Protocol):
    """One request of one client, and what is said of it."""

    scope: Scope
    receive: Receive
    send: Send
    context: RequestContext
    credential: str

    @property
    def options(self) -> Options:
        """What all requests share."""

    def notice(self, events: list[Event]) -> None:
        """Tell the observer the facts, and take them out of the list."""

    def spend(self) -> None:
        """Take an attempt that failed out of the budget."""

    def reported(self, start: Message, report: Report) -> Message:
        """The beginning of an answer with the report's fields."""


class Performer:
    """Performs the steps of one exchange: `body` is what the client sent, `plain` the same decoded."""

    def __init__(self, call: Call, exchange: Exchange, memory: Reservation, body: bytes, plain: bytes) -> None:
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
        self.watches = False

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
        if self.held.status < 400:
            await self._commit(self.held.parts, left_out(self.held.body()))
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
        if self.first is None or self.held.status < 400:
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
            if self.watches:
                self._watch(message.get("body", b""))
            return self.call.send(message) if self.stall is None else self._follow(self.stall, message)
        if message["type"] == "http.response.start" and not self.exchange.judges(message["status"]):
            told = may_tell(message["status"], message.get("headers", [])) if self.exchange.holds_blobs else "nothing"
            self.watches = told == "in an event"
            if told != "at the end":
                return self._commit([message])
        return self._hold(message)

    def _watch(self, piece: bytes) -> None:
        """Say what upstream left out, where an event of its answer says so."""
        found = left_out(piece)
        if found:
            self.call.notice([LeftOutByUpstream(self.call.credential, tuple(found.items()))])

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
            if self.first is not None and self.held.status >= 400:
                raise Enough
            await self._commit(self.held.parts)

    async def _commit(self, messages: list[Message], missing: Mapping[LeftOut, int] = _NOTHING) -> None:
        """Give the client the beginning of its answer; what follows goes straight to it."""
        self.committed = True
        report = self.exchange.settle(messages[0]["status"])
        if missing:
            report = report._replace(left_out=missing)
            self.exchange.events.append(LeftOutByUpstream(self.call.credential, tuple(missing.items())))
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
