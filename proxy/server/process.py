"""The process: uvicorn on the data and the admin listener, and an orderly end.

SIGTERM and SIGINT: readiness turns 503, new requests are still accepted for a moment, requests in progress
finish; a second signal ends the process immediately.
"""

import asyncio
import contextlib
import ctypes
import errno
import gc
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

import uvicorn
import uvloop
from starlette.types import ASGIApp

from proxy import __version__
from proxy.admin import Instruments, Readiness, admin
from proxy.observers.logs import LOGGER
from proxy.server.draining import DrainingServer
from proxy.server.protocol import ClientProtocol
from proxy.server.tls import listener_context
from proxy.settings import Settings, SettingsError
from proxy.settings.address import Address
from proxy.store.trial import Trial

_BACKLOG: Final = 2048
_TURN: Final = 0.0005
"""Seconds that a thread may work on a large body while the loop waits for its turn: a tenth of Python's default."""
CLIENTS: Final = 7 / 8
"""Of the descriptors, for clients; the rest is for connections to upstream, and for the admin listener."""
# <malloc.h> of the GNU C library
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_TRIAL_EVERY: Final = 5.0
"""Seconds between two trials of a store that is required."""
_ADMIN_DRAIN: Final = 1
"""Seconds in which the admin listener ends when the other has ended."""


def run(settings: Settings, app: ASGIApp, instruments: Instruments) -> int:
    """Serve `app`, and the admin app with its instruments, until a signal arrives; the exit code.

    That is 1 where a store is required and does not work. Raises SettingsError where an address cannot be listened on.
    """
    _raise_descriptor_limit()
    _collect_less()
    sys.setswitchinterval(_TURN)
    _keep_memory()
    readiness = Readiness()
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(_listening("--listen", settings.listen))
        servers = [server(app, settings, listener)]
        if settings.admin_listen is not None:
            admin_listener = stack.enter_context(_listening("--admin-listen", settings.admin_listen))
            config = _config(admin(readiness, instruments), settings, lifespan="off")
            config.timeout_graceful_shutdown = _ADMIN_DRAIN
            servers.append(DrainingServer(config, admin_listener))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_Process(settings, readiness, servers, instruments.trial).run())


def server(app: ASGIApp, settings: Settings, listener: socket.socket) -> DrainingServer:
    """The server that clients connect to; it needs a running loop, and no process of its own.

    Raises SettingsError where its certificate cannot be used.
    """
    tls = listener_context(settings)
    return DrainingServer(_config(app, settings, lifespan="on"), listener, settings.drain_delay, tls)


class _Process:
    """The servers of this process, from their start to their end."""

    def __init__(
        self, settings: Settings, readiness: Readiness, servers: list[DrainingServer], trial: Trial | None
    ) -> None:
        self._settings = settings
        self._readiness = readiness
        self._servers = servers
        self._trial = trial
        self._is_over = asyncio.Event()

    async def run(self) -> int:
        """Serve until a signal comes, then drain: the admin listener goes on until the data listener has ended."""
        if self._trial is not None and self._settings.store_required and (fault := await self._trial.fault()):
            message = "The store (%s) does not work: %s. It is required, so that Unpinned does not start"
            LOGGER.error(message, self._trial.name, fault)
            return 1
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        data, *admins = [asyncio.create_task(server.serve_socket()) for server in self._servers]
        for server in self._servers:
            await server.ready.wait()
        self._log_start()
        watch = None if self._trial is None else asyncio.create_task(self._watch_store(self._trial))
        await data
        self._is_over.set()
        if watch is not None:
            await watch  # to its end: a database's connection that is cancelled while it opens leaves a thread behind
        for server in self._servers[1:]:
            server.end()
        await asyncio.gather(*admins)
        return 0

    async def _watch_store(self, trial: Trial) -> None:
        """Try the store once, or again and again where it is required.

        Lookups and writes that fail are logged by themselves; readiness has to turn without a request, too.
        """
        if self._settings.store_required:
            while not await self._ends_within(_TRIAL_EVERY):
                self._judge_store(trial, await trial.fault())
        elif fault := await trial.fault():
            LOGGER.warning("The store (%s) does not work: %s. Requests go on without it", trial.name, fault)

    async def _ends_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_over.wait(), seconds)
        return self._is_over.is_set()

    def _judge_store(self, trial: Trial, fault: str | None) -> None:
        """Set the readiness by the last trial; log when it turns."""
        if fault and not self._readiness.lacks_store:
            LOGGER.warning("The store (%s) does not work: %s. It is required: not ready", trial.name, fault)
        elif not fault and self._readiness.lacks_store:
            LOGGER.info("The store (%s) works again", trial.name)
        self._readiness.lacks_store = fault is not None

    def _end(self) -> None:
        if not self._readiness.draining:
            LOGGER.info("Shutting down: draining for up to %g s", self._settings.drain_timeout)
        self._readiness.draining = True
        self._servers[0].end()

    def _log_start(self) -> None:
        listen, *admins = [server.name for server in self._servers]
        upstream, mode = self._settings.upstream, self._settings.mode
        store = "off" if self._trial is None else self._trial.name
        proxy = self._settings.upstream_proxy
        facts = {"listen": listen, "admin_listen": "".join(admins) or None, "upstream": upstream, "mode": mode}
        facts |= {"upstream_proxy": str(proxy) if proxy else None, "store": store, "version": __version__}
        health = "".join(f", health and metrics on {name}" for name in admins)
        through = f" through {proxy}" if proxy else ""
        memory = self._settings.max_memory >> 20
        LOGGER.info(
            "Listening on %s (upstream %s%s, mode %s, store %s, memory %d MiB, version %s)%s",
            *(listen, upstream, through, mode, store, memory, __version__, health),
            extra={"told": {**facts, "max_memory": self._settings.max_memory}},
        )


