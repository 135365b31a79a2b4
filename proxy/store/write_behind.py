"""The write-behind queue: writes happen behind the answers, in order within a scope, and scopes are served in turn.

However much one caller writes, another's next write waits for at most one write of each. The queue is bounded by count
and bytes. A write that fails because the store cannot be reached is tried `TRIES` times, with growing pauses in which
no other is tried either; one that fails by itself is tried once more, and then dropped, while the others go on.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Literal, NamedTuple

from proxy.store.interface import Remembered

TRIES: Final = 5
_AGAIN: Final = 2
_MOST: Final = 10_000
_MOST_BYTES: Final = 64 * 1024 * 1024


class Write(NamedTuple):
    """Something to be written."""

    scope: str
    what: Remembered | str
    """A response to remember, or the name of one to forget."""
    size: int
    done: asyncio.Event
    request_id: str = ""
    """The request whose answer it is."""

    def concerns(self, name: str | None) -> bool:
        """Whether it is about the record with that name."""
        if isinstance(self.what, str):
            return self.what == name
        return any(record.response_id == name for record in self.what.records)


Outcome = Literal["written", "failed", "unreachable"]


class WriteBehind:
    """Writes by `write`, waiting for `pause()` seconds before each."""

    def __init__(self, write: Callable[[Write], Awaitable[Outcome]], pause: Callable[[], float]) -> None:
        self._write = write
        self._pause = pause
        self._queues: OrderedDict[str, deque[Write]] = OrderedDict()
        self._count = 0
        self.size = 0
        self.worker: asyncio.Task[None] | None = None

    def put(self, scope: str, what: Remembered | str, request_id: str = "") -> bool:
        """Have something written soon; whether there is room for it."""
        size = _size(what) if isinstance(what, Remembered) else 0
        if self._count >= _MOST or self.size + size > _MOST_BYTES:
            return False
        self._queues.setdefault(scope, deque()).append(Write(scope, what, size, asyncio.Event(), request_id))
        self._count += 1
        self.size += size
        if self.worker is None or self.worker.done():
            self.worker = asyncio.get_running_loop().create_task(self._work())
        return True

    def pending(self, scope: str, response_id: str | None) -> asyncio.Event | None:
        """What is set when the last write of a response is done; None where none waits."""
        for write in reversed(self._queues.get(scope, ())):
            if write.concerns(response_id):
                return write.done
        return None

    async def _work(self) -> None:
        while self._queues:
            scope, queue = next(iter(self._queues.items()))
            await self._until_done(queue[0])
            write = queue.popleft()
            self._count -= 1
            self.size -= write.size
            write.done.set()
            if queue:
                self._queues.move_to_end(scope)
            else:
                del self._queues[scope]

    async def _until_done(self, write: Write) -> None:
        tries = failures = 0
        while tries < TRIES and failures < _AGAIN:
            await asyncio.sleep(self._pause())
            outcome = await self._write(write)
            if outcome == "written":
                return
            tries += 1
            failures += outcome == "failed"

    async def flush(self, seconds: float) -> None:
        """Write what waits, as far as that can be done in so many seconds."""
        if self.worker is not None:
            with suppress(TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(self.worker, seconds)


def _size(what: Remembered) -> int:
    """The bytes of its items, and of those that what belongs to it does not share with it."""
    own = set(map(id, what.items))
    others = [item for record in what.besides for item in record.items if id(item) not in own]
    return sum(map(len, what.items)) + sum(map(len, others))
