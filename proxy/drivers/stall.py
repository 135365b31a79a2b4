"""An answer that stalls while it is held: after a while the driver gives up, and does not wait for the rest.

The app that answers is awaited in the request's own task, so that giving up happens in another one. What the app sends
meanwhile waits for the end of it (`over`): the client gets every byte in order. There is one `Stall` for each answer
that is held, and none for others. Its timer is made in the loop's next turn: most answers that are held have arrived
whole, and are given on before.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast


class Stall:
    """Calls `give_up`, so many seconds from now, while the current task waits for the rest of an answer."""

    def __init__(self, give_up: Callable[[], Awaitable[None]], seconds: float) -> None:
        self._give_up = give_up
        self._waiting = cast("asyncio.Task[None]", asyncio.current_task())
        self._loop = self._waiting.get_loop()
        self._has_cut = False
        self._task: asyncio.Future[None] | None = None
        self._timer: asyncio.Handle = self._loop.call_soon(self._wait, seconds)

    def rearm(self, seconds: float) -> None:
        """Call it so many seconds from now instead. Not to be called once giving up has committed to an answer."""
        self.disarm()
        if self._task is not None:
            self._task.cancel()  # it was due, and has not begun
            self._task = None
        self._wait(seconds)

    def _wait(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, self._start)

    def _start(self) -> None:
        self._task = asyncio.ensure_future(self._give_up())

    def cut(self) -> None:
        """Break off the wait for the rest."""
        self._has_cut = True
        self._waiting.cancel()

    def explains(self, _: asyncio.CancelledError) -> bool:
        """Whether the wait was broken off by `cut`, and for no other reason; then the task continues."""
        return self._has_cut and self._waiting.uncancel() == 0

    def disarm(self) -> None:
        """Do not begin to give up."""
        self._timer.cancel()

    async def over(self) -> None:
        """Do not begin to give up; where that has begun, wait for its end."""
        self.disarm()
        if self._task is not None:
            await self._task
