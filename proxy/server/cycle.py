"""A request and its answer on a client's connection: uvicorn's cycle, with three additions.

Each byte of a body is copied once, not again with every piece that arrives; HTTP/1.0 gets answers without chunks; and a
request may be answered with a 101.
uvicorn constructs the cycle; `proxy.server.protocol` then changes its class (see `uvicorn_internals`).
"""

from typing import Any, Self, cast

from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from proxy.streams.offer import START
from proxy.streams.sockets import reset


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
    """A request and its answer."""

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

    async def receive(self) -> Any:
        """What has arrived of the request, or the news that the client has left."""
        message = await super().receive()
        self.body = cast("bytearray", Pieces())
        return message


class OldCycle(Cycle):
    """A request of HTTP/1.0, whose answer of unknown length ends with the connection (RFC 9112, 6.1).

    Where such an answer was cut, the connection is reset, so that it does not look complete.
    """

    _ends_with_connection = False

    async def run_asgi(self, app: Any) -> None:
        """Run the application for this request."""

        async def app_that_resets(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            finally:
                if self.response_started and not self.response_complete:
                    reset(self.transport)

        await super().run_asgi(app_that_resets)  # type: ignore[arg-type]

    async def send(self, message: Any) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start" and not _has_length(message):
            self.chunked_encoding = False
            self._ends_with_connection = True
        elif self._ends_with_connection:
            self.expected_content_length = len(message.get("body", b""))  # uvicorn expects just this piece
        await super().send(message)


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
            lines = [b"%b: %b\r\n" % field for field in message["headers"]]
            self.transport.write(b"".join([b"HTTP/1.1 101 Switching Protocols\r\n", *lines, b"\r\n"]))


def _has_length(start: Message) -> bool:
    return any(name.lower() == b"content-length" for name, _ in start.get("headers", ()))
