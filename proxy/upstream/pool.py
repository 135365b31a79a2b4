"""Connections kept for the next request, the last used first, and a bound on how many there are.

A slot is taken before a connection is made and released when it is closed or could not be made, and nowhere else. A
request that waits is handed a connection or a slot, in the order of arrival. Every change is one synchronous step, so a
request that is cancelled anywhere leaves nothing behind.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from proxy.http.faults import hop_fault
from proxy.upstream.connection import Connection
from proxy.upstream.interface import Limits, Occupancy

LIFETIME = 300.0  # seconds; a name that moves to other addresses is followed within that time


class Pool:
    """Connections that `connect` makes; a request that finds none free waits at most `patience` seconds."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]], limits: Limits, patience: float) -> None:
        self.taken = 0
        self._connect = connect
        self._limits = limits
        self._patience = patience
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._open: set[Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    async def connection(self) -> Connection:
        """A connection for one exchange: one that is usable now, a new one, or the next that is released."""
        connection = self._usable()
        until = 0.0 if connection else asyncio.get_running_loop().time() + self._patience
        while connection is None:
            if self.taken < self._limits.connections:
                self.taken += 1
                return await self._new()
            connection = await self._next(until)
            if connection is None:
                return await self._new()
            if not self._is_usable(connection):
                connection = self._usable()
        return connection

    def occupancy(self) -> Occupancy:
        """The connections by state; one that is being made is in use."""
        idle = len(self._idle)
        return Occupancy(self.taken - idle, idle, len(self._waiting))

    def close(self) -> None:
        """Close all connections, those in use as well."""
        for connection in list(self._open):
            connection.cut()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def _usable(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if self._is_usable(connection):
                return connection
        return None

    def _is_usable(self, connection: Connection) -> bool:
        now = connection.loop.time()
        usable = connection.is_usable(now - LIFETIME, now - self._limits.keepalive_expiry)
        if not usable:
            connection.abandon()
        return usable

    async def _new(self) -> Connection:
        try:
            connection = await self._connect()
        except BaseException:
            self._release()
            raise
        if connection.closed:
            self._release()
            raise hop_fault("upstream_unreachable")
        connection.freed, connection.lost = self._freed, self._lost
        self._open.add(connection)
        return connection

    async def _next(self, until: float) -> Connection | None:
        """The connection that is handed over before `until`, or None for a slot to make one in."""
        turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout_at(until):
                return await turn
        except BaseException as reason:
            self._leave(turn)
            if isinstance(reason, TimeoutError):
                raise hop_fault("upstream_pool_timeout") from None
            raise

    def _leave(self, turn: "asyncio.Future[Connection | None]") -> None:
        """Stop waiting; what was handed over in the same moment goes to the next in the queue."""
        if turn in self._waiting:
            self._waiting.remove(turn)
        elif not turn.cancelled():
            connection = turn.result()
            if connection is None:
                self._release()
            else:
                self._freed(connection)

    def _hand_over(self, free: Connection | None) -> bool:
        """Hand a free connection, or a slot for None, to the next waiting request; false if none waits."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(free)
                return True
        return False

    def _freed(self, connection: Connection) -> None:
        if self._hand_over(connection):
            return
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = connection.loop.call_later(self._limits.keepalive_expiry, self._sweep)

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._release()

    def _release(self) -> None:
        if not self._hand_over(None):
            self.taken -= 1

    def _sweep(self) -> None:
        self._sweeper = None
        loop = asyncio.get_running_loop()
        expired = loop.time() - self._limits.keepalive_expiry
        kept = [connection for connection in self._idle if connection.idle_since > expired]
        for connection in self._idle[: len(self._idle) - len(kept)]:
            connection.abandon()
        self._idle = kept
        if kept:
            self._sweeper = loop.call_at(kept[0].idle_since + self._limits.keepalive_expiry, self._sweep)
