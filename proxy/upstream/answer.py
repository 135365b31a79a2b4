"""An answer while it arrives: a bounded queue of chunks between a connection and the task that relays them.

The connection calls `add`, `end` and `fail`, and then `wake`, from callbacks of the event loop; one task calls `begun`,
then `read` or `relay`, then `close`. Both run in one loop, so every change is one synchronous step.

The reader is in one of four states:

    away        it is busy elsewhere; chunks are collected
    waiting     `_waiter` is set, for the head or the next chunk; `wake` resumes the task
    relaying    as waiting, and `_write` is set: `wake` writes the chunk itself, without the task (see eager.py)
    suspended   such a write waits for a slow client: `_rest` is what the task has to finish, and it is resumed for that

Invariants: chunks are read before the end, or before the failure that followed them. At most one write is going on, so
chunks keep their order. The first failure counts. After the end or a failure there is no source any more.

Back-pressure: the source is paused when more than `high_water` bytes are held, and whenever a write waits. It is
resumed only when the reader is back and has nothing left to read.
"""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Protocol

from proxy.http import eager
from proxy.http.metadata import Metadata
from proxy.upstream.interface import Answer

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from proxy.http.headers import Fields
    from proxy.upstream.interface import Write


_NO_METADATA = Metadata(())


class Source(Protocol):
    """The connection that an answer arrives on."""

    def pause(self) -> None:
        """Stop reading for now."""

    def resume(self) -> None:
        """Read on."""

    def abandon(self) -> None:
        """Close; the rest is not wanted."""


class IncomingAnswer(Answer):
    """One answer from `source`, which is paused while more than `high_water` bytes are held."""

    def __init__(self, source: Source, loop: asyncio.AbstractEventLoop, high_water: int) -> None:
        self.status = 0
        self.fields: Fields = []
        self.metadata = _NO_METADATA
        self._source: Source | None = source
        self._loop = loop
        self._high_water = high_water
        self._chunks: list[bytes] = []
        self._held = 0
        self._paused = False
        self._ended = False
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._invitation: asyncio.Future[None] | None = None
        self._write: Write | None = None
        self._rest: Awaitable[None] | None = None
        self.upload: asyncio.Task[None] | None = None

    # Called by the connection.

    def add(self, piece: bytes) -> None:
        """Hold a piece of the body."""
        self._chunks.append(piece)
        self._held += len(piece)

    def end(self) -> None:
        """Mark the body as complete."""
        self._ended = True
        self._source = None

    def fail(self, failure: Exception) -> None:
        """Mark the answer as broken by `failure`, unless it is already."""
        if self._failure is None:
            self._failure = failure
            self._source = None
            self.wake()

    def wake(self) -> None:
        """Let the reader have what has arrived, and pause the source when the reader is slow."""
        if self._write is not None and self._chunks and not (self._ended or self._failure):
            self._push(self._write)
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self._invitation is not None and not self._invitation.done():
            self._invitation.set_result(None)
        if self._held > self._high_water:
            self._pause()

    # Called by the reader.

    async def begun(self) -> None:
        """Wait for the head."""
        while not self.status:
            if self._failure is not None:
                raise self._failure
            await self._news()

    async def refused_within(self, seconds: float) -> bool:
        """Whether upstream answers within so many seconds without sending 100 Continue for the body first."""
        if not (self.status or self._failure):
            self._invitation = self._loop.create_future()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._invitation
        return bool(self.status or self._failure)

    async def read(self) -> tuple[bytes, bool]:
        """All that has arrived, or else the next chunk; see `interface.Answer`."""
        while not (self._chunks or self._ended):
            if self._failure is not None:
                raise self._failure
            self._resume()
            await self._news()
        return self._take(), not self._ended

    async def relay(self, write: "Write") -> None:
        """Write the body as it arrives; see `interface.Answer`."""
        more = True
        while more:
            while not (self._chunks or self._ended or self._failure):
                self._resume()
                self._write = write
                await self._news()
                rest, self._rest = self._rest, None
                if rest is not None:
                    await rest
            chunk, more = await self.read()
            writing = write(chunk, more)
            del chunk  # for a slow client it waits where it is written, and there only
            await writing

    async def close(self) -> None:
        """Release the connection."""
        self.drop()

    def drop(self) -> None:
        """Cancel a body that is still being sent, and release the connection: closed, unless the answer is complete."""
        if self.upload is not None:
            self.upload.cancel()
        if self._source is not None:
            self._source.abandon()
            self._source = None

    def _resume(self) -> None:
        # Not before the reader is back for more: while it waits for a slow client, chunks should not pile up.
        if self._paused and self._source is not None:
            self._paused = False
            self._source.resume()

    async def _news(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = self._write = None

    def _push(self, write: "Write") -> None:
        """Write what has arrived in place of the waiting task, which is woken only for a write that has to wait."""
        self._rest = eager.begin(write(self._take(), True))
        if self._rest is not None:
            self._write = None
            self._pause()
            self.wake()

    def _pause(self) -> None:
        if self._source is not None and not self._paused:
            self._paused = True
            self._source.pause()

    def _take(self) -> bytes:
        chunk = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._held = 0
        return chunk
