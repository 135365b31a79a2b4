"""The body of a client's request: taken in as a whole, within limits, and decoded.

Reads no more than it may, waits no longer than it may, and knows nothing of what the body means.
"""

from typing import Final

from starlette.types import Message, Receive

from proxy.drivers.offload import offload
from proxy.http import content_coding, headers
from proxy.http.faults import CLIENT, Fault, hop_fault
from proxy.http.receive import next_piece

_AT_ONCE: Final = 1024 * 1024
"""Decoded bytes up to which decoding takes a few milliseconds, however small the body was."""


class RequestBody:
    """Takes in one body of at most `limit` bytes, as sent and decoded, from a client silent for at most `idle` seconds.

    With `strict`, a larger body is refused (413); without, it is taken in so far and left unread. After `take`,
    `body` is what arrived and `more` says whether the client has more of it.
    """

    def __init__(self, fields: headers.Fields, receive: Receive, *, limit: int, idle: float, strict: bool) -> None:
        self.body = b""
        self.more = True
        self._fields = headers.hop_fields(fields)
        self._receive = receive
        self._limit = limit
        self._idle = idle
        self._strict = strict
        self._coding = content_coding.coding_of(self._fields)

    async def take(self) -> bytes | None:
        """The decoded body, `body` itself if it has no coding; None if it cannot be read.

        Raises Fault, which answers the client, and ClientGone.
        """
        if not content_coding.is_known(self._coding) or self._is_too_large(headers.content_length(self._fields) or 0):
            return None
        await self._collect()
        if self._is_too_large(len(self.body)):
            return None
        if headers.is_body_lost(self._fields, len(self.body)):
            raise hop_fault("incomplete_body")
        try:
            return await self._decoded() if self._coding else self.body
        except content_coding.TooLargeError:
            self._is_too_large(self._limit + 1)
            return None
        except content_coding.CorruptError:
            message = f"The request body is not the {self._coding} data its Content-Encoding says it is."
            raise Fault(400, "invalid_content_encoding", message, kind=CLIENT) from None

    async def _decoded(self) -> bytes:
        try:
            return content_coding.decode(self._coding, self.body, min(self._limit, _AT_ONCE))
        except content_coding.TooLargeError:
            if self._limit <= _AT_ONCE:
                raise
        return await offload(content_coding.decode, self._coding, self.body, self._limit)

    def _is_too_large(self, size: int) -> bool:
        if size > self._limit:
            message = f"The request body is larger than the {self._limit} bytes that UNPINNED_MAX_BODY allows."
            if self._strict:
                raise Fault(413, "request_too_large", message, kind=CLIENT)
        return size > self._limit

    async def _collect(self) -> None:
        chunks: list[bytes] = []
        size = 0
        while self.more and size <= self._limit:
            piece, self.more = await next_piece(self._receive, self._idle)
            chunks.append(piece)
            size += len(piece)
        self.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def replay(self) -> Message:
        """A `receive` that begins with what was taken in, and goes on with what the client sends."""
        if self.body:
            taken, self.body = self.body, b""
            return {"type": "http.request", "body": taken, "more_body": self.more}
        return await self._receive()
