"""What is measured, and how: one function a piece of work, on one running proxy, bounded in time and count."""

import http.client
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, Self

from tests.bench import processes, work
from tests.bench.figures import Values
from tests.bench.proxies import Place, Proxy
from tests.bench.shapes import SIZES, shapes
from tests.bench.traffic import Load, Outcome, Traffic
from tests.bench.work import Work

_STARTS_WITHIN: Final = 30.0
_RAMP: Final = 1000  # a thousand connections a second
_STALLED: Final = 50
_HELD: Final = 200
_MIB: Final = 1024 * 1024


class NotAnsweringError(Exception):
    """A proxy that was started does not answer as it should."""


class Running(NamedTuple):
    """A proxy that answers."""

    proxy: Proxy
    place: Place
    session: int
    ready: float


class Bench:
    """The machine: traffic on one core, proxies on another; `pace` scales how long each measure takes."""

    def __init__(self, traffic: Traffic, directory: Path, pace: float) -> None:
        self.traffic = traffic
        self.directory = directory
        self.pace = pace

    @contextmanager
    def started(self, proxy: Proxy) -> Iterator[Running]:
        """The proxy, ready to answer."""
        with tempfile.TemporaryDirectory(dir=self.directory, prefix=proxy.name) as directory:
            place = Place(Path(directory), free_port(), self.traffic.port)
            command, log = proxy.command(place), self.directory / f"{proxy.name}.log"
            began = time.monotonic()
            with processes.running(command, processes.cores().proxy, directory=proxy.directory, log=log) as process:
                self._await_answer(proxy, place, log)
                yield Running(proxy, place, process.pid, time.monotonic() - began)

    def _await_answer(self, proxy: Proxy, place: Place, log: Path) -> None:
        request = proxy.request(work.answered(700, work.small(), 1), place)
        until = time.monotonic() + _STARTS_WITHIN
        while time.monotonic() < until:
            try:
                status, _ = ask(place.port, request)
            except (OSError, http.client.HTTPException):
                time.sleep(0.005)
                continue
            if status == http.HTTPStatus.OK:
                return
            raise NotAnsweringError(f"{proxy.name} answers {status}")
        raise NotAnsweringError(f"{proxy.name} does not answer: {log.read_text()[-1000:]}")

    def load(
        self, running: Running, task: Work, seconds: float, opened: Callable[[int], None] = lambda _: None
    ) -> Outcome:
        """Ask again and again for so long."""
        size = task.size if running.proxy.relays_bytes else 0
        load = Load(running.place.port, task.connections, seconds=seconds * self.pace, size=size, events=task.events)
        return self.traffic.load(running.proxy.request(task, running.place), load, opened)

    def load_streams(self, running: Running, task: Work, opened: Callable[[int], None]) -> Outcome:
        """Ask once from each connection."""
        count = task.connections
        load = Load(running.place.port, count, count, seconds=60, ramp=_RAMP, events=task.events)
        return self.traffic.load(running.proxy.request(task, running.place), load, opened)

    def stall(self, running: Running, task: Work, seconds: float) -> None:
        """Ask from each connection, and read nothing but the answer's head."""
        load = Load(running.place.port, task.connections, seconds=seconds, patience=0, stalls=True)
        self.traffic.load(running.proxy.request(task, running.place), load)


class Peak:
    """The most memory that a session has, from entering to leaving, above what it has on entering."""

    def __init__(self, session: int) -> None:
        self._session = session
        self.before = processes.resident_bytes(session)
        self.most = self.before
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    @property
    def growth(self) -> int:
        """Bytes more than before."""
        return self.most - self.before

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            self.most = max(self.most, processes.resident_bytes(self._session))


Measure = Callable[[Bench, Running], Values]


def cpu_a_request(name: str, task: Callable[[], Work], seconds: float = 1.0) -> Measure:
    """CPU microseconds for each request of `task`."""

    def measure(bench: Bench, running: Running) -> Values:
        bench.load(running, task(), 0.2)  # so that the windows of its connections have grown
        before = processes.cpu_seconds(running.session)
        outcome = bench.load(running, task(), seconds)
        return _shared(name, processes.cpu_seconds(running.session) - before, outcome.answered, outcome.failed)

    return measure


