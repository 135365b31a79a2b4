"""Two streams joined: what one side sends is for the other, and so is its end.

    FIN on one side        FIN to the other after all bytes; that side then has GRACE seconds to end as well
    reset on one side      reset to the other, immediately
    cancellation           both are reset

Nothing here reads the bytes. A driver that does (a session) gives its own two directions to `converse`.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from proxy.streams.stream import Stream

GRACE: Final = 2.0
"""Seconds that one side has to end after the other."""


async def relay(client: Stream, upstream: Stream) -> None:
    """Pass bytes both ways, as they are, until both sides are gone."""
    await converse(client, upstream, client.pass_to(upstream), upstream.pass_to(client))


async def converse(
    client: Stream, upstream: Stream, upward: Coroutine[Any, Any, None], downward: Coroutine[Any, Any, None]
) -> None:
    """Perform both directions until both sides are gone.

    A direction reads its source to the end and writes all of it to the other side, then returns: the FIN is sent here.
    What it raises breaks the tunnel; ConnectionResetError does so silently, everything else is raised on.
    """
    up = asyncio.create_task(_to_its_end(upward, upstream))
    down = asyncio.create_task(_to_its_end(downward, client))
    try:
        done, _ = await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        if not _broken(up, down):
            await asyncio.wait((up, down), timeout=GRACE)
        if not _broken(up, down):
            late, early = (upstream, client) if up in done else (client, upstream)
            if not (up.done() and down.done()):
                early.abort()  # the end of the other direction never came
            await late.close(GRACE)
            await early.close(GRACE)
    finally:
        for stream in (client, upstream):
            stream.abort()
        await _stopped(up, down)
        await asyncio.gather(client.gone(), upstream.gone())


async def _to_its_end(direction: Coroutine[Any, Any, None], other: Stream) -> None:
    await direction
    await other.flushed()
    other.end()


def _broken(*tasks: "asyncio.Task[None]") -> bool:
    return any(task.done() and (task.cancelled() or task.exception() is not None) for task in tasks)


async def _stopped(*tasks: "asyncio.Task[None]") -> None:
    """Cancel what still runs; raise what broke a direction, but for a reset."""
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, ConnectionResetError):
            raise result
