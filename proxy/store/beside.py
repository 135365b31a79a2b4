"""Work on the items of a response: in another thread where they are many or large, so that the event loop goes on."""

import asyncio
from collections.abc import Callable, Collection
from typing import Any, Final, TypeVar

_MANY: Final = 1000
"""Items beyond which work leaves the event loop: to read so many takes 5 ms."""
_LARGE: Final = 1024 * 1024
"""Bytes beyond which it does: to hash or encrypt so many takes a millisecond or more."""

_Result = TypeVar("_Result")


async def beside(items: Collection[bytes], work: Callable[..., _Result], *arguments: Any) -> _Result:
    """What `work` on `items` returns. It is waited for also where its caller is cancelled: it may change something."""
    if len(items) <= _MANY and sum(map(len, items)) <= _LARGE:
        return work(*arguments)
    running = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
