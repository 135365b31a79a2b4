"""The client's side of one exchange: the body it sends, and whether it is still there.

ASGI has one `receive` for both, so one object owns it: first it yields the body, then it watches for the client to
leave. A client that leaves ends the exchange at once, whatever is being waited for, by cancelling the task it runs in.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

from starlette.types import Receive

from proxy.http.receive import next_piece

WATCHED_AFTER = 0.05
"""Seconds after the body from which a client is watched: what is answered before needs no task for it."""


class Upload:
    """What one client sends to the exchange in the current task; it may be silent for `idle` seconds."""

    def __init__(self, receive: Receive, idle: float) -> None:
        self._receive = receive
        self._idle = idle
        self._exchange = cast("asyncio.Task[None]", asyncio.current_task())
        self._gone = False
        self._armed: asyncio.TimerHandle | None = None
        self._watch: asyncio.Task[None] | None = None

    async def body(self) -> bytes | AsyncIterator[bytes]:
        """The whole body where it is here already, else its chunks."""
        chunk, more = await self._next()
        return self.chunks(chunk) if more else chunk

    async def chunks(self, chunk: bytes = b"") -> AsyncIterator[bytes]:
        """The chunks of the body, after `chunk`, each read from the client when it is asked for."""
        more = True
        while more:
            if chunk:
                yield chunk
            chunk, more = await self._next()
        if chunk:
            yield chunk

    def explains(self, _: asyncio.CancelledError) -> bool:
        """Whether the task was cancelled because the client left, and for no other reason; then it goes on."""
        return self._gone and self._exchange.uncancel() == 0

    def disarm(self) -> None:
        """Watch no longer; a server reports a disconnect after the normal end as well."""
        if self._armed is not None:
            self._armed.cancel()
        # A cancelled task keeps its traceback, and with it this object: held here, only the collector would free them.
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()

    async def _next(self) -> tuple[bytes, bool]:
        piece, more = await next_piece(self._receive, self._idle)
        if not more:
            self._armed = self._exchange.get_loop().call_later(WATCHED_AFTER, self._begin_watch)
        return piece, more

    def _begin_watch(self) -> None:
        self._watch = self._exchange.get_loop().create_task(self._watch_client())

    async def _watch_client(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass  # nothing else may come after the last chunk, and nothing else is of interest
        # Not anyio's cancellation, which does not reach a task whose awaits are over each time it looks: one that
        # relays a fast answer to nobody would do so to the end.
        self._gone = True
        self._exchange.cancel()