def each_shape(bench: Bench, running: Running) -> Values:
    """CPU microseconds for each request, by its size and shape."""
    values: Values = {"failed": 0}
    for size, (turns, bytes_a_turn) in SIZES.items():
        for shape, body in shapes(turns, bytes_a_turn).items():
            measure = cpu_a_request(f"{size}, {shape}", partial(work.answered, 4000, body, 8), 0.6)
            found = measure(bench, running)
            values = {**values, **found, "failed": values["failed"] + found["failed"]}
    return values


def burst(bench: Bench, running: Running) -> Values:
    """CPU for an event of a stream that comes at once."""
    before = processes.cpu_seconds(running.session)
    outcome = bench.load(running, work.streamed(500, 0, 4), 1.0)
    return _shared("burst", processes.cpu_seconds(running.session) - before, outcome.events, outcome.failed)


def paced(bench: Bench, running: Running) -> Values:
    """CPU for an event that comes alone, and how much later it comes than without a proxy."""
    task = work.streamed(500, 1, 10)
    direct = bench.load(direct_to(bench, running), task, 0.4)
    before = processes.cpu_seconds(running.session)
    outcome = bench.load(running, task, 1.4)
    values = _shared("event", processes.cpu_seconds(running.session) - before, outcome.events, outcome.failed)
    return values | {"event_delay": outcome.delay_p50 - direct.delay_p50} if outcome.events else values


def tunnels(bench: Bench, running: Running) -> Values:
    """What a WebSocket costs whose bytes pass unread."""
    return _sockets(bench, running, "socket", "/v1/realtime")


def sessions(bench: Bench, running: Running) -> Values:
    """What a WebSocket costs whose turns are made portable."""
    return _sockets(bench, running, "session", "/v1/responses")


def _sockets(bench: Bench, running: Running, name: str, path: str) -> Values:
    """CPU for a message of an open WebSocket, how much later it comes than directly, and the memory of an idle one."""
    if not running.proxy.opens_sockets:
        return {}
    alone = work.opened(500, 2, 1, path)
    direct = bench.load_streams(direct_to(bench, running), alone, lambda _: None)
    delayed = bench.load_streams(running, alone, lambda _: None)
    at_open: list[tuple[float, int]] = []

    def opened(events: int) -> None:
        at_open.append((processes.cpu_seconds(running.session), events))

    outcome = bench.load_streams(running, work.opened(1500, 2, 20, path), opened)
    spent, seen = at_open[0]
    seconds = processes.cpu_seconds(running.session) - spent
    values = _shared(f"{name}_event", seconds, outcome.events - seen, 20 - outcome.answered)
    idle = open_streams(bench, running, work.opened(2, 1500, 1000, path))
    values["failed"] += idle["failed"]
    delay = delayed.delay_p50 - direct.delay_p50
    return values | {f"{name}_delay": delay, name: idle["growth"] * 1024 / 1000}


def stalled_tunnels(bench: Bench, running: Running) -> Values:
    """Memory for each client that does not read what arrives on its tunnel."""
    return _stalled_sockets(bench, running, "socket_stalled", "/v1/realtime")


def stalled_sessions(bench: Bench, running: Running) -> Values:
    """Memory for each client that does not read what arrives on its session."""
    return _stalled_sockets(bench, running, "session_stalled", "/v1/responses")


def _stalled_sockets(bench: Bench, running: Running, name: str, path: str) -> Values:
    if not running.proxy.opens_sockets:
        return {}
    bench.load(running, work.answered(1500, work.small(), _STALLED), 0.3)
    with Peak(running.session) as peak:
        bench.stall(running, work.opened(160_000, 0, _STALLED, path), 3.0)
    return {name: peak.growth / _STALLED / 1024}


