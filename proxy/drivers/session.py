"""The driver of a session: performs its steps between the streams of a WebSocket's two sides.

Bytes are fed to the session as they arrive, without waking a task. What takes long is computed in another thread, or
waits for the store, in a task of its own; meanwhile the other side, and other lanes, go on. Back-pressure holds in both
directions: a side is not read while the other one is full, nor while the session has enough of it.
"""

import asyncio
import os
from collections.abc import Coroutine
from typing import Any

from starlette.types import Scope

from proxy.drivers.feed import Feed
from proxy.drivers.memory import Reservation
from proxy.drivers.session_terms import CallerTerms, Options
from proxy.drivers.turn_records import TurnRecords
from proxy.drivers.work import Work
from proxy.events import TurnEnded
from proxy.http.context import context_of
from proxy.http.credential import credential, with_key
from proxy.http.faults import Fault
from proxy.responses.history.recall import Recalled
from proxy.responses.session.sending import Failure
from proxy.responses.session.session import Session
from proxy.responses.session.steps import (
    Answering,
    Ask,
    Began,
    Close,
    Heard,
    Noted,
    SessionStep,
    Settled,
    Spent,
    ToClient,
    ToUpstream,
    TurnOver,
    Wait,
)
from proxy.responses.steps import Compute, Recall
from proxy.streams.offer import offer_in
from proxy.streams.stream import Stream
from proxy.streams.tunnel import GRACE, converse


