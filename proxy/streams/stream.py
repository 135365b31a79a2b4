"""One end of a tunnel: the byte stream of one connection, after the HTTP on it has ended.

    bytes that arrive      are held until somebody reads them (`read`), or written to another stream without waking a
                           task (`pass_to`); more than HIGH_WATER of them stop the reading of the connection
    bytes that are written wait in the transport; more than HIGH_WATER of them make the stream full, on which the
                           stream that passes to it stops reading, and `drained` waits

A stream ends in two ways, and the reader can tell them apart:

    ended      the peer sent a FIN (over TLS: announced it by close_notify); what arrived before it is read first, and
               writing goes on where the connection can be closed in one direction (not over TLS)
    broken     a reset, or TLS that ended unannounced: `read` and `pass_to` raise ConnectionResetError

`is_gone` is the end of the connection itself, in every case the last thing to happen. Everything runs in one loop, and
every change is one synchronous step.

How much is read at once decides what a stalled direction holds, and uvloop reads up to 250 KiB. A `BufferedProtocol`
can read less, but costs a tenth more for each message of 235 bytes (measured 2026-11), so that a stream becomes one
(`ShortReads`) when its first long read arrives.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from proxy.streams.short_reads import ShortReads
from proxy.streams.sockets import keep_alive, reset

if TYPE_CHECKING:
    from proxy.streams.interface import Sink, Source

HIGH_WATER: Final = 65_536
"""Bytes that may wait in one direction before its source is not read any more."""
_MUCH: Final = 65_536
"""Bytes of a read after which reads are short."""


class Stream(asyncio.Protocol):
    """The byte stream of `transport`, which it takes over; nothing is read before somebody wants it.

    `behind` arrived already. `lost` is called when the connection is gone, with its error.
    """

    __slots__ = (
        "__weakref__",
        "_closed",
        "_held",
        "_loop",
        "_lost",
        "_pass",
        "_paused",
        "_pieces",
        "_transport",
        "_unwritable",
        "_waiter",
        "has_ended",
        "is_finished",
        "is_gone",
        "received",
        "source",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        behind: bytes = b"",
        lost: Callable[[Exception | None], None] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._lost = lost
        self._pieces = [behind] if behind else []
        self._held = len(behind)
        self._pass: Callable[[bytes], None] | None = None
        self.source: Source | None = None
        """What passes to this one."""
        self._waiter: asyncio.Future[None] | None = None
        self._unwritable: asyncio.Future[None] | None = None
        self.received = len(behind)
        """Bytes that have arrived."""
        self.has_ended = False
        """The peer sends no more, and said so."""
        self.is_finished = False
        """Nothing more can be written."""
        self.is_gone = False
        self._paused = True
        self._transport = transport
        if not transport.is_closing():
            transport.pause_reading()
        transport.set_protocol(self)
        transport.set_write_buffer_limits(HIGH_WATER)
        keep_alive(transport)

    # Reading.

    async def read(self) -> bytes:
        """What has arrived since the last call, or else the next bytes; b"" after the end.

        Raises ConnectionResetError where the stream is broken.
        """
        while not self._pieces:
            if self._is_over():
                return b""
            self.resume()
            await self._news()
        return self._take()

    async def pass_to(self, other: "Sink") -> None:
        """Write to `other` what arrives, at its pace, until the end; raises ConnectionResetError where it breaks."""
        if self._pieces:
            other.write(self._take())
        self._pass, other.source = other.write, self
        try:
            while not self._is_over():
                if not other.is_full:
                    self.resume()
                await self._news()
        finally:
            self._pass = other.source = None

    def pause(self) -> None:
        """Stop reading the connection."""
        if not (self._paused or self._transport.is_closing()):
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused and not (self.has_ended or self._transport.is_closing()):
            self._paused = False
            self._transport.resume_reading()

    # Writing.

    @property
    def is_full(self) -> bool:
        """Whether more than HIGH_WATER bytes wait to be sent."""
        return self._unwritable is not None

    def write(self, data: bytes) -> None:
        """Send `data` after what waits already; dropped where nothing can be written any more."""
        if not self.is_finished:
            self._transport.write(data)

    async def drained(self) -> None:
        """Wait while the stream is full; raises ConnectionResetError where the peer is gone."""
        while self._unwritable is not None:
            await asyncio.shield(self._unwritable)
        if self.is_gone:
            raise ConnectionResetError

    async def flushed(self) -> None:
        """Wait until every byte is sent; raises ConnectionResetError where the peer is gone."""
        if not self.is_finished and self._transport.get_write_buffer_size():
            self._transport.set_write_buffer_limits(1, 0)
        await self.drained()
        if not self.is_finished:
            self._transport.set_write_buffer_limits(HIGH_WATER)

    def end(self) -> None:
        """Send the end (FIN) after all bytes. Over TLS nothing happens: the connection has no half to close."""
        if not (self.is_finished or self._transport.is_closing()) and self._transport.can_write_eof():
            self.is_finished = True
            self._transport.write_eof()

    async def close(self, patience: float) -> None:
        """Close both directions after all bytes, and wait for that; it is reset where that takes too long."""
        self.is_finished = True
        self._transport.close()
        await asyncio.wait([self._closed], timeout=patience)
        self.abort()
        await self.gone()

    async def gone(self) -> None:
        """Wait until the connection is gone."""
        await asyncio.shield(self._closed)

    def abort(self) -> None:
        """Reset the connection: what waits is dropped, and for the peer it does not look like an end."""
        self.is_finished = True
        if not self.is_gone:
            reset(self._transport)

    # Called by the transport.

    def data_received(self, data: bytes) -> None:
        """Pass on, or hold, what has arrived."""
        self.received += len(data)
        if self._pass is not None:
            self._pass(data)
        else:
            self._hold(data)
        if len(data) > _MUCH:
            self._read_little()

    def eof_received(self) -> bool:
        """The peer has ended; the connection stays open for writing where it can (True over TLS is an error)."""
        self.has_ended = True
        self._wake()
        return self._transport.can_write_eof()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self.is_finished = self.is_gone = True
        self._wake()
        self.resume_writing()
        self._closed.set_result(None)
        if self._lost is not None:
            lost, self._lost = self._lost, None
            lost(error)

    def pause_writing(self) -> None:
        """The peer reads more slowly than is written."""
        if self._unwritable is None:
            self._unwritable = self._loop.create_future()
        if self.source is not None:
            self.source.pause()

    def resume_writing(self) -> None:
        """The peer has caught up, or is gone."""
        if self._unwritable is not None:
            waiting, self._unwritable = self._unwritable, None
            waiting.set_result(None)
        if self.source is not None:
            self.source.resume()

    # Inside.

    def _is_over(self) -> bool:
        """Whether nothing more arrives; raises where that was not announced."""
        if self.is_gone and not self.has_ended:
            raise ConnectionResetError
        return self.has_ended

    def _hold(self, data: bytes) -> None:
        self._pieces.append(data)
        self._held += len(data)
        if self._held > HIGH_WATER:
            self.pause()
        self._wake()

    def _read_little(self) -> None:
        """Read into a small buffer from now on."""
        if self._transport.is_closing():
            return
        paused = self._paused
        self.pause()  # how a transport reads is decided when it begins to
        self._transport.set_protocol(ShortReads(self, self._loop))
        if not paused:
            self.resume()

    def _take(self) -> bytes:
        taken = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._held = 0
        return taken

    async def _news(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
