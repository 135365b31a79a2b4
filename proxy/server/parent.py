"""The process that an operator starts: it owns the sockets, and the generations of processes that serve at them.

*Generation*: the settings as they were read at one time, and the processes that serve under them. Where there is one
process, it is the first generation itself, which costs nothing; a later one, and each of several workers, is a child.

*SIGHUP* begins a new generation. Its settings are read and its sockets bound first; then its first process starts, and
only when that serves, the first one of the old generation retires: it accepts nothing more, and ends with its last
connection. The others follow one after the other. What fails before the first new process serves leaves everything as
it was. The sockets belong to none of the processes that accept at them, so that no connection is lost in between.

*A process that dies* is replaced under the settings of its generation; one that dies soon, or cannot start, after a
pause that doubles each time.

*SIGTERM* drains all processes of all generations; a second one cuts what still runs.
"""

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Any

from proxy import __version__
from proxy.admin import Readiness, Reading
from proxy.build import build
from proxy.observers.gauges import Gauges
from proxy.observers.logs import LOGGER
from proxy.observers.metrics import Metrics
from proxy.server.admin_server import AdminServer
from proxy.server.child import Child, Order
from proxy.server.inspection import inspection
from proxy.server.notify import Notifier
from proxy.server.program import Generation, Program, generation
from proxy.server.serving import Failure, Serving
from proxy.server.slot import Slot, Worker
from proxy.server.sockets import Sockets, url
from proxy.server.terminal import Terminal
from proxy.server.tuning import tune
from proxy.settings import SettingsError
from proxy.store.trial import named

if TYPE_CHECKING:
    from proxy.admin.page import Inspection


