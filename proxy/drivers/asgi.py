"""The ASGI driver: performs the steps of an `Exchange` around any ASGI app that answers for upstream.

It decides nothing. It reads the body of a request on a rewritten route, gives each attempt's body to the app, and holds
the app's answer while the exchange judges it. From the first message of an answer that is not judged on, messages pass
from the app to the client as they arrive, and all that belongs to the request is let go of: a stream may last an hour.
"""

import time
from collections.abc import Callable
from copy import copy

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.drivers.attempt import too_complex
from proxy.drivers.memory import MemoryBudget, Reservation
from proxy.drivers.offload import Offload
from proxy.drivers.performer import Performer
from proxy.drivers.recorder import Recording
from proxy.drivers.request_body import RequestBody
from proxy.drivers.session import Conversation
from proxy.events import Event, Observer, Observers
from proxy.http.context import Sent, answer_fault, context_of
from proxy.http.credential import credential
from proxy.http.faults import Fault
from proxy.http.receive import ClientGone
from proxy.report import Report, Route
from proxy.responses.body.model_name import model_name
from proxy.responses.body.size import TooComplexError
from proxy.responses.exchange import Exchange
from proxy.responses.policy import Policy
from proxy.responses.recovery.budget import Budget
from proxy.responses.recovery.lessons import Lessons, LessonScope
from proxy.responses.routes import route_of
from proxy.store.service import StoreService


class PortableMiddleware:
    """Makes requests of the Responses API portable and recovers refused ones; passes on everything else.

    `app` answers for upstream: a `ReverseProxy`, or a gateway of one's own.

    ```python
    from unpinned import Policy, PortableMiddleware, ReverseProxy

    app = PortableMiddleware(ReverseProxy.to("https://api.openai.com/v1"), Policy(mode="strip"))
    ```
    """

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
        names_model: bool = False,
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
        self.names_model = names_model
        self.lessons = Lessons()
        self.clock = clock
        self.budget = Budget(self.policy)
        self.offload = Offload()
        self.recording: Recording | None = None
        if service is not None:
            self.recording = Recording(service, remembers_all=self.policy.remembers_all, offload=self.offload)

    def with_policy(self, policy: Policy) -> "PortableMiddleware":
        """The same with another policy, with lessons and a budget of its own."""
        other = copy(self)
        other.policy, other.budget, other.lessons = policy, Budget(policy), Lessons()
        return other

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request through the app behind."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        route = route_of(scope["method"], scope.get("raw_path") or scope["path"].encode())
        call = Call(self, scope, receive, send, route)
        socket = call.context.socket
        if socket is not None and socket.kind == "session":
            call.context.conversation = Conversation(self, scope)
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


class Call:
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

        def relay(message: Message) -> Sent:
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
            self.context,
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
        if options.names_model:
            self.context.model = model_name(plain)
        performer = self._performer(memory, body.body, plain)
        del body, plain  # the answer may stream for an hour
        try:
            await performer.run()
        except TooComplexError:
            raise too_complex() from None

    def _performer(self, memory: Reservation, body: bytes, plain: bytes) -> Performer:
        """What performs the request's exchange, and alone holds what it is made of."""
        now = self.options.clock()
        scope = LessonScope(self.options.lessons, self.credential, now)
        policy = self.options.budget.admit(self.credential, now)
        return Performer(self, Exchange(plain, policy, route=self.route, scope=scope), memory, body, plain)

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
