"""Observes answers as they pass and has the store record them: no byte of an answer is changed, held or delayed.

A response is remembered when its end has been given to the client; one that is deleted is forgotten.
"""

from collections.abc import Awaitable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.drivers.hearing import Hearing
from proxy.drivers.recorder import Recorder, Recording
from proxy.http.context import context_of
from proxy.responses.history.retrieval import FORGETTING, named
from proxy.responses.routes import route_of
from proxy.store.service import StoreService

_ROUTES: Final = frozenset({"responses", "compact"})
_METHODS: Final = frozenset({"POST", "GET", "DELETE"})


class RecordingMiddleware:
    """Has `service` remember the responses that pass through it."""

    def __init__(self, app: ASGIApp, service: StoreService, recording: Recording | None = None) -> None:
        self.app = app
        self.service = service
        self.recording = recording or Recording(service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request through the app behind."""
        if scope["type"] == "lifespan":
            return await self.app(scope, self._flushing(receive), send)
        if scope["type"] != "http" or scope["method"] not in _METHODS:
            return await self.app(scope, receive, send)
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        found = named(path) if scope["method"] != "POST" else None
        response_id = found.response_id if found is not None and not found.part else ""
        route = route_of(scope["method"], path)
        owner = self.service.scope(scope["headers"]) if response_id or route in _ROUTES else None
        if owner is None:
            return await self.app(scope, receive, send)
        request_id = context_of(scope).request_id
        recorder = Recorder(self.recording, owner, request_id, response_id, compacts=route == "compact")
        return await self.app(scope, receive, _Answer(self, scope, send, recorder).relay)

    def _flushing(self, receive: Receive) -> Receive:
        """A `receive` that lets the shutdown wait until everything is written."""

        async def flushing() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self.service.close()
            return message

        return flushing


class _Answer:
    """One answer, as it passes."""

    def __init__(self, options: RecordingMiddleware, scope: Scope, send: Send, recorder: Recorder) -> None:
        self.options = options
        self.scope = scope
        self.send = send
        self.recorder = recorder
        self.hearing: Hearing | None = None

    def relay(self, message: Message) -> Awaitable[None]:
        """Give a message on; of most pieces no more than that."""
        hearing = self.hearing
        if hearing is None:
            return self._relay_start(message) if message["type"] == "http.response.start" else self.send(message)
        if message.get("more_body", False) and not hearing.concerns(message.get("body", b"")):
            return self.send(message)
        return self._relay_and_hear(hearing, message)

    async def _relay_start(self, start: Message) -> None:
        await self.send(start)
        if self.scope["method"] == "DELETE":
            self._forget(start["status"])
        elif 200 <= start["status"] < 300 and not self._is_known:
            context = context_of(self.scope)
            ask, context.request_record = context.request_record, None
            hears, context.hears = context.hears, None
            self.hearing = Hearing(self.recorder, start.get("headers", ()), ask, hears)
            if not self.hearing.streams:
                await self.recorder.know()  # before the client has the end of its answer, and goes on from there

    @property
    def _is_known(self) -> bool:
        """Whether the answer is the store's own."""
        report = context_of(self.scope).report
        return report is not None and report.action == "stored"

    def _forget(self, status: int) -> None:
        if status in FORGETTING:
            self.recorder.forget()

    async def _relay_and_hear(self, hearing: Hearing, message: Message) -> None:
        await self.send(message)
        await hearing.hear(message.get("body", b""), last=not message.get("more_body", False))
