"""Work that may take long, in other threads, so that the event loop goes on; fair to all callers.

Two threads: more would not be faster under one interpreter lock, and each body being worked on takes memory. While both
are busy, work waits in a queue for each caller, and the callers are served in turn: however much work one caller sends,
another's next piece of work waits for at most one piece of each caller before it. What one caller may have waiting is
bounded; beyond the bound its request is rejected with 503, before anything was sent.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from proxy.http.faults import Fault, hop_fault

Result = TypeVar("Result")

THREADS: Final = 2
WAITING: Final = 32
"""Pieces of work that one caller may have waiting."""

_THREADS: Final = ThreadPoolExecutor(THREADS, "unpinned-offload")


class Offload:
    """A number of threads, and the work that waits for them."""

    def __init__(self, threads: int = THREADS, waiting: int = WAITING) -> None:
        self._free = threads
        self._most = waiting
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    async def run(self, caller: str, work: Callable[..., Result], *arguments: Any) -> Result:
        """What `work` returns or raises, in another thread. Raises Fault where the caller has too much waiting."""
        await self._enter(caller)
        running = asyncio.get_running_loop().run_in_executor(_THREADS, work, *arguments)
        running.add_done_callback(lambda _: self._leave())
        return await running

    async def _enter(self, caller: str) -> None:
        if self._free:
            self._free -= 1
            return
        turns = self._waiting.setdefault(caller, deque())
        if len(turns) >= self._most:
            raise _too_busy()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        turns.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()  # the turn had come
            raise

    def _leave(self) -> None:
        """Give the thread to the caller whose turn it is, which then is the last in line."""
        while self._waiting:
            caller, turns = next(iter(self._waiting.items()))
            turn = turns.popleft()
            if turns:
                self._waiting.move_to_end(caller)
            else:
                del self._waiting[caller]
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


def _too_busy() -> Fault:
    return hop_fault("too_busy")
