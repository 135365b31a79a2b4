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
"""Seconds, at most, from the end of the body to the watch for a disconnect: an answer before that needs no task."""


class Upload:
    """The body that one client sends to the exchange in the current task; it may pause for `idle` seconds."""

    def __init__(self, receive: Receive, idle: float, context: RequestContext, watches: "Watches") -> None:
        self._receive = receive
        self._pieces = Pieces(receive, idle, context)
        self._exchange = cast("asyncio.Task[None]", asyncio.current_task())
        self._disconnected = False
        self._watches = watches
        self._watch: asyncio.Task[None] | None = None

    async def body(self) -> bytes | AsyncIterator[bytes]:
        """The whole body if it has arrived already, else its chunks."""
        chunk, more = await self._pieces.next()
        if more:
            return self.chunks(chunk)
        self._arm()
        return chunk

    async def chunks(self, chunk: bytes = b"") -> AsyncIterator[bytes]:
        """`chunk`, then the rest of the body, each chunk read from the client when the iterator advances."""
        more = True
        while more:
            if chunk:
                yield chunk
            chunk, more = await self._pieces.next()
        self._arm()
        if chunk:
            yield chunk

    def explains(self, _: asyncio.CancelledError) -> bool:
        """Whether the task was cancelled because of a disconnect, and for no other reason; then it continues."""
        return self._disconnected and self._exchange.uncancel() == 0

    def disarm(self) -> None:
        """Stop watching; a server reports a disconnect after the normal end as well."""
        self._watches.discard(self)
        # A cancelled task keeps its traceback, and with it this object: held here, only the collector would free them.
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()

    def _arm(self) -> None:
        """The body is complete: what is received next is the news that the client has left."""
        self._watches.add(self, self._exchange.get_loop())

    def start_watch(self) -> None:
        """Watch for a disconnect, in a task."""
        self._watch = self._exchange.get_loop().create_task(self._watch_client())

    async def _watch_client(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass  # after the last chunk ASGI sends nothing else
        # Not anyio's cancellation, which is delivered only while the task waits: one that relays a fast answer, never
        # waiting when anyio looks, would relay it to a closed connection to its end.
        self._disconnected = True
        self._exchange.cancel()


class Watches:
    """Uploads that are complete, and are watched unless they are answered within WATCH_DELAY.

    Most are. A timer for each would be the most expensive part of a small body, so one is for all: at each of its turns
    those are due that were there at the turn before.
    """

    def __init__(self) -> None:
        self._new: set[Upload] = set()
        self._due: set[Upload] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        """Where the timer runs; None while nothing waits for it."""

    def add(self, upload: Upload, loop: asyncio.AbstractEventLoop) -> None:
        """Start the watch of `upload` soon."""
        self._new.add(upload)
        if self._loop is not loop:
            self._loop = loop
            loop.call_later(WATCH_DELAY / 2, self._turn, loop)

    def discard(self, upload: Upload) -> None:
        """Do not start it."""
        self._new.discard(upload)
        self._due.discard(upload)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        due, self._due, self._new = self._due, self._new, set()
        for upload in due:
            upload.start_watch()
        if self._due:
            loop.call_later(WATCH_DELAY / 2, self._turn, loop)
        else:
            self._loop = None
