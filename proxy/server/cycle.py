"""A request and its answer on a client's connection: uvicorn's cycle, which copies too often and knows no HTTP/1.0."""

import asyncio
import socket
import struct
from typing import Any, Self, cast

from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class Pieces:
    """What has come of a body, for the application to take: each byte is copied once, not with every piece again."""

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
        """Whether the connection goes on: also after the last answer, where the client is still sending its request."""
        return self.__dict__["keep_alive"] or self.lingers

    @keep_alive.setter
    def keep_alive(self, kept: bool) -> None:
        self.__dict__["keep_alive"] = kept

    @property
    def lingers(self) -> bool:
        """Whether this was the last answer, and came before the request's end: a reset could overtake it.

        RFC 9112, 9.6: "the server […] continues to read from the connection until it receives a corresponding close
        by the client, or until the server is reasonably certain that its own TCP stack has received the client's
        acknowledgement".
        """
        return self.response_complete and self.more_body and not self.__dict__["keep_alive"]

    async def receive(self) -> Any:
        """What has come of the request, or that its client left."""
        message = await super().receive()
        self.body = cast("bytearray", Pieces())
        return message


class _AnyLength(int):
    """The length of a body that ends with the connection: none is longer or shorter."""

    def __lt__(self, other: int) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return False

    def __sub__(self, other: int) -> Self:
        return self

    __hash__ = int.__hash__


class OldCycle(Cycle):
    """A request of HTTP/1.0, which knows no chunks (RFC 9112, 6.1): a body of unknown length ends with the connection.

    So that a body that was cut does not look whole, the connection is then reset.
    """

    async def run_asgi(self, app: Any) -> None:
        """Let `app` answer."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            finally:
                if self.response_started and not self.response_complete:
                    _reset(self.transport)

        await super().run_asgi(watched)  # type: ignore[arg-type]

    async def send(self, message: Any) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start" and not _has_length(message):
            self.chunked_encoding = False
            self.expected_content_length = _AnyLength()
        await super().send(message)


def _reset(transport: asyncio.Transport) -> None:
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _has_length(start: Message) -> bool:
    return any(name.lower() == b"content-length" for name, _ in start.get("headers", ()))
