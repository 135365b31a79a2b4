"""Many clients in front of the proxy, an upstream behind it, and the books of both.

The load comes in rounds; after each every request is accounted for at both ends, and while nobody asks anything the
process must have as many descriptors as there are connections, and no more memory than before. Amid the last round the
process is told to end: it says so with each answer, and accepts and answers until it is told again.
"""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.soak.scenarios import SCENARIOS, Exchange
from tests.soak.wire import Cut, Wire
from tests.support import memory
from tests.support.process import Process, running

CLIENTS = 24
ROUNDS = 5
NEVER = ("--drain-delay", "36000", "--drain-timeout", "36000")
PATIENCE = 30.0
MIB = 1024 * 1024
GROWTH = 8 * MIB
"""What may be kept: lessons, of which there are at most ten thousand, and what an allocator does not give back."""


@dataclass
class Books:
    """What happened."""

    seed: int
    exchanges: dict[bytes, tuple[str, Exchange]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    strangers: list[bytes] = field(default_factory=list)
    connections: int = 0
    goodbyes: int = 0
    """Answers that said that they were the last on their connection."""
    resident: list[int] = field(default_factory=list)

    @property
    def growth(self) -> int:
        """Bytes of memory that the process had more after the last round than after the first."""
        return self.resident[-1] - self.resident[0]

    def close_round(self) -> None:
        """Compare what upstream received with what was asked, and begin a new page."""
        assert not self.strangers, f"upstream received what nobody asked: {self.strangers}"
        for name, exchange in self.exchanges.values():
            assert exchange.attempts in SCENARIOS[name].attempts, f"{name}: {exchange.attempts} attempts"
            self.counts[name] += 1
        self.exchanges.clear()


class Upstream:
    """Answers each request as its exchange's scenario says."""

    def __init__(self, books: Books) -> None:
        self._books = books

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the proxy's."""
        self._books.connections += 1
        wire = Wire(reader, writer)
        try:
            while True:
                await self._answer(wire)
        except Cut:
            await wire.close()
        finally:
            self._books.connections -= 1

    async def _answer(self, wire: Wire) -> None:
        head = await wire.head()
        name = head.fields[b"x-exchange"]
        if name not in self._books.exchanges:
            self._books.strangers.append(name)
            raise Cut
        scenario, exchange = self._books.exchanges[name]
        exchange.attempts += 1
        exchange.reached.set()
        try:
            exchange.received = await wire.body(head)
        except Cut:
            exchange.abandoned.set()
            raise
        await SCENARIOS[scenario].answer(exchange, wire, head)


class Client:
    """Asks one thing after the other, as long as it may on one connection."""

    def __init__(self, number: int, port: int, books: Books) -> None:
        self._number = number
        self._port = port
        self._books = books
        self._chance = random.Random(books.seed * 1000 + number)
        self._count = 0
        self._wire: Wire | None = None

    async def ask_until(self, end: float) -> None:
        """Ask until this time, and then leave."""
        while time.monotonic() < end:
            async with asyncio.timeout(PATIENCE):
                await self._ask_once()
        await self._leave()

    async def _leave(self) -> None:
        if self._wire is not None:
            await self._wire.close()
            self._wire = None

    async def _ask_once(self) -> None:
        names = list(SCENARIOS)
        [name] = self._chance.choices(names, [scenario.weight for scenario in SCENARIOS.values()])
        self._count += 1
        exchange = Exchange(b"%d-%d-%d" % (self._books.seed, self._number, self._count), self._chance)
        self._books.exchanges[exchange.name] = (name, exchange)
        wire = self._wire = self._wire or await Wire.connected(self._port)
        try:
            await SCENARIOS[name].ask(exchange, wire)
            if wire.is_last:
                self._books.goodbyes += 1
                await wire.ended()
                await self._leave()
        except Cut:
            assert name in ("cut", "left thinking", "left streaming", "left uploading"), f"{name}: a cut answer"
            await self._leave()
        except (AssertionError, TimeoutError) as failure:
            failure.add_note(f"in {name}, {exchange.name.decode()}")
            raise


async def _within_patience(so: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    until = time.monotonic() + PATIENCE
    while not so():
        assert time.monotonic() < until, otherwise()
        await asyncio.sleep(0.05)


async def _quiet(process: Process, books: Books, before: int) -> None:
    """Wait until all is told, and no descriptor is left but connections to upstream; see how much memory there is."""
    asked = len(books.exchanges)
    await _within_patience(lambda: len(_answered(process)) >= asked, lambda: "requests that the log does not know")
    assert len(_answered(process)) == asked, "requests that nobody asked"
    assert not [line for line in process.log if line["level"] == "error"], process.text
    books.close_round()
    process.log.clear()

    def left_over() -> int:
        return memory.descriptors(process.pid) - books.connections - before

    await _within_patience(lambda: left_over() == 0, lambda: f"{left_over()} descriptors are left over")
    books.resident.append(memory.resident(process.pid))


def _answered(process: Process) -> list[str]:
    return [line["message"] for line in process.log if line["message"].startswith(("GET ", "POST "))]


async def _round(crowd: list[Client], seconds: float) -> None:
    end = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for client in crowd:
            group.create_task(client.ask_until(end))


async def _soak(seconds: float, books: Books, clients: int, arguments: Sequence[str]) -> None:
    server = await asyncio.start_server(Upstream(books).serve, "127.0.0.1", 0, backlog=1024)
    upstream = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with running("--upstream", upstream, "--mode", "recover", *NEVER, *arguments) as process:
        crowd = [Client(number, process.port, books) for number in range(clients)]
        process.log.clear()
        before = memory.descriptors(process.pid)
        for _ in range(ROUNDS - 1):
            await _round(crowd, seconds / ROUNDS)
            await _quiet(process, books, before)
        too_early = books.goodbyes
        asyncio.get_running_loop().call_later(seconds / ROUNDS / 2, process.send_signal, signal.SIGTERM)
        await _round(crowd, seconds / ROUNDS)
        await _quiet(process, books, before - 1)  # a process that drains has closed its listener
        assert too_early == 0 < books.goodbyes
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait) == 0
    server.close()


def soaked(
    seconds: float, seed: int, clients: int = CLIENTS, growth: int = GROWTH, arguments: Sequence[str] = ()
) -> Books:
    """What happened in so many seconds; raises AssertionError where that was not what must happen.

    Memory may grow by so many bytes; `arguments` are the proxy's.
    """
    books = Books(seed)
    asyncio.run(_soak(seconds, books, clients, arguments))
    assert books.growth < growth, f"memory grew: {books.resident}"
    return books
