"""Work that may take long, in another thread, so that the event loop goes on.

Two threads: more would not be faster under one interpreter lock, and each body being worked on takes memory.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from proxy.responses.steps import INLINE, Compute

Result = TypeVar("Result")

_THREADS: Final = ThreadPoolExecutor(2, "unpinned-offload")


async def offload(work: Callable[..., Result], *arguments: Any) -> Result:
    """What `work` returns or raises, in another thread."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, work, *arguments)


async def compute(step: Compute) -> Any:
    """The result of a step's work: on the event loop where that is quick, else in another thread."""
    return step.work() if step.cost <= INLINE else await offload(step.work)
