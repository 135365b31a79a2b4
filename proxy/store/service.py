"""The store as requests use it: an aid, never a gate.

*Lookups* happen while a request waits, so they have a deadline, which runs from when the query is sent. Before that a
lookup waits for a pending write of the same response, and for its turn among the lookups that the engine performs at a
time; where that takes too long, this request misses, and the store is not blamed. A lookup is bounded to `_REFERENCES`
references. One that fails is answered with "down" for its own request; when the store cannot be reached, or small
lookups of several scopes time out in a row, a circuit breaker answers so without contacting the store.

*Writes* happen behind the answer (see `write_behind`), with a breaker of their own: a store that refuses writes (full,
or a replica) can still answer lookups. After a dropped write the next turn is answered as it would be without a store.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from itertools import filterfalse
from typing import Any, Final, NamedTuple

from proxy.events import Observer, StoreFailed
from proxy.http.credential import credential
from proxy.responses.history.recording import inlined, references
from proxy.responses.steps import Recall
from proxy.store.beside import beside
from proxy.store.breaker import CircuitBreaker
from proxy.store.interface import Recalled, Remembered, Store
from proxy.store.write_behind import Outcome, Write, WriteBehind

_FLUSH: Final = 5.0
"""Seconds that writing what is left may take at the end."""
_PATIENCE: Final = 10.0
"""Seconds that one write may take."""
_ADMISSION: Final = 5.0
"""Seconds that a lookup may wait for its turn."""
_REFERENCES: Final = 1000
"""References that one request may look up; a conversation that fills a model's context has a tenth of it."""
_ITEMS: Final = 20_000
"""Items of a response that is remembered: more than any model's context holds, and less than the loop would notice."""
_SMALL: Final = 100
"""References up to which a timeout says something about the store."""
_NOTHING: Final = Recalled(None, {})


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
    place: str = ""
    """What this process calls the place where it has responses made."""


DEFAULTS: Final = Terms()


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
        self.store = store
        self._observer = observer
        self._terms = terms
        self._clock = clock
        self._lookups = CircuitBreaker()
        self._writes = CircuitBreaker()
        self._turns = asyncio.Semaphore(store.lookups)
        self._before_close: list[Callable[[], Awaitable[None]]] = []
        self._queue = WriteBehind(self._written, lambda: self._writes.left(self._clock()))

    @property
    def place(self) -> str:
        """What is remembered as the place of a response that is made here."""
        return self._terms.place

    def scope(self, fields: Iterable[tuple[bytes, bytes]]) -> str | None:
        """The scope of a request with these fields; None without a credential."""
        if self._terms.scope is not None:
            return f"name:{self._terms.scope}"
        return credential(fields, self._terms.identity)

    async def recall(self, scope: str | None, wanted: Recall, request_id: str = "") -> Recalled | None:
        """What the store knows; None: it is down. A failure is logged as that of the request `request_id`."""
        if scope is None or len(wanted.item_ids) > _REFERENCES:
            return _NOTHING
        if wanted.delay:
            await asyncio.sleep(wanted.delay)
        pending = self._queue.pending(scope, wanted.response_id)
        if pending is not None and not await _within(self._terms.timeout, pending.wait()):
            return _NOTHING
        if not await _within(_ADMISSION, self._turns.acquire()):
            return _NOTHING
        try:
            return await self._recall(scope, wanted, request_id) if self._lookups.admits(self._clock()) else None
        finally:
            self._turns.release()

    async def _recall(self, scope: str, wanted: Recall, request_id: str) -> Recalled | None:
        try:
            async with asyncio.timeout(self._terms.timeout):
                found = await self.store.recall(scope, wanted.response_id, wanted.item_ids)
        except Exception as error:  # noqa: BLE001 -- engines have their own exceptions, and the request goes on
            self._judge(error, scope, small=len(wanted.item_ids) <= _SMALL)
            self._observer.notice(request_id, StoreFailed("recall", type(error).__name__))
            return None
        except asyncio.CancelledError:
            self._lookups.given_up()
            raise
        self._lookups.answered()
        return found

    def _judge(self, error: Exception, scope: str, *, small: bool) -> None:
        """What a failed lookup says about the store."""
        if self.store.is_unreachable(error):
            self._lookups.failed(self._clock())
        elif isinstance(error, TimeoutError) and small:
            self._lookups.timed_out(scope, self._clock())
        else:
            self._lookups.given_up()

    def failed_to_read(self, request_id: str = "") -> None:
        """An answer could not be read, and is not remembered."""
        self._observer.notice(request_id, StoreFailed("read"))

    def remember(self, scope: str, response: Remembered, request_id: str = "") -> None:
        """Have a response remembered, some time soon, with what belongs to it."""
        together = response._replace(besides=tuple(filterfalse(self._is_too_large, response.besides)))
        if self._is_too_large(response):
            self._observer.notice(request_id, StoreFailed("too_large"))
        elif not self._queue.put(scope, together, request_id):
            self._observer.notice(request_id, StoreFailed("overflow"))

    def _is_too_large(self, record: Remembered) -> bool:
        return len(record.items) > _ITEMS or any(len(item) > self._terms.largest for item in record.items)

    def forget(self, scope: str, response_id: str, request_id: str = "") -> None:
        """Have a response forgotten, behind what is to be remembered before."""
        if not self._queue.put(scope, response_id, request_id):
            self._observer.notice(request_id, StoreFailed("overflow"))

    async def _written(self, write: Write) -> Outcome:
        try:
            async with asyncio.timeout(_PATIENCE):
                if isinstance(write.what, str):
                    await self.store.forget(write.scope, write.what)
                else:
                    await self.store.remember(write.scope, await self._inlined(write.scope, write.what))
        except Exception as error:  # noqa: BLE001 -- engines have their own exceptions, and the write is retried
            self._observer.notice(write.request_id, StoreFailed("remember", type(error).__name__))
            if not self.store.is_unreachable(error):
                return "failed"
            self._writes.failed(self._clock())
            return "unreachable"
        self._writes.answered()
        return "written"

    async def _inlined(self, scope: str, response: Remembered) -> Remembered:
        """The response with the store's items in the place of references, so that one lookup recalls it."""
        ids = (await beside(response.items, references, response))[:_REFERENCES]
        if not ids:
            return response
        known = (await self.store.recall(scope, None, ids)).items
        return await beside(response.items, inlined, response, known)

    def before_close(self, work: Callable[[], Awaitable[None]]) -> None:
        """Have something else done that needs the store before it is let go of."""
        self._before_close.append(work)

    async def flush(self) -> None:
        """Write what is left, as far as that can be done in a few seconds."""
        for work in self._before_close:
            await work()
        await self._queue.flush(_FLUSH)

    async def close(self) -> None:
        """Write what is left, and let the store go."""
        await self.flush()
        with suppress(Exception):
            await self.store.close()


async def _within(seconds: float, waiting: Coroutine[Any, Any, Any]) -> bool:
    """Whether something happened within so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await waiting
    except TimeoutError:
        return False
    return True
