"""The client's side of one exchange: the body it sends, and whether it is still connected.

ASGI has one `receive` for both, so one object owns it: first it yields the body, then it watches for a disconnect. A
disconnect ends the exchange immediately, in any state, by cancelling the task that it runs in.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

from starlette.types import Receive

from proxy.http.context import RequestContext
from proxy.http.receive import Pieces

WATCH_DELAY = 0.05
"""Seconds between the end of the body and the first watch for a disconnect: an answer before that needs no task."""


class Upload:
    """The body that one client sends to the exchange in the current task; it may pause for `idle` seconds."""

    def __init__(self, receive: Receive, idle: float, context: RequestContext) -> None:
        self._receive = receive
        self._pieces = Pieces(receive, idle, context)
        self._exchange = cast("asyncio.Task[None]", asyncio.current_task())
        self._disconnected = False
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.Task[None] | None = None

    async def body(self) -> bytes | AsyncIterator[bytes]:
        """The whole body if it has arrived already, else its chunks."""
        chunk, more = await self._next()
        return self.chunks(chunk) if more else chunk

    async def chunks(self, chunk: bytes = b"") -> AsyncIterator[bytes]:
        """`chunk`, then the rest of the body, each chunk read from the client when the iterator advances."""
        more = True
        while more:
            if chunk:
                yield chunk
            chunk, more = await self._next()
        if chunk:
            yield chunk

    def explains(self, _: asyncio.CancelledError) -> bool:
        """Whether the task was cancelled because of a disconnect, and for no other reason; then it continues."""
        return self._disconnected and self._exchange.uncancel() == 0

    def disarm(self) -> None:
        """Stop watching; a server reports a disconnect after the normal end as well."""
        if self._timer is not None:
            self._timer.cancel()
        # A cancelled task keeps its traceback, and with it this object: held here, only the collector would free them.
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()

    async def _next(self) -> tuple[bytes, bool]:
        piece, more = await self._pieces.next()
        if not more:
            self._timer = self._exchange.get_loop().call_later(WATCH_DELAY, self._start_watch)
        return piece, more

    def _start_watch(self) -> None:
        self._watch = self._exchange.get_loop().create_task(self._watch_client())

    async def _watch_client(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass  # after the last chunk ASGI sends nothing else
        # Not anyio's cancellation, which is delivered only while the task waits: one that relays a fast answer, never
        # waiting when anyio looks, would relay it to a closed connection to its end.
        self._disconnected = True
        self._exchange.cancel()