def latency(bench: Bench, running: Running) -> Values:
    """How much longer a small request takes than without a proxy, on one connection."""
    task = work.answered(1500, work.small(), 1)
    direct = bench.load(direct_to(bench, running), task, 0.3)
    before = processes.cpu_seconds(running.session)
    outcome = bench.load(running, task, 0.7)
    values = _shared("alone", processes.cpu_seconds(running.session) - before, outcome.answered, outcome.failed)
    return values | {"latency": outcome.latency_p50 - direct.latency_p50}


def streams(bench: Bench, running: Running) -> Values:
    """Memory at start and for a thousand streams, and CPU for their events once all are open."""
    values = open_streams(bench, running, work.streamed(10, 1000, 1000))
    named = {"ready": running.ready, "start": values["start"], "streams": values["growth"], "failed": values["failed"]}
    return named | ({"slow_event": values["event"]} if "event" in values else {})


def many_streams(bench: Bench, running: Running) -> Values:
    """Failures and memory of five thousand streams."""
    values = open_streams(bench, running, work.streamed(10, 1000, 5000))
    return {"many_streams": values["growth"], "many_failed": values["failed"]}


def stalled(bench: Bench, running: Running) -> Values:
    """Memory for each client that does not read."""
    bench.load(running, work.answered(1500, work.small(), _STALLED), 0.3)
    with Peak(running.session) as peak:
        bench.stall(running, work.streamed(160_000, 0, _STALLED), 3.0)
    return {"stalled": peak.growth / _STALLED / 1024}


def held(bench: Bench, running: Running) -> Values:
    """Memory for each open stream that was asked for with a large body: upstream has it, so nobody need keep it."""
    task = work.streamed(4, 1000, _HELD)._replace(body=work.large())
    values = open_streams(bench, running, task)
    return {"held": values["growth"] * 1024 / _HELD, "failed": values["failed"]}


def open_streams(bench: Bench, running: Running, task: Work) -> Values:
    """What streams cost that are open at the same time: memory in MiB, and CPU for an event once all are open."""
    at_open: list[tuple[float, int]] = []
    with Peak(running.session) as peak:
        outcome = bench.load_streams(
            running, task, lambda events: at_open.append((processes.cpu_seconds(running.session), events))
        )
    values = {"start": peak.before / _MIB, "growth": peak.growth / _MIB}
    lost = task.connections - outcome.answered
    spent, seen = at_open[0] if at_open else (0.0, outcome.events)
    return values | _shared("event", processes.cpu_seconds(running.session) - spent, outcome.events - seen, lost)


def direct_to(bench: Bench, running: Running) -> Running:
    """Upstream itself, asked in the same way."""
    place = running.place._replace(port=bench.traffic.port)
    return running._replace(proxy=_DIRECT, place=place)


def _shared(name: str, seconds: float, parts: int, failed: float) -> Values:
    return {"failed": failed} | ({name: seconds * 1e6 / parts} if parts > 0 else {})


def ask(port: int, request: bytes) -> tuple[int, bytes]:
    """Status and body of one answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        with http.client.HTTPResponse(connection, method="POST") as answer:
            answer.begin()
            return answer.status, answer.read()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_DIRECT: Final = Proxy("direct", "", "", lambda: True, lambda: "", lambda _: [])

SHARED: Final[dict[str, Measure]] = {
    "w1": cpu_a_request("w1", lambda: work.answered(1500, work.small(), 16), 1.2),
    "w2": cpu_a_request("w2", lambda: work.answered(4000, work.large(), 8), 1.2),
    "w2_plain": cpu_a_request("w2_plain", lambda: work.answered(4000, work.large(ids=False), 8)),
    "shapes": each_shape,
    "w3": cpu_a_request("w3", lambda: work.answered(700, work.images(), 4), 1.2),
    "burst": burst,
    "event": paced,
    "latency": latency,
}
"""Measured on a process that lives as long as the round."""
FRESH: Final[dict[str, Measure]] = {
    "tunnels": tunnels,
    "stalled_tunnels": stalled_tunnels,
    "sessions": sessions,
    "stalled_sessions": stalled_sessions,
    "streams": streams,
    "held": held,
    "stalled": stalled,
}
"""Measured on a process of its own."""
ONCE: Final[dict[str, Measure]] = {"many": many_streams}
"""Measured once in a run, on a process of its own."""
