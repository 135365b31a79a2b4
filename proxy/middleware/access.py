"""One fact for each request that is over: how it was answered, how long it took, and what was done to it.

A WebSocket is over when its connection is.
"""

import re
import time
from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.events import Answered, Observer, SocketClosed
from proxy.http import headers
from proxy.http.context import RequestContext, Socket, context_of
from proxy.http.faults import Fields
from proxy.http.passing import passing
from proxy.report import Report
from proxy.responses.routes import route_of
from proxy.streams.offer import START

_NOT_ASKED: Final = Report(attempts=0)
_PLAIN: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class AccessMiddleware:
    """Tells `observer` of each answered request.

    `relaying` is the number of answers that have begun and are not over. With `reads_ids` the id that upstream gave the
    request is told, too.
    """

    def __init__(
        self,
        app: ASGIApp,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
        *,
        reads_ids: bool = False,
    ) -> None:
        self.app = app
        self.observer = observer
        self.clock = clock
        self.reads_ids = reads_ids
        self.relaying = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request through the app behind."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began = self.clock()
        context = context_of(scope)
        status = 0
        first: float | None = None
        socket: Socket | None = None
        answer = passing(send)

        def begun(start: Message) -> Message:
            nonlocal status, first, socket
            if self.reads_ids:
                context.upstream_id = _id_in(start.get("headers", ()))
            if start["type"] == START:
                socket = context.socket
            else:
                first = self.clock() - began
                status = start["status"]
                self.relaying += 1
            return start

        answer.at_start(begun)
        try:
            return await self.app(scope, receive, answer.send)
        finally:
            if first is not None:
                self.relaying -= 1
            if socket is not None:
                self._tell_of_socket(scope, context, socket, self.clock() - began)
            else:
                self._tell(scope, context, status, first, self.clock() - began, complete=answer.is_complete)

    def _tell(  # noqa: PLR0913 -- the facts of one line
        self,
        scope: Scope,
        context: RequestContext,
        status: int,
        first: float | None,
        seconds: float,
        *,
        complete: bool,
    ) -> None:
        path = _path(scope)
        answered = Answered(
            method=scope["method"],
            route=route_of(scope["method"], path),
            path=path.decode("latin-1"),
            status=status,
            seconds=seconds,
            complete=complete,
            report=context.report or _NOT_ASKED,
            first_byte=first,
            upstream=context.upstream_wait,
            client=context.client_wait,
            fault=context.fault,
            model=context.model,
            upstream_id=context.upstream_id,
        )
        self.observer.notice(context.request_id, answered)

    def _tell_of_socket(self, scope: Scope, context: RequestContext, socket: Socket, seconds: float) -> None:
        path = _path(scope).decode("latin-1")
        closed = SocketClosed(
            path, socket.kind, seconds, socket.client_bytes, socket.upstream_bytes, socket.close_code, socket.turns
        )
        self.observer.notice(context.request_id, closed)


def _path(scope: Scope) -> bytes:
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return path


def _id_in(fields: Fields) -> str:
    """The id that upstream's answer has, of OpenAI or of Azure; `""` where it has none, or no plain one."""
    id_ = headers.value(fields, b"x-request-id") or headers.value(fields, b"apim-request-id") or b""
    return id_.decode() if _PLAIN.fullmatch(id_) else ""
