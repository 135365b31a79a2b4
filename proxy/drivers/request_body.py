"""The body of a client's request: taken in as a whole, within limits, and decoded.

It reads no more than it may, waits no longer than it may, holds no more than it has reserved, and knows nothing of what
the body means. What is decoded on the event loop is bounded by input and by output: a millisecond or two at worst.
"""

from contextlib import suppress
from typing import Final

from starlette.types import Message, Receive

from proxy.drivers.memory import Reservation
from proxy.drivers.offload import Offload
from proxy.http import content_coding
from proxy.http.context import RequestContext
from proxy.http.faults import CLIENT, Fault, hop_fault
from proxy.http.headers import Fields
from proxy.http.metadata import Metadata
from proxy.http.receive import Pieces

_ENCODED: Final = 64 * 1024
_DECODED: Final = 256 * 1024
"""Bytes of a body that is decoded on the event loop, before and after."""


class RequestBody:
    """Takes in one body of at most `limit` bytes, as sent and decoded, from a client silent for at most `idle` seconds.

    With `strict`, a larger body is refused (413); without, it is taken in so far and left unread. After `take`,
    `body` is what arrived and `more` says whether the client has more of it.
    """

    def __init__(  # noqa: PLR0913 -- limits, each with a name
        self,
        fields: Fields,
        receive: Receive,
        context: RequestContext,
        *,
        limit: int,
        idle: float,
        strict: bool,
        memory: Reservation,
        offload: Offload,
        caller: str,
    ) -> None:
        self.body = b""
        self.more = True
        self._metadata = Metadata(fields)
        self._receive = receive
        self._limit = limit
        self._pieces = Pieces(receive, idle, context)
        self._strict = strict
        self._memory = memory
        self._offload = offload
        self._caller = caller

    async def take(self) -> bytes | None:
        """The decoded body, `body` itself if it has no coding; None if it cannot be read.

        Raises Fault, which answers the client, and ClientGone.
        """
        coding = self._metadata.coding
        if not content_coding.is_known(coding) or self._is_too_large(self._metadata.length or 0):
            return None
        await self._collect()
        if self._is_too_large(len(self.body)):
            return None
        if self._metadata.is_body_lost(len(self.body)):
            raise hop_fault("incomplete_body")
        try:
            return await self._decoded(coding) if coding else self.body
        except content_coding.TooLargeError:
            self._is_too_large(self._limit + 1)
            return None
        except content_coding.CorruptError:
            message = f"The request body is not the {coding} data its Content-Encoding says it is."
            raise Fault(400, "invalid_content_encoding", message, kind=CLIENT) from None

    async def _decoded(self, coding: str) -> bytes:
        if len(self.body) <= _ENCODED:
            limit = min(self._limit, _DECODED)
            with suppress(content_coding.TooLargeError):
                return self._counted(content_coding.decode(coding, self.body, limit), 0)
        self._memory.grow(self._limit)
        try:
            decoded = await self._offload.run(self._caller, content_coding.decode, coding, self.body, self._limit)
        except BaseException:
            self._memory.shrink(self._limit)
            raise
        return self._counted(decoded, self._limit)

    def _counted(self, decoded: bytes, reserved: int) -> bytes:
        """`decoded`, with its size reserved in the place of what was `reserved` for it."""
        self._memory.shrink(reserved)
        self._memory.grow(len(decoded))
        return decoded

    def _is_too_large(self, size: int) -> bool:
        if size > self._limit:
            message = f"The request body is larger than the {self._limit} bytes that UNPINNED_MAX_BODY allows."
            if self._strict:
                raise Fault(413, "request_too_large", message, kind=CLIENT)
        return size > self._limit

    async def _collect(self) -> None:
        announced = self._metadata.length or 0
        self._memory.grow(announced)
        chunks: list[bytes] = []
        size = 0
        while self.more and size <= self._limit:
            piece, self.more = await self._pieces.next()
            chunks.append(piece)
            size += len(piece)
            if size > announced:
                self._memory.grow(size - announced)
                announced = size
        self.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def replay(self) -> Message:
        """A `receive` that begins with what was taken in, and goes on with what the client sends."""
        if self.body:
            taken, self.body = self.body, b""
            return {"type": "http.request", "body": taken, "more_body": self.more}
        return await self._receive()