class Parent:
    """The generations of one process, from its start to its end."""

    def __init__(self, program: Program, first: Generation, sockets: Sockets, notifier: Notifier) -> None:
        self._program = program
        self._first = self._generation = first
        self._sockets = sockets
        self._notifier = notifier
        self._terminal = Terminal()
        self._slots = [Slot() for _ in range(first.settings.workers)]
        self._living: set[Worker] = set()
        self._watches: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self._has_to_reload = False
        self._inspection: Inspection | None = None
        self._own = Metrics()
        """What happened to this process, and what processes that have ended had counted: no counter goes down."""
        self._readiness = Readiness()
        self._admin = AdminServer(self._readiness, self._reading)

    async def run(self) -> int:
        """Serve until a signal comes, then drain; the exit code. Raises SettingsError."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end)
        loop.add_signal_handler(signal.SIGINT, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        failure = await self._start(self._slots[0])
        if failure is not None:
            return _refused(failure)
        await self._open_admin()
        self._log_start()
        self._notifier.ready()
        await self._follow()
        self._notifier.stopping()
        await asyncio.gather(*self._watches)
        await self._admin.close()
        return 0

    async def _follow(self) -> None:
        """Do what signals and the ends of processes ask for, until SIGTERM."""
        while not self._readiness.draining:
            self._news.clear()
            if self._has_to_reload:
                await self._reload()
            await self._fill()
            pauses = [slot.pause for slot in self._slots if slot.generation is not self._generation]
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), min(pauses, default=None))

    async def _fill(self) -> None:
        """Give each slot a process of the newest generation, one after the other."""
        for slot in self._slots:
            if self._readiness.draining or self._has_to_reload:
                return
            if slot.generation is not self._generation and not slot.pause:
                failure = await self._start(slot)
                if failure is not None:
                    why = failure.sentence or f"it ended with exit code {failure.code}"
                    LOGGER.error("A worker cannot start: %s. The next attempt is in %g s", why, slot.postpone())

    async def _start(self, slot: Slot) -> Failure | None:
        """Start a process of the newest generation; it takes the place of the slot's, unless it cannot serve."""
        worker = self._worker()
        failure = await worker.start()
        if failure is not None:
            return failure
        before, slot.worker, slot.generation = slot.worker, worker, self._generation
        self._living.add(worker)
        watch = asyncio.create_task(self._watch(slot, worker))
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)
        self._judge()
        if isinstance(worker, Child):
            LOGGER.info("Worker %d of %d serves", self._slots.index(slot) + 1, len(self._slots), extra=_told(worker))
        if before is not None:
            before.retire()
        if self._readiness.draining:
            worker.end()
        return None

    def _worker(self) -> Worker:
        """A process of the newest generation: a child, or, at first and where there is to be only one, this one."""
        settings, texts, listener, _ = self._generation
        if self._generation is not self._first or settings.workers > 1:
            return Child(Order(texts, settings.workers, settings.drain_timeout), listener, self._heard)
        assembled = self._program.assemble(settings)
        tune()
        self._inspection = assembled[1].inspection
        return Serving(settings, assembled, listener.dup(), on_store=self._judge)

    async def _watch(self, slot: Slot, worker: Worker) -> None:
        """Wait for the end of a process, and have it replaced where that was not to be."""
        how = await worker.over()
        self._own.join((await worker.reading()).metrics.told())
        self._living.discard(worker)
        if slot.worker is worker and not self._readiness.draining:
            slot.vacate()
            self._judge()
            pause = f" in {slot.pause:.0f} s" if slot.pause else ""
            LOGGER.warning(
                "A worker has ended (%s): it is replaced%s", how or "exit code 0", pause, extra=_told(worker)
            )
            self._own.processes["ended"] += 1
            self._news.set()

    async def _reload(self) -> None:
        self._has_to_reload = False
        self._notifier.reloading()
        before = self._generation
        try:
            self._generation = generation(self._program.load(), self._sockets)
            failure = await self._start(self._slots[0])
        except SettingsError as error:
            failure = Failure(2, str(error))
        if failure is None:
            await self._take_over()
        else:
            self._generation = before
            why = failure.sentence or f"a process with them ended with exit code {failure.code}."
            LOGGER.error("The settings stay as they were: %s", why)
        self._own.processes["reloaded" if failure is None else "reload_failed"] += 1
        self._sockets.keep(self._generation.sockets)
        self._notifier.ready()

    async def _take_over(self) -> None:
        """Make everything but the other slots follow the newest settings."""
        settings = self._generation.settings
        self._program.configure(settings)
        for slot in self._slots[settings.workers :]:
            slot.retire()
        self._slots[settings.workers :] = [Slot() for _ in range(settings.workers - len(self._slots))]
        recent = None if self._inspection is None else self._inspection.recent
        self._inspection = inspection(settings, recent)
        await self._open_admin()
        facts = {"upstream": settings.upstream, "mode": settings.mode}
        LOGGER.info("The settings are taken over (upstream %s, mode %s)", *facts.values(), extra={"told": facts})

    async def _open_admin(self) -> None:
        settings, _, _, listener = self._generation
        if self._inspection is None:
            self._inspection = inspection(settings)
        await self._admin.open(settings, listener, self._inspection)

    def _end(self) -> None:
        if not self._readiness.draining:
            LOGGER.info("Shutting down: draining for up to %g s", self._generation.settings.drain_timeout)
        self._readiness.draining = True
        self._sockets.release(self._generation.listener)
        for worker in self._living:
            worker.end()
        self._news.set()

    def _hang_up(self) -> None:
        if self._terminal.is_gone():
            self._end()
        elif not self._readiness.draining:
            LOGGER.info("Reading the settings again")
            self._has_to_reload = True
            self._news.set()

    def _heard(self, name: str, value: Any) -> None:
        """What a child says unasked."""
        if name == "store":
            self._judge()
        elif self._inspection is not None:
            self._inspection.recent.keep(value)

    def _judge(self) -> None:
        """Set the readiness by the processes that serve."""
        workers = [slot.worker for slot in self._slots if slot.worker is not None]
        self._readiness.lacks_workers = not workers
        self._readiness.lacks_store = any(worker.lacks_store for worker in workers)

    async def _reading(self) -> Reading:
        """The sums over all processes."""
        readings = await asyncio.gather(*(worker.reading() for worker in self._living))
        metrics = Metrics()
        for each in (self._own, *(reading.metrics for reading in readings)):
            metrics.join(each.told())
        levels = Gauges(*map(sum, zip(*(reading.levels for reading in readings), strict=True)))
        serving = sum(slot.worker is not None for slot in self._slots)
        return Reading(metrics, levels._replace(workers=serving, retired=len(self._living) - serving))

    def _log_start(self) -> None:
        settings, _, listener, admin = self._generation
        listen = url(listener, secured=settings.tls_cert is not None)
        admin_listen = None if admin is None else url(admin)
        upstream, mode, store = settings.upstream, settings.mode, named(settings.store)
        proxy = settings.upstream_proxy
        facts = {"listen": listen, "admin_listen": admin_listen, "upstream": upstream, "mode": mode}
        facts |= {"upstream_proxy": str(proxy) if proxy else None, "store": store}
        facts |= {"version": __version__, "build": build()}
        through = f" through {proxy}" if proxy else ""
        health = "" if admin_listen is None else f", health and metrics on {admin_listen}"
        workers = f", {settings.workers} workers" if settings.workers > 1 else ""
        memory = settings.max_memory >> 20
        LOGGER.info(
            "Listening on %s (upstream %s%s, mode %s, store %s, memory %d MiB, version %s %s%s)%s",
            *(listen, upstream, through, mode, store, memory, __version__, build(), workers, health),
            extra={"told": {**facts, "max_memory": settings.max_memory, "workers": settings.workers}},
        )


def _refused(failure: Failure) -> int:
    """The exit code of a process that cannot serve. Raises SettingsError where the settings are the reason."""
    if failure.code == 2:
        raise SettingsError(failure.sentence)
    if failure.sentence:
        LOGGER.error("No worker can start: %s", failure.sentence)
    return failure.code


def _told(worker: Worker) -> dict[str, Any]:
    return {"told": {"worker": worker.pid}} if isinstance(worker, Child) else {}
