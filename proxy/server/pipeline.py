"""The requests of one connection, answered one after the other: uvicorn's protocol, with cycles of our own."""

import asyncio
from collections import deque
from typing import Any, Final
from urllib.parse import unquote

import httptools
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from proxy.http.context import context_of
from proxy.server.cycle import Connection, Cycle, OfferCycle, OldCycle
from proxy.streams.offer import EXTENSION

_ARRIVED: Final = 65_536
"""Bytes of a body that may wait for the application before no more is read."""


class Pipeline(HttpToolsProtocol):
    """One connection whose heads are beyond doubt. A request that precedes the end of an answer waits for it."""

    scope: Scope  # type: ignore[assignment]
    cycle: Cycle  # type: ignore[assignment]
    """That of the last head that was whole."""
    pipeline: deque[Cycle]  # type: ignore[assignment]
    """Requests that wait for the answers before theirs, the latest first."""
    # Of up to thirty attributes Python keeps the names once for all connections; uvicorn's own are 28. With more than
    # that, each connection took 1.2 KiB more (measured 2026-11-30).
    __slots__ = ("_connection", "_idle_since", "_idle_timer", "_running")

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._running: Cycle | None = None
        """The request that is being answered."""
        self._idle_since: float | None = None
        """When the last answer was complete; None once anything has arrived since."""
        self._idle_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for requests."""
        super().connection_made(transport)
        self._connection = Connection(transport, self.flow, self.loop, self.tasks)

    def connection_lost(self, exc: Exception | None) -> None:
        """Disconnect the request that is being answered, which is not the last one where others wait behind it."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnect()
        super().connection_lost(exc)

    def on_headers_complete(self) -> None:
        """A head is whole: answer it, or have it wait."""
        self._complete_scope()
        is_next = self.cycle is None or self.cycle.response_complete
        self.cycle = self._new_cycle()
        # Trailers must not add to the fields by which the request was judged (RFC 9110, 6.5.1): they go nowhere.
        self.headers = []
        if is_next:
            self._start(self.cycle)
        else:
            self.pipeline.appendleft(self.cycle)

    def on_body(self, body: bytes) -> None:
        """A piece of the body; nobody waits for one that follows its answer."""
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.add(body)
            if cycle.size > _ARRIVED:
                self.flow.pause_reading()

    def on_message_complete(self) -> None:
        """A request is whole."""
        if not self.cycle.response_complete:
            self.cycle.end_body()

    def on_response_complete(self) -> None:
        """Answer the next request, if there is one already; else wait for it, as long as a connection may idle."""
        self._running = None
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start(self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._end_idle)

    def _end_idle(self) -> None:
        """Close the connection if it has idled for long enough: one timer for many requests, as each costs 5 µs."""
        self._idle_timer = None
        if self._idle_since is None:
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._idle_timer = self.loop.call_later(left, self._end_idle)
        else:
            self.transport.close()

    def _complete_scope(self) -> None:
        """Add what the request line says to the scope, which has the fields and the connection's facts already."""
        scope = self.scope
        target = httptools.parse_url(self.url)
        path = target.path.decode("ascii")
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = self.parser.get_http_version()
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = target.path
        scope["query_string"] = target.query or b""
        if not target.query and self.url.endswith(b"?"):
            context_of(scope).has_bare_query = True

    def _new_cycle(self) -> Cycle:
        scope = self.scope
        return _kind_of_cycle(scope)(
            scope,
            self._connection,
            self.on_response_complete,
            default_headers=self.server_state.default_headers,
            keep_alive=scope["http_version"] != "1.0" and self.parser.should_keep_alive(),
            invites=self.expect_100_continue,
        )

    def _start(self, cycle: Cycle) -> None:
        self._running = cycle
        cycle.task = self.loop.create_task(cycle.answer(self.app))
        self.tasks.add(cycle.task)


def _kind_of_cycle(scope: Scope) -> type[Cycle]:
    if EXTENSION in scope.get("extensions", ()):
        return OfferCycle
    return OldCycle if scope["http_version"] == "1.0" else Cycle
