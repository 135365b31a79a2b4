"""Drives an `Exchange` around any ASGI app that answers for upstream.

Performs what the core decides and holds no opinions: reads a request's body, hands bodies to the app, holds refusals
while they are judged, and lets everything else through as it comes.
"""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.drivers.offload import Ask, first_step, is_large, next_step
from proxy.drivers.request_body import Intake
from proxy.events import Observer, Observers
from proxy.http import content_coding
from proxy.http.context import answer_fault, context_of
from proxy.http.credential import credential
from proxy.http.faults import Fault
from proxy.http.receive import ClientGone, whole
from proxy.report import Report, Route
from proxy.responses.body.size import MOST
from proxy.responses.exchange import Exchange
from proxy.responses.policy import Policy
from proxy.responses.recovery.budget import Budget
from proxy.responses.recovery.lessons import Lessons
from proxy.responses.recovery.lessons import Scope as LessonScope
from proxy.responses.routes import route_of
from proxy.responses.steps import Forward, Relay
from proxy.store.service import Keeper

# What tells the length, the coding or the digest of a body that is sent in another form.
_OF_THE_BODY: Final = frozenset({b"content-encoding", b"content-md5", b"content-digest", b"digest"})
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
# Whoever read the body has met the expectation (RFC 9110, 10.1.1).
_MET: Final = frozenset({b"expect"})
# It stands for one request: with another body it would be refused, or answered with what was answered before.
_GONE: Final = {False: _MET, True: _MET | _OF_THE_BODY}
"""By whether the body is sent in another form: fields that do not go with it."""
_FIRST_ONLY: Final = frozenset({b"idempotency-key"})
HELD: Final = 1024 * 1024
"""Bytes of a refusal that are held, and decoded, to be judged."""


