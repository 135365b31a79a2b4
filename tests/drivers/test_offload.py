"""Work in other threads: fair to all callers, and bounded for each."""

import asyncio
import threading
import time

import pytest

from proxy.drivers.offload import Offload
from proxy.http.faults import Fault

pytestmark = pytest.mark.anyio


async def test_where_work_is_done() -> None:
    """Work is done in another thread, and its result or exception is the caller's."""
    offload = Offload()
    assert (await offload.run("me", lambda: threading.current_thread().name)).startswith("unpinned-offload")
    assert await offload.run("me", divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await offload.run("me", lambda: 1 // 0)


async def test_callers_are_served_in_turn() -> None:
    """A caller with much work waits for itself: another's piece is done after one piece of each, not after all."""
    offload = Offload(threads=1)
    done: list[str] = []

    async def piece(caller: str) -> None:
        await offload.run(caller, time.sleep, 0.001)
        done.append(caller)

    pieces = [asyncio.create_task(piece(caller)) for caller in "aaaaaaaabc"]
    await asyncio.gather(*pieces)
    assert done[:4] == ["a", "a", "b", "c"]
    assert done[4:] == ["a"] * 6


async def test_what_one_caller_may_have_waiting() -> None:
    """Beyond a bound a caller's request is rejected with 503, and another's is not."""
    offload = Offload(threads=1, waiting=2)
    gate = threading.Event()
    running = [asyncio.create_task(offload.run("a", gate.wait)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Fault) as rejected:
        await offload.run("a", gate.wait)
    assert (rejected.value.status, rejected.value.code) == (503, "too_busy")
    other = asyncio.create_task(offload.run("b", gate.wait))
    gate.set()
    assert await asyncio.gather(*running, other) == [True] * 4


@pytest.mark.parametrize("late", [False, True])
async def test_who_leaves_the_queue(late: bool) -> None:
    """A request that is cancelled while it waits, or as its turn comes, keeps no thread."""
    offload = Offload(threads=1)
    gate = threading.Event()
    first = asyncio.create_task(offload.run("a", gate.wait))
    waiting = asyncio.create_task(offload.run("b", gate.wait))
    await asyncio.sleep(0)
    if late:
        gate.set()
        await first
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gate.set()
    await asyncio.wait_for(offload.run("c", gate.wait), 10)
    await first
