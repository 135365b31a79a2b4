"""A request and its answer on a client's connection: uvicorn's cycle, which reads otherwise and writes by itself.

Each byte of a body is copied once, not again with every piece that arrives. An answer's head and the beginning of its
body are one write; HTTP/1.0 gets answers without chunks; and a request may be answered with a 101.
uvicorn constructs the cycle; `proxy.server.protocol` then changes its class (see `uvicorn_internals`).
"""

import asyncio
from http import HTTPStatus
from typing import Any, Final, Self, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from proxy.http import wire
from proxy.http.headers import Fields
from proxy.http.metadata import Metadata
from proxy.streams.offer import START
from proxy.streams.sockets import reset

_PHRASES: Final = {status.value: status.phrase.encode() for status in HTTPStatus}
_WITHOUT_BODY: Final = frozenset({204, 304})


class Pieces:
    """The pieces of a body that have arrived and wait for the application."""

    __slots__ = ("_pieces", "_size")

    def __init__(self, body: bytes | bytearray = b"") -> None:
        self._pieces = [bytes(body)] if body else []
        self._size = len(body)

    def __iadd__(self, piece: bytes) -> Self:
        self._pieces.append(piece)
        self._size += len(piece)
        return self

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)


class Cycle(RequestResponseCycle):
    """A request and its answer.

    The answer's head is kept for the rest of the loop's turn, in which most answers go on: one write for both.
    """

    loop: asyncio.AbstractEventLoop
    _head = b""
    _end_of_turn: asyncio.Handle | None = None
    _has_body = True
    _is_chunked = False
    _left: int | None = None
    """Bytes that the body has still to have; None where it has no length."""

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open: also after the last answer, while the client still sends its request."""
        return self.__dict__["keep_alive"] or self.lingers

    @keep_alive.setter
    def keep_alive(self, kept: bool) -> None:
        self.__dict__["keep_alive"] = kept

    @property
    def lingers(self) -> bool:
        """Whether this was the last answer, and precedes the request's end: a reset could overtake it.

        RFC 9112, 9.6: "the server […] continues to read from the connection until it receives a corresponding close
        by the client, or until the server is reasonably certain that its own TCP stack has received the client's
        acknowledgement".
        """
        return self.response_complete and self.more_body and not self.__dict__["keep_alive"]

    async def answer(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Let `app` answer; where it does not go on, the client gets what there is before uvicorn cuts the answer."""
        try:
            await app(scope, receive, send)
        finally:
            self.flush()

    async def receive(self) -> Any:
        """What has arrived of the request, or the news that the client has left."""
        message = await super().receive()
        self.body = cast("bytearray", Pieces())
        return message

    async def send(self, message: Any) -> None:
        """Send a part of the answer."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
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
        self.waiting_for_100_continue = False
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
        self._head = wire.head(b"HTTP/1.1 %d %b" % (status, _PHRASES.get(status, b"")), fields)
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
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


class OldCycle(Cycle):
    """A request of HTTP/1.0, whose answer of unknown length ends with the connection (RFC 9112, 6.1).

    Where such an answer was cut, the connection is reset, so that it does not look complete.
    """

    async def answer(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Let `app` answer."""
        try:
            await super().answer(app, scope, receive, send)
        finally:
            if self.response_started and not self.response_complete:
                reset(self.transport)

    def _begin_without_length(self, fields: Fields) -> None:
        """There are no chunks to announce: the connection's end is the answer's."""


class OfferCycle(Cycle):
    """A request that offers to go on as a byte stream: after any other answer nothing is read from its connection."""

    @property
    def lingers(self) -> bool:
        """Whether this was the last answer: what the client has sent in the other protocol already is discarded."""
        return self.response_complete

    async def send(self, message: Any) -> None:
        """Send a part of the answer, or the 101 that ends HTTP on this connection."""
        if message["type"] != START:
            await super().send(message)
            return
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if not self.disconnected:
            self.response_started = True
            self.transport.write(wire.head(b"HTTP/1.1 101 Switching Protocols", message["headers"]))
