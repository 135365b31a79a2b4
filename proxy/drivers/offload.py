"""Asks an `Exchange` for its steps: in the loop what is quick, beside it what a large body may make slow.

Nobody waits for somebody else's body, and no more than two are worked on at a time: that is the memory they take.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from proxy.responses.body.size import MOST, containers, weight
from proxy.responses.exchange import Exchange
from proxy.responses.history.recall import Recall, Recalled
from proxy.responses.steps import Forward, Relay

Step = TypeVar("Step")
Ask = Callable[[Recall], Awaitable[Recalled | None]]
"""Asks a store; None: it is down."""

LARGE: Final = 64 * 1024
"""Bytes beyond which a body that is not ordinary is not looked at in the loop: 64 KiB may take 0.1 s."""
_GLANCED: Final = 4 * 1024 * 1024
"""Bytes up to which a glance takes 0.1 s at most, whatever came."""
_THREADS: Final = ThreadPoolExecutor(2, "unpinned-beside")


def is_large(body: bytes) -> bool:
    """Whether `body` may be looked at in another thread."""
    return len(body) > LARGE


async def first_step(exchange: Exchange, body: bytes, ask: Ask | None = None) -> Forward | None:
    """The first attempt for `body`; None where there is more in it than is read."""
    if len(body) > _GLANCED and containers(body) > MOST:
        return None
    step = exchange.glance()
    if step is not None:
        return step
    if is_large(body) and weight(body) > MOST:
        return None
    size = len(body) if ask is None else await _recall(exchange, ask, len(body))
    step = exchange.glance() if ask is not None and size <= _GLANCED else None
    if step is not None:
        return step
    return await beside(_looked, exchange) if size > LARGE else exchange.look()


def _looked(exchange: Exchange) -> Forward:
    step = exchange.look()
    exchange.forget()
    return step


async def next_step(
    exchange: Exchange, body: bytes, status: int, refusal: bytes, ask: Ask | None = None
) -> Forward | Relay:
    """What follows the refusal of `body`."""
    size = len(body)
    if ask is not None:
        size = await _recall(exchange, ask, size, status, refusal)
    if size > LARGE:
        return await beside(exchange.receive, status, refusal)
    return exchange.receive(status, refusal)


async def _recall(exchange: Exchange, ask: Ask, size: int, *refusal: Any) -> int:
    """Ask what the exchange wants to know before its next step; the bytes that this is about then."""
    while True:
        wanted = await (beside(exchange.recall, *refusal) if size > LARGE else _at_once(exchange.recall, *refusal))
        if wanted is None:
            return size
        found = await ask(wanted)
        size += sum(map(len, found.conversation or ())) if found is not None else 0
        slow = size > (LARGE if wanted.compares else _GLANCED)
        await (beside(exchange.recalled, found) if slow else _at_once(exchange.recalled, found))


async def _at_once(work: Callable[..., Step], *arguments: Any) -> Step:
    return work(*arguments)


async def beside(work: Callable[..., Step], *arguments: Any) -> Step:
    """What `work` returns or raises, in another thread."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, work, *arguments)
