"""The app in this process: its server, the trials of its store, and what has been counted."""

import asyncio
import contextlib
import resource
import socket
import time
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

import uvicorn
from starlette.types import ASGIApp

from proxy.admin import Reading
from proxy.observers.logs import LOGGER
from proxy.server.draining import DrainingServer
from proxy.server.program import Assembled
from proxy.server.protocol import ClientProtocol
from proxy.server.sockets import BACKLOG
from proxy.server.tls import listener_context
from proxy.settings import Settings
from proxy.store.trial import Trial

CLIENTS: Final = 7 / 8
"""Of the descriptors, for clients; the rest is for connections to upstream, and for the admin listener."""
_TRIAL_EVERY: Final = 5.0
"""Seconds between two trials of a store that is required."""


class Failure(NamedTuple):
    """Why a process cannot serve: the exit code, and the sentence, which is "" where the log has it."""

    code: int
    sentence: str = ""


class Serving:
    """Serves an app at `listener`; raises SettingsError where its certificate cannot be used.

    `on_store` is called when `lacks_store` has turned.
    """

    def __init__(
        self,
        settings: Settings,
        assembled: Assembled,
        listener: socket.socket,
        *,
        shares: bool = False,
        on_store: Callable[[], None] = lambda: None,
    ) -> None:
        app, self.instruments = assembled
        self._server = server(app, settings, listener, shares=shares)
        self._settings = settings
        self._on_store = on_store
        self._is_over = asyncio.Event()
        self._work: asyncio.Task[None]
        self.began = time.monotonic()
        self.lacks_store = False

    async def start(self) -> Failure | None:
        """Begin to serve; the failure where a store is required and does not work."""
        trial = self.instruments.trial
        if trial is not None and self._settings.store_required and (fault := await trial.fault()):
            message = "The store (%s) does not work: %s. It is required, so that Unpinned does not start"
            LOGGER.error(message, trial.name, fault)
            return Failure(1)
        self._work = asyncio.create_task(self._serve(trial))
        await self._server.ready.wait()
        return None

    def retire(self) -> None:
        """Leave the listener to others, and end with the last connection."""
        self._server.retire()

    def end(self) -> None:
        """Drain; on the second call, cut what still runs."""
        self._server.end()

    async def over(self) -> str:
        """Wait for the end; "" because it ends by itself only when it is told to."""
        await self._work
        return ""

    async def reading(self) -> Reading:
        """What has been counted, and what goes on."""
        return await self.instruments.reading()

    async def _serve(self, trial: Trial | None) -> None:
        serving = asyncio.create_task(self._server.serve_socket())
        watch = None if trial is None else asyncio.create_task(self._watch_store(trial))
        await serving
        self._is_over.set()
        if watch is not None:
            await watch  # to its end: a database's connection that is cancelled while it opens leaves a thread behind

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
        """Note the last trial; log when it turns."""
        if fault and not self.lacks_store:
            LOGGER.warning("The store (%s) does not work: %s. It is required: not ready", trial.name, fault)
        elif not fault and self.lacks_store:
            LOGGER.info("The store (%s) works again", trial.name)
        if self.lacks_store != (fault is not None):
            self.lacks_store = fault is not None
            self._on_store()


def server(app: ASGIApp, settings: Settings, listener: socket.socket, *, shares: bool = False) -> DrainingServer:
    """The server that clients connect to; it needs a running loop, and no process of its own.

    Raises SettingsError where its certificate cannot be used.
    """
    config = server_config(app, settings, lifespan="on")
    return DrainingServer(config, listener, settings.drain_delay, listener_context(settings), shares=shares)


def server_config(app: ASGIApp, settings: Settings, *, lifespan: Literal["on", "off"]) -> uvicorn.Config:
    """How uvicorn serves an app: one with a lifespan serves clients, the other one is the admin's."""
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
        backlog=BACKLOG,
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
