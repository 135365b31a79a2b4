"""The ASGI driver's part in one exchange: performs its steps, holds what is to be judged, and commits to an answer."""

import asyncio
from collections.abc import Awaitable, Mapping

from starlette.types import Message, Receive, Scope

from proxy.drivers import first_events, loop
from proxy.drivers.attempt import Enough, HeldAnswer, HeldStream, attempt_fields, holding, settled
from proxy.drivers.interface import Call
from proxy.drivers.memory import Reservation
from proxy.drivers.stall import Stall
from proxy.drivers.work import Work
from proxy.events import LeftOutByUpstream
from proxy.http.receive import is_gone_within, whole
from proxy.report import LeftOut
from proxy.responses import early
from proxy.responses.exchange import Exchange
from proxy.responses.history.recall import Recalled
from proxy.responses.left_out import NOTHING, left_out
from proxy.responses.steps import Forward, Recall


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
        self.held_since = 0.0

    async def run(self) -> None:
        """Perform the steps, and give the client the first refusal where nothing else is left."""
        relay = await loop.run(self.steps, self)
        if relay is None or self.first is None:
            return
        if self.count > 1:
            self.call.spend()
        await self._commit(self.first.parts, self.first.status)

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
        was_cut = await self._answer(scope, receive)
        if self.committed or self.held is None:
            return None
        held = self.held
        if not held.is_refusal or not (held.is_whole or was_cut):
            await self._commit_held(held, held.status)  # where it broke off: what arrived of it, visibly cut
            return None
        self._count_wait()
        self.first = self.first or held
        if self.work.is_spent:
            self.exchange.exhaust()
        return held.said

    async def _answer(self, scope: Scope, receive: Receive) -> bool:
        """Let the app answer an attempt; whether that is a refusal of which the rest was cut off here."""
        try:
            await self.call.options.app(scope, receive, self._take)
            if self.stall is not None:
                await self.stall.over()
        except Enough:
            return True
        except (Exception, asyncio.CancelledError) as reason:
            if self.stall is not None and isinstance(reason, asyncio.CancelledError) and self.stall.explains(reason):
                return True
            if not self.committed and self.held is not None:
                # Upstream has answered: a fault of ours would hide that.
                await self._commit_held(self.held, self.held.status)
            raise
        finally:
            self._drop_stall()
        return False

    async def _give_up(self) -> None:
        """Do not wait for the rest of an answer: relay it as it arrives, or go on with what a refusal has said."""
        if self.committed or self.held is None or self.held.is_whole or self.held.is_too_long:
            return
        held = self.held
        if not held.is_enough(follows_refusal=self.first is not None):
            await self._commit_held(held, held.status)
        elif self.stall is not None:
            self.stall.cut()

    def _drop_stall(self) -> None:
        """Wait for no deadline: an answer is over, or passes on from here as it arrives."""
        if self.stall is not None:
            self.stall.disarm()
        self.stall = None  # it leads back here: what belongs to the request would wait for a collector

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
        if self.held is not None:
            return self._hold(self.held, message)
        status, fields = message["status"], message.get("headers", [])
        held, seconds, self.watches = holding(self.exchange, status, fields, message)
        if held is not None:
            return self._begin_to_hold(held, seconds)
        return self._commit([message], status)

    def _watch(self, piece: bytes) -> None:
        """Say what upstream left out, where an event of its answer says so."""
        found = left_out(piece)
        if found:
            self.call.notice([LeftOutByUpstream(self.call.credential, tuple(found.items()))])

    async def _follow(self, giving_up: Stall, message: Message) -> None:
        """Give the client a message behind those that were held."""
        await giving_up.over()
        self._drop_stall()
        await self.call.send(message)

    async def _begin_to_hold(self, held: HeldAnswer, seconds: float) -> None:
        """Hold an answer, for so many seconds from its head."""
        self.held = held
        self.stall = Stall(self._give_up, seconds)
        self.held_since = self.call.options.clock()

    async def _hold(self, held: HeldAnswer, message: Message) -> None:
        """Hold a piece of an answer, and commit to the answer if there is no reason to hold it any longer."""
        piece = message.get("body", b"")
        held.add(message, piece, more=message.get("more_body", False))
        if held.is_too_long or not self.memory.may_grow(len(piece)):
            if held.is_enough(follows_refusal=self.first is not None):
                raise Enough
            await self._relay_held(held, held.status)
        elif isinstance(held, HeldStream) and not held.is_understood:
            await self._look_at(held, piece)

    async def _look_at(self, held: HeldStream, piece: bytes) -> None:
        """Do what the first events of a stream say."""
        had_event = held.events.has_event
        verdict = held.verdict(piece)
        if verdict == "hold":
            if held.events.has_event and not had_event:
                self._wait_for(early.AFTER_FIRST_EVENT)
        elif verdict == "commit":
            await self._relay_held(held, held.status)
        else:
            again = self.first is not None
            refuses = await first_events.refuses(self.exchange, self.work, verdict, again=again)
            if self.committed:
                return  # the time was over meanwhile
            if refuses:
                held.refusal = verdict
                self._wait_for(early.UNTIL_END)
            else:
                await self._relay_held(held, verdict.status)

    def _wait_for(self, seconds: float) -> None:
        """Hold the answer for so many seconds from now."""
        if self.stall is not None:
            self.stall.rearm(seconds)

    def _count_wait(self) -> None:
        """Count the time for which an answer was held: it was spent waiting for upstream."""
        self.call.context.upstream_wait += self.call.options.clock() - self.held_since

    async def _relay_held(self, held: HeldAnswer, status: int) -> None:
        """Commit to an answer that was held, and wait for no deadline any more."""
        await self._commit_held(held, status)
        self._drop_stall()

    async def _commit_held(self, held: HeldAnswer, status: int) -> None:
        """Give the client an answer that was held, in the pieces in which it arrived; `status` is what it says."""
        self._count_wait()
        found = left_out(held.body()) if self.exchange.holds_blobs and not held.is_refusal else NOTHING
        self.watches = self.watches and not found
        await self._commit(held.parts, status, found)

    async def _commit(self, messages: list[Message], status: int, missing: Mapping[LeftOut, int] = NOTHING) -> None:
        """Give the client the beginning of its answer; what follows goes straight to it."""
        self.committed = True
        report = settled(self.exchange, status, self.call.credential, missing)
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
