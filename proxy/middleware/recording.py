"""Observes answers as they pass and has the store record them: no byte of an answer is changed, held or delayed.

A response is remembered when its end has been given to the client; one that is deleted is forgotten.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.drivers.offload import Offload
from proxy.http import content_coding, headers
from proxy.http.context import context_of
from proxy.responses.history.answers import LARGEST, EventStream, WholeAnswer
from proxy.responses.history.recall import is_id
from proxy.responses.history.recording import (
    Made,
    Remembered,
    Replays,
    RequestRecord,
    completed,
    made,
    names_of,
    remembered,
)
from proxy.responses.routes import route_of
from proxy.responses.steps import INLINE, Compute
from proxy.store.service import StoreService

_Result = TypeVar("_Result")

_RESPONSE: Final = re.compile(rb"/responses/([^/]+)\Z")
_METHODS: Final = frozenset({"POST", "GET", "DELETE"})
_FORGETTING: Final = frozenset({200, 204, 404})
"""Statuses of a deletion after which the response is forgotten; 404 as well: another server's key may not know it."""


class RecordingMiddleware:
    """Has `service` remember the responses that pass through it."""

    def __init__(
        self, app: ASGIApp, service: StoreService, *, remembers_all: bool = False, offload: Offload | None = None
    ) -> None:
        self.app = app
        self.service = service
        self.remembers_all = remembers_all
        self.offload = offload or Offload()
        self.replays = Replays()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request through the app behind."""
        if scope["type"] == "lifespan":
            return await self.app(scope, self._flushing(receive), send)
        if scope["type"] != "http" or scope["method"] not in _METHODS:
            return await self.app(scope, receive, send)
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        named = _RESPONSE.search(path) if scope["method"] != "POST" else None
        if named is None and route_of(scope["method"], path) != "responses":
            return await self.app(scope, receive, send)
        owner = self.service.scope(scope["headers"])
        if owner is None:
            return await self.app(scope, receive, send)
        response_id = unquote(named[1].decode("latin-1")) if named is not None else ""
        if named is not None and not is_id(response_id):
            return await self.app(scope, receive, send)
        return await self.app(scope, receive, _Recorder(self, scope, send, owner, response_id).relay)

    def _flushing(self, receive: Receive) -> Receive:
        """A `receive` that lets the shutdown wait until everything is written."""

        async def flushing() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self.service.close()
            return message

        return flushing


class _Recorder:
    """One answer, as it passes."""

    def __init__(self, options: RecordingMiddleware, scope: Scope, send: Send, owner: str, response_id: str) -> None:
        self.options = options
        self.scope = scope
        self.send = send
        self.owner = owner
        self.response_id = response_id
        self.request_id = context_of(scope).request_id
        self.asked: RequestRecord | None = None
        self.asking: asyncio.Task[RequestRecord | None] | None = None
        """Makes the record of a large request in another thread, while the answer passes."""
        self.answer: EventStream | WholeAnswer | None = None
        self.coding = ""
        self.streams = False

    def relay(self, message: Message) -> Awaitable[None]:
        """Give a message on; of most pieces no more than that."""
        answer = self.answer
        if answer is None:
            return self._relay_start(message) if message["type"] == "http.response.start" else self.send(message)
        if message.get("more_body", False) and not answer.concerns(message.get("body", b"")):
            return self.send(message)
        return self._relay_and_hear(answer, message)

    async def _relay_start(self, start: Message) -> None:
        await self.send(start)
        if self.scope["method"] == "DELETE":
            self._forget(start["status"])
        elif 200 <= start["status"] < 300:
            self._begin([(name.lower(), value) for name, value in start.get("headers", ())])
            if not self.streams:
                await self._know()  # before the client has the end of its answer, and goes on from there

    def _forget(self, status: int) -> None:
        if status in _FORGETTING:
            self.options.replays.forget(self.owner, self.response_id)
            for name in names_of(self.response_id):
                self.options.service.forget(self.owner, name, self.request_id)

    def _begin(self, fields: headers.Fields) -> None:
        context = context_of(self.scope)
        ask, context.request_record = context.request_record, None
        if ask is not None and ask.cost > INLINE:
            self.asking = asyncio.create_task(self._shortened_beside(ask))
        elif ask is not None:
            self.asked = self._shortened(ask)
        self.coding = content_coding.coding_of(fields)
        nothing = self.asked is None and self.asking is None and not self.response_id
        if nothing or not content_coding.is_known(self.coding):
            return
        self.streams = headers.is_event_stream(fields)
        self.answer = self._events() if self.streams and not self.coding else WholeAnswer()

    def _shortened(self, ask: Compute) -> RequestRecord | None:
        asked: RequestRecord | None = ask.work()
        return self.options.replays.shortened(self.owner, asked) if asked is not None else None

    async def _shortened_beside(self, ask: Compute) -> RequestRecord | None:
        try:
            return await self.options.offload.run(self.owner, self._shortened, ask)
        except Exception:  # noqa: BLE001 -- as below, and the request may be over
            self.options.service.failed_to_read(self.request_id)
            return None

    def _events(self) -> EventStream:
        return EventStream(background=self.asking is not None or (self.asked is not None and self.asked.background))

    async def _relay_and_hear(self, answer: EventStream | WholeAnswer, message: Message) -> None:
        await self.send(message)
        piece, last = message.get("body", b""), not message.get("more_body", False)
        try:
            cost = answer.cost(piece, last=last)
            if cost and self.coding:
                cost += INLINE  # how much it decodes to is not known before
            found = await self._perform(cost, partial(self._hear, answer, piece, last=last))
            if found is not None:
                await self._tell(found, cost)
        except Exception:  # noqa: BLE001 -- the answer goes on, even if it cannot be read
            self.answer = None
            self.options.service.failed_to_read(self.request_id)

    async def _perform(self, cost: int, work: Callable[[], _Result]) -> _Result:
        """What `work` returns: in another thread where it costs more than the event loop may be held."""
        return await self.options.offload.run(self.owner, work) if cost > INLINE else work()

    def _hear(self, answer: EventStream | WholeAnswer, piece: bytes, *, last: bool) -> Made | None:
        found = answer.feed(piece)
        return (self._end(answer) or found) if last else found

    def _end(self, answer: EventStream | WholeAnswer) -> Made | None:
        if not self.coding or not isinstance(answer, WholeAnswer):
            return answer.end()
        with suppress(content_coding.CorruptError, content_coding.TooLargeError):
            body = content_coding.decode(self.coding, answer.body, LARGEST)
            return self._events().feed(body) if self.streams else made(body)
        return None

    async def _know(self) -> None:
        """Wait for the record of the request."""
        if self.asking is not None:
            self.asked, self.asking = await self.asking, None

    async def _tell(self, found: Made, cost: int) -> None:
        await self._know()
        asked = self.asked
        told = self._told(asked, found)
        if told is None:
            return
        if asked is not None and asked.trail is not None and found.finished:
            said = await self._perform(cost, partial(asked.trail.after, found.output))
            self.options.replays.learn(self.owner, said, told.response_id)
        self.options.service.remember(self.owner, told, self.request_id)

    def _told(self, asked: RequestRecord | None, found: Made) -> Remembered | None:
        if asked is None:
            return completed(found) if self.response_id else None
        if not (found.stored or self.options.remembers_all) or not (found.finished or found.background):
            return None
        return remembered(asked, found)
