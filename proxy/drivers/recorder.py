"""One response on its way into the store: the record of its request, and what its answer says as it passes.

Nothing here holds an answer up: what takes long is read in another thread, in the order in which it arrived.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from proxy.drivers.offload import Offload
from proxy.drivers.work import Elsewhere
from proxy.responses.history.answers import EventStream
from proxy.responses.history.compaction_record import before_compaction
from proxy.responses.history.recording import (
    Made,
    Remembered,
    Replays,
    RequestRecord,
    completed,
    names_of,
    remembered,
)
from proxy.responses.history.retrieval import answered
from proxy.responses.steps import INLINE, Compute
from proxy.store.service import StoreService

_Result = TypeVar("_Result")


class Recording:
    """What the recorders of all responses share."""

    def __init__(self, service: StoreService, *, remembers_all: bool = False, offload: Elsewhere | None = None) -> None:
        self.service = service
        self.remembers_all = remembers_all
        self.offload: Elsewhere = offload or Offload()
        self.replays = Replays()


class Recorder:
    """One response of `owner`; `response_id` is known of one that was made before.

    With `compacts` it is a compaction's, which no response continues: what it stands for is remembered.
    """

    def __init__(
        self, shared: Recording, owner: str, request_id: str, response_id: str = "", *, compacts: bool = False
    ) -> None:
        self._shared = shared
        self._owner = owner
        self._request_id = request_id
        self._response_id = response_id
        self._compacts = compacts
        self._asked: RequestRecord | None = None
        self._asking: asyncio.Task[RequestRecord | None] | None = None
        """Makes the record of a large request in another thread, while the answer passes."""
        self._hears: Callable[[Made], None] | None = None

    def begin(self, ask: Compute | None, hears: Callable[[Made], None] | None = None) -> bool:
        """Begin with what makes the record of the request; whether there is anything to remember, or to be heard."""
        self._hears = hears
        if ask is not None and ask.cost > INLINE:
            self._asking = asyncio.create_task(self._shortened_beside(ask))
        elif ask is not None:
            try:
                self._asked = self._shortened(ask)
            except Exception:  # noqa: BLE001 -- the answer goes on, even if the request cannot be read
                self.failed()
        return bool(self._asked or self._asking or self._response_id or hears)

    def _shortened(self, ask: Compute) -> RequestRecord | None:
        asked: RequestRecord | None = ask.work()
        return self._shared.replays.shortened(self._owner, asked) if asked is not None else None

    async def _shortened_beside(self, ask: Compute) -> RequestRecord | None:
        try:
            return await self._shared.offload.run(self._owner, self._shortened, ask)
        except Exception:  # noqa: BLE001 -- the answer goes on, even if the request cannot be read
            self.failed()
            return None

    def forget(self) -> None:
        """Have it forgotten, with all that belongs to it."""
        self._shared.replays.forget(self._owner, self._response_id)
        for name in names_of(self._response_id):
            self._shared.service.forget(self._owner, name, self._request_id)

    def failed(self) -> None:
        """State that the answer could not be read."""
        self._shared.service.failed_to_read(self._request_id)

    def events(self) -> EventStream:
        """A parser of the answer's events."""
        background = self._asking is not None or (self._asked is not None and self._asked.background)
        return EventStream(background=background or self._hears is not None)

    async def perform(self, cost: int, work: Callable[[], _Result]) -> _Result:
        """What `work` returns: in another thread where it costs more than the event loop may be held."""
        return await self._shared.offload.run(self._owner, work) if cost > INLINE else work()

    async def know(self) -> None:
        """Wait for the record of the request."""
        if self._asking is not None:
            self._asked, self._asking = await self._asking, None

    async def tell(self, found: Made, cost: int) -> None:
        """Have the response remembered, and heard."""
        if self._hears is not None:
            self._hears(found)
        if found.failed:
            return
        await self.know()
        asked = self._asked
        told = self._told(asked, found)
        if told is None:
            return
        before = before_compaction(asked, found) if asked is not None else ()
        if self._compacts:
            self._remember(before)
            return
        if asked is not None and asked.trail is not None and found.finished:
            said = await self.perform(cost, partial(asked.trail.after, found.output))
            self._shared.replays.learn(self._owner, said, told.response_id)
        answer = answered(found, self._shared.service.place)
        self._remember((told, *([answer] if answer is not None else []), *before))

    def _remember(self, records: tuple[Remembered, ...]) -> None:
        if records:
            together = records[0]._replace(besides=records[1:])
            self._shared.service.remember(self._owner, together, self._request_id)

    def _told(self, asked: RequestRecord | None, found: Made) -> Remembered | None:
        if asked is None:
            return completed(found) if self._response_id else None
        if self._compacts and asked.previous is None and not self._shared.remembers_all:
            return None  # it cannot say `store: false`: what it compacts is kept where it is already
        if not (found.stored or self._shared.remembers_all) or not (found.finished or found.background):
            return None
        return remembered(asked, found)
