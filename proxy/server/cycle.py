"""A request and its answer on a client's connection, in the place of uvicorn's cycle (see `uvicorn_internals`).

Each byte of a body is copied once, not again with every piece that arrives. An answer's head and the beginning of its
body are one write; HTTP/1.0 gets answers without chunks; and a request may be answered with a 101.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final, NamedTuple

from starlette.types import ASGIApp, Message, Scope
from uvicorn.protocols.http.flow_control import FlowControl

from proxy.http import eager, wire
from proxy.http.headers import Fields
from proxy.http.metadata import Metadata
from proxy.streams.offer import START
from proxy.streams.sockets import reset

_LINES: Final = {status.value: f"HTTP/1.1 {status} {status.phrase}".encode() for status in HTTPStatus}
"""Status lines by their code."""
_WITHOUT_BODY: Final = frozenset({204, 304})


_LOGGER: Final = logging.getLogger("uvicorn.error")
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_INTERNAL_ERROR: Final[tuple[Message, Message]] = (
    {
        "type": "http.response.start",
        "status": 500,
        "headers": [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"21"),
            (b"connection", b"close"),
        ],
    },
    {"type": "http.response.body", "body": b"Internal Server Error"},
)
"""For an app that raises before it answers."""


class Connection(NamedTuple):
    """What the requests of one connection share."""

    transport: asyncio.Transport
    flow: FlowControl
    loop: asyncio.AbstractEventLoop
    tasks: set[asyncio.Task[None]]
    """Those of the server, in which requests are answered."""


class Cycle:
    """A request and its answer.

    The answer's head is kept for the rest of the loop's turn, in which most answers go on: one write for both.
    """

    more_body = True
    """The request has not arrived to its end."""
    response_started = False
    response_complete = False
    disconnected = False
    size = 0
    """Bytes of the body that have arrived and wait for the application."""
    _head = b""
    _end_of_turn: asyncio.Handle | None = None
    _has_body = True
    _is_chunked = False
    _left: int | None = None
    """Bytes that the body has still to have; None where it has no length."""

    def __init__(  # noqa: PLR0913 -- what a head says of the answer, each with a name
        self,
        scope: Scope,
        connection: Connection,
        on_response: Callable[[], None],
        *,
        default_headers: Fields,
        keep_alive: bool,
        invites: bool,
    ) -> None:
        self.scope = scope
        self.transport, self.flow, self.loop, self.tasks = connection
        self.on_response = on_response
        self.default_headers = default_headers
        self.keep_alive = keep_alive
        self.task: asyncio.Task[None]
        """In which it is answered; one of the server's until that is over."""
        self.message_event = asyncio.Event()
        """Set when there is something to receive."""
        self._invites = invites
        """The client waits for an invitation before it sends its body (RFC 9110, 10.1.1)."""
        self._pieces: list[bytes] = []

    @property
    def lingers(self) -> bool:
        """Whether this was the last answer, and precedes the request's end: a reset could overtake it.

        RFC 9112, 9.6: "the server […] continues to read from the connection until it receives a corresponding close
        by the client, or until the server is reasonably certain that its own TCP stack has received the client's
        acknowledgement".
        """
        return self.response_complete and self.more_body and not self.keep_alive

    async def answer(self, app: ASGIApp) -> None:
        """Let `app` answer; where it does not go on, the client gets what there is, and the answer is visibly cut."""
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException as reason:  # a cancellation as well: with it the connection ends
            _LOGGER.exception("Exception in ASGI application\n", exc_info=reason)
            await self._end_early()
        else:
            if not self.response_complete and not self.disconnected:
                if not self.response_started:
                    _LOGGER.error("ASGI callable returned without starting response.")
                await self._end_early()
        finally:
            self.on_response = _nothing  # it leads back here
            self.tasks.discard(self.task)  # as its callback it costs two thirds of making it

    async def _end_early(self) -> None:
        if self.response_started:
            self._cut()
            return
        for message in _INTERNAL_ERROR:
            await self.send(message)

    def _cut(self) -> None:
        self.flush()
        self.transport.close()

    def add(self, piece: bytes) -> None:
        """A piece of the body has arrived."""
        self._pieces.append(piece)
        self.size += len(piece)
        self.message_event.set()

    def end_body(self) -> None:
        """The body has arrived to its end."""
        self.more_body = False
        self.message_event.set()

    def disconnect(self) -> None:
        """The client has left, or is given up."""
        self.disconnected = True
        self.message_event.set()

    async def receive(self) -> Message:
        """What has arrived of the request, or the news that the client has left."""
        if self._invites and not self.response_started and not self.transport.is_closing():
            self._invites = False
            self.transport.write(_CONTINUE)
        if not self.disconnected and not self.response_complete:
            self.flow.resume_reading()
            if not self.message_event.is_set():
                await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        pieces, self._pieces, self.size = self._pieces, [], 0
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    def send(self, message: Message) -> Awaitable[None]:
        """Send a part of the answer: at once, unless the client has to read parts before it; then wait until it has.

        What waits is what was written: the next part is not even read from upstream meanwhile.
        """
        if self.flow.write_paused and not self.disconnected:
            return self._send_later(message)  # behind another answer
        try:
            self._write(message)
        except Exception as reason:  # noqa: BLE001 -- it is raised where the caller awaits
            return eager.raising(reason)
        return self.flow.drain() if self.flow.write_paused and not self.response_complete else eager.DONE

    async def _send_later(self, message: Message) -> None:
        await self.flow.drain()
        self._write(message)

    def _write(self, message: Message) -> None:
        if self.disconnected:
            return
        if not self.response_started:
            self._begin(message["status"], [*self.default_headers, *message.get("headers", ())])
            return
        if self.response_complete:
            raise RuntimeError("The answer was complete already.")
        more = message.get("more_body", False)
        data = self._framed(message.get("body", b""), more=more) if self._has_body else b""
        if self._head:
            data = self._taken_head() + data
        if data:
            self.transport.write(data)
        if not more:
            self._end()

    def flush(self) -> None:
        """Write the head, if it still waits for the body."""
        head = self._taken_head()
        if head and not self.transport.is_closing():
            self.transport.write(head)

    def _begin(self, status: int, fields: Fields) -> None:
        self.response_started = True
        metadata = Metadata(fields)
        if b"close" in metadata.options:
            self.keep_alive = False
        elif not self.keep_alive:
            fields.append((b"connection", b"close"))
        self._has_body = self.scope["method"] != "HEAD" and status not in _WITHOUT_BODY
        if self._has_body:
            self._left = metadata.length
            if metadata.length is None:
                self._begin_without_length(fields)
        self._head = wire.head(_LINES.get(status) or b"HTTP/1.1 %d " % status, fields)
        self._end_of_turn = self.loop.call_soon(self.flush)

    def _begin_without_length(self, fields: Fields) -> None:
        self._is_chunked = True
        fields.append((b"transfer-encoding", b"chunked"))

    def _framed(self, body: bytes, *, more: bool) -> bytes:
        """A piece of the body as it is written. Raises RuntimeError where its length is not the announced one."""
        if self._is_chunked:
            return b"".join(wire.chunk(body) if more else [*wire.chunk(body), wire.LAST_CHUNK])
        if self._left is not None:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("The answer's body has another length than its head says.")
        return body

    def _taken_head(self) -> bytes:
        if self._end_of_turn is not None:
            self._end_of_turn.cancel()
            self._end_of_turn = None  # it leads back here: an answer would wait for a collector
        head, self._head = self._head, b""
        return head

    def _end(self) -> None:
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive and not self.lingers:
            self.transport.close()
        self.on_response()


def _nothing() -> None:
    """Nobody waits for the end of this answer any more."""


class OldCycle(Cycle):
    """A request of HTTP/1.0, whose answer of unknown length ends with the connection (RFC 9112, 6.1).

    Where such an answer was cut, the connection is reset, so that it does not look complete.
    """

    def _cut(self) -> None:
        self.flush()
        if not self.response_complete:
            reset(self.transport)
        self.transport.close()

    def _begin_without_length(self, fields: Fields) -> None:
        """There are no chunks to announce: the connection's end is the answer's."""


class OfferCycle(Cycle):
    """A request that offers to go on as a byte stream: after any other answer nothing is read from its connection."""

    @property
    def lingers(self) -> bool:
        """Whether this was the last answer: what the client has sent in the other protocol already is discarded."""
        return self.response_complete

    def _write(self, message: Message) -> None:
        """Write a part of the answer, or the 101 that ends HTTP on this connection."""
        if message["type"] != START:
            super()._write(message)
        elif not self.disconnected:
            self.response_started = True
            self.transport.write(wire.head(b"HTTP/1.1 101 Switching Protocols", message["headers"]))
