"""Conversations as requests use them: a gate, unlike the rest of the store.

Upstream knows nothing of a conversation that lives here, so that a request that names one cannot go on without the
store: what cannot be done in time raises UnavailableError, and the request is answered 503. Each call has a deadline,
and waits for its turn among those that the engine performs at a time; of these one scope has half at most. A circuit
breaker of its own keeps calls away from a store that cannot be reached.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple, TypeVar

from proxy.events import Observer, StoreFailed
from proxy.responses.conversations.ledger import Ledger
from proxy.responses.history.recording import Remembered, inlined, references
from proxy.store.beside import beside
from proxy.store.breaker import CircuitBreaker
from proxy.store.conversations import Conversations, Lock, NotTaken
from proxy.store.interface import Store

LOCKED: Final = 30.0
"""Seconds after which the lock of a process that died is free."""
RENEWED: Final = 10.0
"""Seconds after which a process renews the lock that it holds."""
BACKGROUND: Final = 3600.0
"""Seconds for which a response in the background is waited for."""
_PATIENCE: Final = 5.0
"""Seconds that one call may take, and wait for its turn."""
_WAITS: Final = (0.02, 0.08, 0.2, 0.35)
"""Seconds before a lock that is held is tried for again: a turn that has been answered is just being written."""

_REFERENCES: Final = 1000
"""References of one request that are looked up."""

_Result = TypeVar("_Result")


class UnavailableError(Exception):
    """The store cannot be reached, or does not answer in time."""


class Held(NamedTuple):
    """A lock that is taken, and what its conversation holds."""

    lock: Lock
    ledger: Ledger


class _Share:
    """What one scope may do at a time."""

    def __init__(self, most: int) -> None:
        self.turns = asyncio.Semaphore(most)
        self.users = 0


class ConversationService:
    """Calls of one store's conversations, on behalf of requests."""

    def __init__(self, store: Store, observer: Observer, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._observer = observer
        self._clock = clock
        self._breaker = CircuitBreaker()
        self._turns = asyncio.Semaphore(store.lookups)
        self._shares: dict[str, _Share] = {}
        self._endings: set[asyncio.Task[None]] = set()

    async def perform(
        self, scope: str, work: Callable[[Conversations], Awaitable[_Result]], request_id: str = ""
    ) -> _Result:
        """What comes of `work`, which is done a second time where it failed by itself. Raises UnavailableError."""
        if not self._breaker.admits(self._clock()):
            raise UnavailableError
        try:
            async with self._turn(scope):
                return await self._tried(work)
        except Exception as error:
            self._observer.notice(request_id, StoreFailed("conversation", type(error).__name__))
            raise UnavailableError from error
        finally:
            self._breaker.given_up()

    async def _tried(self, work: Callable[[Conversations], Awaitable[_Result]]) -> _Result:
        for last in (False, True):
            try:
                async with asyncio.timeout(_PATIENCE):
                    found = await work(self._store.conversations)
            except Exception as error:
                if self._store.is_unreachable(error) and last:
                    self._breaker.failed(self._clock())
                if last or isinstance(error, TimeoutError):
                    raise
            else:
                self._breaker.answered()
                return found
        raise UnavailableError

    @asynccontextmanager
    async def _turn(self, scope: str) -> AsyncIterator[None]:
        share = self._shares.setdefault(scope, _Share(max(1, self._store.lookups // 2)))
        share.users += 1
        try:
            async with asyncio.timeout(_PATIENCE) as waiting, share.turns, self._turns:
                waiting.reschedule(None)
                yield
        finally:
            share.users -= 1
            if not share.users:
                self._shares.pop(scope, None)

    async def lock(self, scope: str, conversation_id: str, request_id: str = "") -> Held | NotTaken:
        """The lock, taken, or why it is not, after it was waited for. Raises UnavailableError."""
        lock = Lock(scope, conversation_id, secrets.token_hex(16))
        for pause in (0.0, *_WAITS):
            await asyncio.sleep(pause)
            taken = await self.perform(scope, lambda kept: kept.lock(lock, LOCKED), request_id)
            if taken != "held":
                return taken if taken == "unknown" else Held(lock, taken)
        return "held"

    async def known(self, scope: str, item_ids: Sequence[str], request_id: str = "") -> dict[str, bytes]:
        """The items of the scope with these ids. Raises UnavailableError."""
        if not item_ids:
            return {}
        recalled = await self.perform(scope, lambda _: self._store.recall(scope, None, item_ids), request_id)
        return dict(recalled.items)

    async def inlined(self, scope: str, items: tuple[bytes, ...], request_id: str = "") -> tuple[bytes, ...]:
        """Items, with what is known in the place of references. Raises UnavailableError."""
        sent = Remembered("", None, items)
        ids = (await beside(items, references, sent))[:_REFERENCES]
        known = await self.known(scope, ids, request_id)
        return (await beside(items, inlined, sent, known)).items if known else items

    async def finish(self, ending: Awaitable[None]) -> None:
        """Wait for what has to be written in the end, which goes on also where its request is cancelled."""
        task = asyncio.ensure_future(_whole(ending))
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)
        await asyncio.shield(task)

    async def close(self) -> None:
        """Wait for what is being written."""
        if self._endings:
            await asyncio.wait([*self._endings], timeout=_PATIENCE)


async def _whole(ending: Awaitable[None]) -> None:
    await ending