class PortableMiddleware:
    """Makes requests of the Responses API portable and recovers refused ones; passes on everything else."""

    def __init__(  # noqa: PLR0913 -- options, each with a default and a name
        self,
        app: ASGIApp,
        policy: Policy | None = None,
        *,
        observer: Observer | None = None,
        upstream: str = "",
        max_body: int = 64 * 1024 * 1024,
        upload_idle_timeout: float = 60.0,
        report: bool = True,
        keeper: Keeper | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.app = app
        self.policy = policy or Policy()
        self.observer = observer or Observers()
        self.upstream = upstream
        self.max_body = max_body
        self.upload_idle_timeout = upload_idle_timeout
        self.report = report
        self.keeper = keeper
        self.lessons = Lessons()
        self.clock = clock
        self.budget = Budget(self.policy)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request through the app behind."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        route = route_of(scope["method"], scope.get("raw_path") or scope["path"].encode())
        call = _Call(self, scope, receive, send, route)
        if route == "other":
            return await call.pass_on(Report())
        try:
            await call.perform()
        except Fault as fault:
            await answer_fault(fault, scope, send)
        except ClientGone:
            return None


class _Call:
    """One request of one client."""

    def __init__(self, options: PortableMiddleware, scope: Scope, receive: Receive, send: Send, route: Route) -> None:
        self.options = options
        self.scope = scope
        self.receive = receive
        self.send = send
        self.route = route
        self.context = context_of(scope)

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

    async def perform(self) -> None:
        """Read the body, and send it in the forms the exchange says until one is answered."""
        attempts = await self._attempts()
        if attempts is not None:
            await attempts.run()

    async def _attempts(self) -> "_Attempts | None":
        """What is to be tried for the body that comes; None where it cannot be read, and has been passed on."""
        options = self.options
        intake = Intake(
            self.scope["headers"],
            self.receive,
            limit=options.max_body,
            idle=options.upload_idle_timeout,
            strict=options.policy.mode == "strip",
        )
        plain = await intake.take()
        if plain is None:
            await self.pass_on(Report(action="unread"), intake.replay)
            return None
        scope = self._lesson_scope()
        if options.keeper or is_large(plain):
            scope = scope.extract()
        exchange = Exchange(plain, options.budget.admit(scope.now), route=self.route, scope=scope)
        keeper = options.keeper
        ask = None if keeper is None else partial(keeper.recall, keeper.scope(self.scope["headers"]))
        step = await first_step(exchange, plain, ask)
        if step is None:
            intake.leave_unread("request_too_complex", f"The request body holds more than {MOST} values.")
            await self.pass_on(Report(action="unread"), intake.replay)
            return None
        return _Attempts(self, exchange, intake.body, plain, step, ask)

    def _lesson_scope(self) -> LessonScope:
        return LessonScope(
            self.options.lessons, credential(self.scope["headers"]) or "", self.options.upstream, self.options.clock()
        )

    def tell(self, exchange: Exchange) -> None:
        """Tell the observer what happened since the last time."""
        for event in exchange.events:
            self.options.observer.notice(self.context.request_id, event)
        exchange.events.clear()

    def spend(self) -> None:
        """Take an attempt after the first out of the budget."""
        exceeded = self.options.budget.spend()
        if exceeded is not None:
            self.options.observer.notice(self.context.request_id, exceeded)


class _Attempts:
    """The attempts of one exchange, and what is held of their refusals.

    Bodies, fields and exchange are forgotten when the answer begins: a stream may last an hour.
    """

    def __init__(  # noqa: PLR0913, PLR0917 -- what there is to work with
        self, call: _Call, exchange: Exchange, body: bytes, plain: bytes, step: Forward, ask: Ask | None
    ) -> None:
        self.call = call
        self.exchange = exchange
        self.body = body
        self.plain = plain
        self.ask = ask
        self.step: Forward | Relay = step
        self.sent: MutableMapping[str, Any] = {}
        self.first: list[Message] = []
        self.held: list[Message] = []
        self.size = 0
        self.count = 0
        self.committed = False

    async def run(self) -> None:
        while isinstance(self.step, Forward):
            self.call.tell(self.exchange)
            if self.step.delay and await self._left(self.step.delay):
                return
            await self._attempt()
            if self.committed or not self.held:
                return
            if self.size <= HELD and _is_cut(self.held[-1]):
                await self._commit(self.held)  # broken off: the client is given what came of it, and no more
                return
            self.first = self.first or self.held
            self.step = await next_step(self.exchange, self.plain, self.held[0]["status"], self._refusal(), self.ask)
            if self.count == 1 and isinstance(self.step, Forward):
                self.call.spend()
        await self._commit(self.first)

    async def _left(self, seconds: float) -> bool:
        """Wait; whether the client left meanwhile."""
        with anyio.move_on_after(seconds):
            while (await self.call.receive())["type"] != "http.disconnect":
                pass
            return True
        return False

    async def _attempt(self) -> None:
        self.count += 1
        self.held = []
        self.size = 0
        with suppress(_Enough):
            await self.call.options.app(*self._outgoing(), self._take)

    def _outgoing(self) -> tuple[Scope, Receive]:
        """The scope and the `receive` with which the app is asked."""
        changed = isinstance(self.step, Forward) and self.step.body is not self.plain
        body = self.step.body if isinstance(self.step, Forward) and changed else self.body
        self.sent = {**self.call.scope, "headers": self._fields(len(body), changed=changed)}
        return self.sent, whole(body, self.call.receive)

    def _fields(self, length: int, *, changed: bool) -> list[tuple[bytes, bytes]]:
        """The request's fields for a body of `length` bytes, the length in its old place."""
        gone = _GONE[changed] if self.count == 1 else _GONE[changed] | _FIRST_ONLY
        fields = [field for field in self.call.scope["headers"] if field[0] not in gone]
        framing = [place for place, (name, _) in enumerate(fields) if name in _FRAMING]
        for place in reversed(framing):
            fields[place : place + 1] = [(b"content-length", b"%d" % length)] if place == framing[0] else []
        return fields

    def _take(self, message: Message) -> Awaitable[None]:
        """Take a message of the app's: hold it if it belongs to a refusal, relay it otherwise."""
        if self.committed:
            return self.call.send(message)
        if message["type"] == "http.response.start" and not self.exchange.judges(message["status"]):
            return self._commit([message])
        return self._hold(message)

    async def _hold(self, message: Message) -> None:
        self.held.append(message)
        self.size += len(message.get("body", b""))
        if self.size > HELD:
            if self.first:
                raise _Enough
            await self._commit(self.held)

    async def _commit(self, messages: list[Message]) -> None:
        """Give the client the beginning of its answer; what follows goes straight to it."""
        self.committed = True
        report = self.exchange.settle(messages[0]["status"])
        if self.ask is not None:
            self.call.context.request_record = self.exchange.asked
        self.call.tell(self.exchange)
        del self.exchange, self.step, self.body, self.plain, self.first
        self.call.scope["headers"] = self.sent["headers"] = []
        await self.call.send(self.call.reported(messages[0], report))
        for message in messages[1:]:
            await self.call.send(message)

    def _refusal(self) -> bytes:
        """The body of the refusal that is held, decoded as far as it can be."""
        body = b"".join(message.get("body", b"") for message in self.held[1:])
        coding = content_coding.coding_of([(name.lower(), value) for name, value in self.held[0].get("headers", ())])
        if not content_coding.is_known(coding):
            return b""
        try:
            return content_coding.decode(coding, body, HELD)
        except (content_coding.CorruptError, content_coding.TooLargeError):
            return b""


class _Enough(Exception):  # noqa: N818 -- no error: nothing more of this answer is wanted
    """A later refusal is too long to be held; the first one will be relayed."""


def _is_cut(last: Message) -> bool:
    """Whether an answer of which `last` is the last message has not come to its end."""
    return last["type"] == "http.response.start" or bool(last.get("more_body", False))
