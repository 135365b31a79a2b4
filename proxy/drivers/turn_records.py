"""The responses of a session on their way into the store, each out of the events that the session has heard."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

from proxy.drivers.recorder import Recorder, Recording
from proxy.responses.history.answers import LARGEST, EventStream
from proxy.responses.steps import Compute


class TurnRecords:
    """The turns of one session of `owner`; `name` gives the id under which a turn is logged."""

    def __init__(self, shared: Recording, owner: str, name: Callable[[int], str]) -> None:
        self._shared = shared
        self._owner = owner
        self._name = name
        self._turns: dict[int, tuple[Recorder, EventStream]] = {}
        self._queue: deque[tuple[int, bytes]] = deque()
        self._size = 0
        self._reading: asyncio.Task[None] | None = None

    def begin(self, turn: int, record: Compute) -> None:
        """A turn was answered; `record` makes what is to be remembered of it."""
        recorder = Recorder(self._shared, self._owner, self._name(turn))
        if recorder.begin(record):
            self._turns[turn] = (recorder, recorder.events())

    def hear(self, turn: int, event: bytes) -> None:
        """Take an event of a turn, some time soon. More than an answer may hold is not kept: then it is not read."""
        if turn not in self._turns:
            return
        if self._size + len(event) > 2 * LARGEST:
            self._turns.pop(turn)[0].failed()
            return
        self._size += len(event)
        self._queue.append((turn, event))
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())

    def over(self, turn: int) -> None:
        """A turn has no further event."""
        if self._reading is None:
            self._turns.pop(turn, None)
        else:
            self._queue.append((turn, b""))

    async def _read(self) -> None:
        while self._queue:
            turn, event = self._queue.popleft()
            self._size -= len(event)
            if turn in self._turns and event:
                await self._take(*self._turns[turn], event)
            else:
                self._turns.pop(turn, None)
        self._reading = None

    async def _take(self, recorder: Recorder, events: EventStream, event: bytes) -> None:
        piece = b"data: " + b"\ndata: ".join(event.splitlines()) + b"\n\n"
        try:
            cost = events.cost(piece, last=False)
            found = await recorder.perform(cost, partial(events.feed, piece))
            if found is not None:
                await recorder.tell(found, cost)
        except Exception:  # noqa: BLE001 -- the session goes on, even if an event cannot be read
            recorder.failed()