class Conversation:
    """One session, between two streams."""

    def __init__(self, options: Options, scope: Scope) -> None:
        fields = with_key(scope["headers"])
        self._options = options
        self._context = context_of(scope)
        self._offer = offer_in(scope)
        self._caller = credential(fields, options.identity) or ""
        self._owner = options.service.scope(fields) if options.service is not None else None
        self._memory = Reservation(options.memory)
        self._reserved = 0
        self._recalled: dict[int, int] = {}
        """By turn: bytes that are reserved for what the store knew."""
        self._path = scope.get("raw_path", b"").decode("latin-1")
        self._times: dict[int, list[float]] = {}
        """By turn: when it arrived, and when its answer began."""
        self._turns = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._has_read = asyncio.Event()
        self._goes_on = False
        self._is_busy = False
        self._error: BaseException | None = None
        self._records: TurnRecords | None = None
        if options.recording is not None and self._owner is not None:
            self._records = TurnRecords(options.recording, self._owner, self._name)
        self._session = Session(
            CallerTerms(options, self._caller),
            mask=lambda: os.urandom(4),
            most=options.max_body,
            strict=options.policy.mode == "strip",
            records=self._records is not None,
        )
        self._client: Stream
        self._upstream: Stream

    async def __call__(self, client: Stream, upstream: Stream) -> None:
        """Connect the two streams until both are gone."""
        self._client, self._upstream = client, upstream
        session = self._session
        upward = Feed(upstream, self._from_client, lambda: not session.reads_client)
        downward = Feed(client, self._from_upstream, lambda: not session.reads_upstream)
        self._begin(self._drain())
        try:
            await converse(client, upstream, self._upward(upward), self._downward(downward))
        finally:
            await self._stop()
            self._end()
        if self._error is not None:
            raise self._error

    # The two directions.

    async def _upward(self, feed: Feed) -> None:
        await self._client.pass_to(feed)
        await self._has_read_all()
        self._perform(self._session.client_ended())

    async def _downward(self, feed: Feed) -> None:
        await self._upstream.pass_to(feed)
        await self._has_read_all()
        self._perform(self._session.upstream_ended())

    async def _has_read_all(self) -> None:
        while self._session.is_reading:
            self._has_read.clear()
            await self._has_read.wait()

    def _from_client(self, data: bytes) -> None:
        has_room = self._options.memory.held + len(data) <= self._options.memory.most
        self._perform(self._session.from_client(data, has_room=has_room))

    def _from_upstream(self, data: bytes) -> None:
        if self._session.passes_by(data):
            self._client.write(data)
        else:
            self._perform(self._session.from_upstream(data))

    # Steps.

    def _perform(self, steps: list[SessionStep]) -> None:
        for step in steps:
            if isinstance(step, ToClient):
                self._client.write(step.data)
            elif isinstance(step, ToUpstream):
                self._upstream.write(step.data)
            else:
                self._step(step)
        if self._session.is_busy or self._is_busy:
            self._adjust()

    def _step(self, step: SessionStep) -> None:
        match step:
            case Ask():
                self._begin(self._ask(step))
            case Wait(ticket, seconds):
                loop = asyncio.get_running_loop()
                self._timers[ticket] = loop.call_later(seconds, self._resume, ticket)
            case Noted(turn, events):
                for event in events:
                    self._options.observer.notice(self._name(turn), event)
            case Spent():
                exceeded = self._options.budget.spend(self._caller, 1, self._options.clock())
                if exceeded is not None:
                    self._options.observer.notice(self._context.request_id, exceeded)
            case Close():
                asyncio.get_running_loop().call_later(GRACE, self._cut)
            case _:
                self._tell(step)

    def _tell(self, step: SessionStep) -> None:
        """State what became of a turn, and have it remembered."""
        match step:
            case Began(turn):
                self._turns = turn
                self._times[turn] = [self._options.clock()]
            case Answering(turn):
                self._times[turn].append(self._options.clock())
            case Settled(turn, record):
                self._memory.shrink(self._recalled.pop(turn, 0))
                if self._records is not None and record is not None:
                    self._records.begin(turn, record)
            case Heard(turn, event):
                if self._records is not None:
                    self._records.hear(turn, event)
            case TurnOver():
                self._turn_over(step)

    def _turn_over(self, over: TurnOver) -> None:
        self._memory.shrink(self._recalled.pop(over.turn, 0))
        if self._records is not None:
            self._records.over(over.turn)
        arrived, *answering = self._times.pop(over.turn)
        ended = TurnEnded(
            lane=over.lane,
            status=over.status,
            seconds=self._options.clock() - arrived,
            complete=over.is_complete,
            report=over.report,
            path=self._path,
            first_event=answering[0] - arrived if answering else None,
            fault=over.fault,
            model=over.model,
            upstream_id=self._context.upstream_id,
        )
        self._options.observer.notice(self._name(over.turn), ended)

    def _name(self, turn: int) -> str:
        """The id under which a turn is logged."""
        return f"{self._context.request_id}.{turn}"

    async def _ask(self, ask: Ask) -> None:
        """Perform a step, and give the session its result."""
        work = Work(self._options.offload, self._caller, self._memory)
        result: Any
        try:
            result = await (
                work.perform(ask.step) if isinstance(ask.step, Compute) else self._recall(ask.turn, ask.step)
            )
        except Fault as fault:
            result = Failure(fault.status, fault.code, fault.message, fault.kind)
        except Exception as error:  # noqa: BLE001 -- it is raised when both sides have been cut
            self._error = error
            self._cut()
            return
        self._perform(self._session.resume(ask.ticket, result, work.seconds))

    async def _recall(self, turn: int, step: Recall) -> Recalled | None:
        service = self._options.service
        if service is None:
            return None
        found = await service.recall(self._owner, step, self._name(turn))
        if found is not None:
            self._memory.grow(2 * found.size)  # with the body that is made of it
            self._recalled[turn] = self._recalled.get(turn, 0) + 2 * found.size
        return found

    def _resume(self, ticket: int) -> None:
        """The time has passed that the session wanted to wait."""
        del self._timers[ticket]
        self._perform(self._session.resume(ticket))

    def _go_on(self) -> None:
        self._goes_on = False
        self._perform(self._session.go_on())

    # What holds between steps.

    def _adjust(self) -> None:
        """Read each side, or do not, as the session and the other side have room; count what is held."""
        session = self._session
        self._is_busy = session.is_busy
        if session.has_more and not self._goes_on:
            self._goes_on = True
            asyncio.get_running_loop().call_soon(self._go_on)
        if not session.is_reading:
            self._has_read.set()
        self._reserve(session.size)
        _set_reading(self._client, goes_on=session.reads_client and not self._upstream.is_full)
        _set_reading(self._upstream, goes_on=session.reads_upstream and not self._client.is_full)

    def _reserve(self, size: int) -> None:
        if size < self._reserved:
            self._memory.shrink(self._reserved - size)
            self._reserved = size
        elif self._memory.may_grow(size - self._reserved):
            self._reserved = size

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drain(self) -> None:
        if self._offer is not None:
            await self._offer.draining.wait()
            self._perform(self._session.drain())

    def _cut(self) -> None:
        self._client.abort()
        self._upstream.abort()

    async def _stop(self) -> None:
        """End what still runs: it gives back the memory that it has reserved."""
        for timer in self._timers.values():
            timer.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _end(self) -> None:
        """Let go of everything: both sides are gone."""
        self._perform(self._session.end())
        self._memory.release()
        if self._context.socket is not None:
            self._context.socket.close_code = self._session.close_code
            self._context.socket.turns = self._turns


def _set_reading(stream: Stream, *, goes_on: bool) -> None:
    if goes_on:
        stream.resume()
    else:
        stream.pause()
