"""The store as requests use it: an aid, never a gate.

*Lookups* happen while a request waits, so they have a deadline. A lookup first waits for a pending write of the same
response. A failed lookup opens the lookups' circuit breaker: until it closes, every lookup is answered with "down"
without contacting the store, and requests go on as they would without one.

*Writes* go into a write-behind queue and happen behind the answer, one after the other, in order. A failed write is
retried with growing pauses; after `TRIES` it is dropped. The queue is bounded by count and bytes; what does not fit is
dropped. After a dropped write the next turn is answered as it would be without a store.

Lookups and writes have a breaker each: a store that refuses writes (full, or a replica) can still answer lookups.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, NamedTuple

from proxy.events import Observer, StoreFailed
from proxy.http.credential import credential
from proxy.responses.history.recording import inlined, references
from proxy.responses.steps import Recall
from proxy.store.interface import Recalled, Remembered, Store

TRIES: Final = 5
"""How often something is tried to be written before it is dropped."""
_FLUSH: Final = 5.0
"""Seconds that writing what is left may take at the end."""
_PATIENCE: Final = 10.0
"""Seconds that one write may take."""
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
_MOST: Final = 10_000
_MOST_BYTES: Final = 64 * 1024 * 1024
_NOTHING: Final = Recalled(None, {})


class _Write(NamedTuple):
    scope: str
    what: Remembered | str
    """A response to remember, or the id of one to forget."""
    size: int
    landed: asyncio.Event

    @property
    def response_id(self) -> str:
        return self.what if isinstance(self.what, str) else self.what.response_id


class Terms(NamedTuple):
    """How a store is used."""

    scope: str | None = None
    """The name that joins all credentials; without one each has what it made itself."""
    timeout: float = 0.25
    """Seconds that a lookup may take."""
    largest: int = 16 * 1024 * 1024
    """Bytes of an item; a response with a larger one is not remembered, nor are those that continue it."""
    identity: frozenset[bytes] = frozenset()
    """Further header fields that tell callers apart."""


DEFAULTS: Final = Terms()


class _CircuitBreaker:
    """Keeps calls away from a store that failed, for twice as long after each failure in a row."""

    def __init__(self) -> None:
        self._length = 0.0
        self._until = 0.0

    def begin(self, now: float) -> None:
        """A call failed: open the breaker."""
        self._length = min(max(_FIRST_PAUSE, 2 * self._length), _LONGEST_PAUSE)
        self._until = now + self._length

    def end(self) -> None:
        """The store answered: close the breaker."""
        self._length = self._until = 0.0

    def left(self, now: float) -> float:
        """The seconds for which it stays open."""
        return max(self._until - now, 0.0) if self._length else 0.0

    def is_open(self, now: float) -> bool:
        """Whether calls are kept away."""
        return self.left(now) > 0


class StoreService:
    """Lookups and writes of one store, on behalf of requests."""

    def __init__(
        self,
        store: Store,
        observer: Observer,
        terms: Terms = DEFAULTS,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._observer = observer
        self._terms = terms
        self._clock = clock
        self._lookups = _CircuitBreaker()
        self._writes = _CircuitBreaker()
        self._queue: deque[_Write] = deque()
        self._size = 0
        self._worker: asyncio.Task[None] | None = None

    def scope(self, fields: Iterable[tuple[bytes, bytes]]) -> str | None:
        """The scope of a request with these fields; None without a credential."""
        if self._terms.scope is not None:
            return f"name:{self._terms.scope}"
        return credential(fields, self._terms.identity)

    async def recall(self, scope: str | None, wanted: Recall) -> Recalled | None:
        """What the store knows; None: it is down."""
        if scope is None:
            return _NOTHING
        if wanted.delay:
            await asyncio.sleep(wanted.delay)
        if self._lookups.is_open(self._clock()):
            return None
        try:
            async with asyncio.timeout(self._terms.timeout):
                await self._landed(scope, wanted.response_id)
                found = await self._store.recall(scope, wanted.response_id, wanted.item_ids)
        except Exception as error:  # noqa: BLE001 -- engines have their own exceptions, and the request goes on
            self._lookups.begin(self._clock())
            self._observer.notice("", StoreFailed("recall", type(error).__name__))
            return None
        self._lookups.end()
        return found

    def failed_to_read(self) -> None:
        """An answer could not be read, and is not remembered."""
        self._observer.notice("", StoreFailed("read"))

    async def _landed(self, scope: str, response_id: str | None) -> None:
        """Wait until what is to be written of a response has been written."""
        for write in reversed(self._queue):
            if write.scope == scope and write.response_id == response_id:
                await write.landed.wait()
                return

    def remember(self, scope: str, response: Remembered) -> None:
        """Have a response remembered, some time soon."""
        if any(len(item) > self._terms.largest for item in response.items):
            self._observer.notice("", StoreFailed("too_large"))
            return
        self._enqueue(_Write(scope, response, sum(map(len, response.items)), asyncio.Event()))

    def forget(self, scope: str, response_id: str) -> None:
        """Have a response forgotten, behind what is to be remembered before."""
        self._enqueue(_Write(scope, response_id, 0, asyncio.Event()))

    def _enqueue(self, write: _Write) -> None:
        if len(self._queue) >= _MOST or self._size + write.size > _MOST_BYTES:
            self._observer.notice("", StoreFailed("overflow"))
            return
        self._queue.append(write)
        self._size += write.size
        if self._worker is None or self._worker.done():
            self._worker = asyncio.get_running_loop().create_task(self._write_all())

    async def _write_all(self) -> None:
        tries = 0
        while self._queue:
            await asyncio.sleep(self._writes.left(self._clock()))
            write = self._queue[0]
            tries += 1
            if await self._written(write) or tries == TRIES:
                self._queue.popleft()
                self._size -= write.size
                write.landed.set()
                tries = 0

    async def _written(self, write: _Write) -> bool:
        try:
            async with asyncio.timeout(_PATIENCE):
                if isinstance(write.what, str):
                    await self._store.forget(write.scope, write.what)
                else:
                    await self._store.remember(write.scope, await self._inlined(write.scope, write.what))
        except Exception as error:  # noqa: BLE001 -- engines have their own exceptions, and the write is retried
            self._writes.begin(self._clock())
            self._observer.notice("", StoreFailed("remember", type(error).__name__))
            return False
        self._writes.end()
        return True

    async def _inlined(self, scope: str, response: Remembered) -> Remembered:
        """The response with the store's items in the place of references, so that one lookup recalls it."""
        ids = references(response)
        return inlined(response, (await self._store.recall(scope, None, ids)).items) if ids else response

    async def close(self) -> None:
        """Write what is left, as far as that can be done in a few seconds, and let the store go."""
        if self._worker is not None:
            with suppress(TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(self._worker, _FLUSH)
        with suppress(Exception):
            await self._store.close()
