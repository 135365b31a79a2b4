"""The place of a request and of each of its attempts in a trace; loaded only where traces are wanted.

`TracingMiddleware` stands around a request, `AttemptMiddleware` around the hop to upstream. What they note becomes
spans when the request is over (`proxy.observers.tracing`). A request that is not sampled passes as if neither were
there: its `traceparent` reaches upstream as it came.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import getrandbits
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.http.context import context_of
from proxy.http.trace_context import Attempt, Parent, Trace, parent_in
from proxy.responses.body.model_name import model_name
from proxy.responses.routes import route_of


class Tracer(Protocol):
    """Decides what is traced, and makes spans of it."""

    def is_sampled(self, parent: Parent | None, trace_id: bytes) -> bool:
        """Whether a request is traced."""

    def begin(self, trace: Trace) -> None:
        """A request begins that is traced."""

    def finish(self, trace: Trace) -> None:
        """It is over, and all that is known of it has been stated."""

    def close(self) -> None:
        """Export what waits; may take a few seconds."""


class TracingMiddleware:
    """Gives each sampled request a trace."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self.app = app
        self.tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request through the app behind."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            await asyncio.to_thread(self.tracer.close)
            return
        parent = parent_in(scope["headers"])
        trace_id = parent.trace_id if parent else getrandbits(128).to_bytes(16, "big")
        if not self.tracer.is_sampled(parent, trace_id):
            await self.app(scope, receive, send)
            return
        context = context_of(scope)
        context.trace = trace = Trace(context.request_id, trace_id, _span_id(), parent, time.time_ns())
        self.tracer.begin(trace)
        try:
            await self.app(scope, receive, send)
        finally:
            self.tracer.finish(trace)


class AttemptMiddleware:
    """Notes each attempt of a request that is traced, and tells upstream of which span it is a part."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an attempt through the app behind."""
        trace = context_of(scope).trace if scope["type"] == "http" else None
        if trace is None:
            await self.app(scope, receive, send)
            return
        attempt = Attempt(_span_id(), time.time_ns())
        trace.attempts.append(attempt)
        fields = [field for field in scope["headers"] if field[0] != b"traceparent"]
        scope["headers"] = [*fields, attempt.field(trace.trace_id)]
        if route_of(scope["method"], scope.get("raw_path") or b"") != "other":
            receive = _naming_model(receive, attempt)
        try:
            await self.app(scope, receive, _noting_status(send, attempt))
        finally:
            attempt.ended = time.time_ns()


def _span_id() -> bytes:
    return (getrandbits(64) or 1).to_bytes(8, "big")


def _noting_status(send: Send, attempt: Attempt) -> Callable[[Message], Awaitable[None]]:
    def noted(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            attempt.status = message["status"]
        return send(message)

    return noted


def _naming_model(receive: Receive, attempt: Attempt) -> Receive:
    """`receive`, that notes the model's name of a body that arrives whole."""

    async def noted() -> Message:
        message = await receive()
        if not (attempt.model or message.get("more_body", False)):
            attempt.model = model_name(message.get("body", b""))
        return message

    return noted