def _config(app: ASGIApp, settings: Settings, *, lifespan: Literal["on", "off"]) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_protocol(settings, CLIENTS if lifespan == "on" else 1),
        ws="none",
        lifespan=lifespan,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=_BACKLOG,
        **_durations(settings),
    )


def _protocol(settings: Settings, share: float) -> type[ClientProtocol]:
    """The protocol with its settings, for connections that may take this share of all descriptors."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = {"header_timeout": settings.header_timeout, "highest_descriptor": int(most * share)}
    return type("ClientProtocol", (ClientProtocol,), limits)


def _durations(settings: Settings) -> dict[str, Any]:
    """Durations as they are: uvicorn asks for whole seconds, and uses them as any number."""
    return {
        "timeout_keep_alive": settings.client_keepalive,
        "timeout_graceful_shutdown": settings.drain_timeout,
    }


@contextlib.contextmanager
def _listening(flag: str, address: Address) -> Iterator[socket.socket]:
    """A listening socket at `address`; raises SettingsError with a sentence where it cannot be had."""
    try:
        listener = _bound(address)
    except OSError as error:
        raise SettingsError(f"{flag}: cannot listen on {address}: {error.strerror or error}.") from None
    with listener:
        yield listener
    if address.path:
        Path(address.path).unlink(missing_ok=True)


def _bound(address: Address) -> socket.socket:
    if address.path:
        return _bound_path(address.path)
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    both = address.host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((address.host, address.port), family=family, backlog=_BACKLOG, dualstack_ipv6=both)


def _bound_path(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    if _is_left_over(path):
        Path(path).unlink()
    listener.bind(path)
    return listener


def _is_left_over(path: str) -> bool:
    """Whether there is a socket at `path` without a listener."""
    if not Path(path).is_socket():
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == errno.ECONNREFUSED


def _collect_less() -> None:
    """Leave what is there at start alone, and look for cycles more seldom: a request leaves hardly any.

    Measured (2 KB bodies, 2026-11): a tenth of the time went into collections that found nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _keep_memory() -> None:
    """Reuse the memory of large bodies instead of giving it back and asking for it again with each of them.

    Measured (2026-11): a body of 200 KB costs a sixth less, one of 8 MB half; up to 64 MiB stay with the process.
    """
    with contextlib.suppress(OSError, AttributeError):  # a C library without it decides itself
        tune = ctypes.CDLL(None).mallopt
        tune(_M_TRIM_THRESHOLD, 64 * 1024 * 1024)
        tune(_M_MMAP_THRESHOLD, 32 * 1024 * 1024)


def _raise_descriptor_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # where the hard limit is more than the system allows, it stays
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
