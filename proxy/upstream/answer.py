"""An answer while it comes: filled by its connection, emptied by whoever relays it.

No I/O. What has come is given out before the end or the failure that followed it. What comes while the relaying task
waits for it is given on where it arrives, without waking the task, as long as the client takes it at once: that spares
a quarter of an event's cost, and a turn of the loop.
"""

import asyncio
import contextlib
import types
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Protocol

from proxy.upstream.interface import Answer

if TYPE_CHECKING:
    from proxy.http.headers import Fields
    from proxy.upstream.interface import Give


class Source(Protocol):
    """Where an answer comes from."""

    def pause(self) -> None:
        """Send no more for now."""

    def resume(self) -> None:
        """Send on."""

    def abandon(self) -> None:
        """Nobody wants the rest."""


class IncomingAnswer(Answer):
    """One answer of `source`, which is held back while more than `high_water` bytes wait to be read."""

    def __init__(self, source: Source, loop: asyncio.AbstractEventLoop, high_water: int) -> None:
        self.status = 0
        self.fields: Fields = []
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
        self._give: Give | None = None
        self._rest: Generator[Any, None, None] | None = None
        self.upload: asyncio.Task[None] | None = None

    # What the connection does.

    def add(self, chunk: bytes) -> None:
        """A piece of the body has come."""
        self._chunks.append(chunk)
        self._held += len(chunk)

    def end(self) -> None:
        """The body has come to its end."""
        self._ended = True
        self._source = None

    def fail(self, failure: Exception) -> None:
        """What has come is all that will come, and `failure` says why; the first one counts."""
        if self._failure is None:
            self._failure = failure
            self._source = None
            self.wake()

    def wake(self) -> None:
        """Tell the reader that there is news, and hold the source back when the reader is slow."""
        if self._give is not None and self._chunks and not (self._ended or self._failure):
            self._push(self._give)
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self._invitation is not None and not self._invitation.done():
            self._invitation.set_result(None)
        if self._held > self._high_water:
            self._hold_back()

    # What the reader does.

    async def begun(self) -> None:
        """Wait for the head."""
        while not self.status:
            if self._failure is not None:
                raise self._failure
            await self._news()

    async def refused_within(self, seconds: float) -> bool:
        """Wait so long for upstream to ask for the body with 100 Continue; whether it has answered without it."""
        if not (self.status or self._failure):
            self._invitation = self._loop.create_future()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._invitation
        return bool(self.status or self._failure)

    async def read(self) -> tuple[bytes, bool]:
        """All that has come, or else the next; see `seam.Answer`."""
        while not (self._chunks or self._ended):
            if self._failure is not None:
                raise self._failure
            self._resume()
            await self._news()
        return self._taken(), not self._ended

    async def relay(self, give: "Give") -> None:
        """Give the body on; see `seam.Answer`."""
        more = True
        while more:
            while not (self._chunks or self._ended or self._failure):
                self._resume()
                self._give = give
                await self._news()
                rest, self._rest = self._rest, None
                if rest is not None:
                    await _gone_on_with(rest)
            chunk, more = await self.read()
            await give(chunk, more)

    async def close(self) -> None:
        """Let go of the connection."""
        self.drop()

    def drop(self) -> None:
        """Let go of the connection and of a body that is still being sent, at once."""
        if self.upload is not None:
            self.upload.cancel()
        if self._source is not None:
            self._source.abandon()
            self._source = None

    def _resume(self) -> None:
        # Not before the reader is back for more: while it waits for a slow client, nothing else should pile up.
        if self._paused and self._source is not None:
            self._paused = False
            self._source.resume()

    async def _news(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = self._give = None

    def _push(self, give: "Give") -> None:
        """Give on what has come, in place of the task that waits for it; where the client is slow, that goes on."""
        giving = give(self._taken(), True).__await__()
        try:
            self._rest = _Rest(next(giving), giving)
        except StopIteration:
            return
        except Exception as reason:  # noqa: BLE001 - it is raised where the answer is relayed
            self._rest = _raising(reason)
        self._give = None
        self._hold_back()
        self.wake()

    def _hold_back(self) -> None:
        if self._source is not None and not self._paused:
            self._paused = True
            self._source.pause()

    def _taken(self) -> bytes:
        chunk = b"".join(self._chunks)
        self._chunks.clear()
        self._held = 0
        return chunk


class _Rest(Generator[Any, None, None]):
    """What is left of `giving`, which waits for `first`: the steps of an awaitable, for another task to go on with."""

    def __init__(self, first: Any, giving: Generator[Any, None, None]) -> None:
        self._first = [first]
        self._giving = giving

    def send(self, value: None) -> Any:
        """Take the next step; the first one has been taken already."""
        return self._first.pop() if self._first else self._giving.send(value)

    def throw(self, *reason: Any) -> Any:
        """Hand a cancellation on."""
        return self._giving.throw(*reason)


def _raising(reason: Exception) -> Generator[Any, None, None]:
    yield from ()
    raise reason


@types.coroutine
def _gone_on_with(steps: Generator[Any, None, None]) -> Generator[Any, None, None]:
    yield from steps
