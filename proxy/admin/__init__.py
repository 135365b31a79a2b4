"""The admin listener: whether the process lives, whether it takes new requests, and what it has done.

Reads, and changes nothing: GET and HEAD are all it answers.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import NamedTuple

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from proxy.admin.hosts import is_own
from proxy.admin.page import Inspection, pages
from proxy.observers.gauges import Gauges
from proxy.observers.metrics import Metrics
from proxy.store.trial import Trial


@dataclass
class Readiness:
    """Whether the process takes new requests."""

    draining: bool = False
    """It is about to end."""
    lacks_store: bool = False
    """The store is required, and does not work."""
    lacks_workers: bool = False
    """No process serves: the last one has died, and its successor is not there yet."""


class Reading(NamedTuple):
    """What the instruments show at one moment."""

    metrics: Metrics
    levels: Gauges


@dataclass(frozen=True)
class Instruments:
    """What there is to be read of the data listener's app."""

    metrics: Metrics = field(default_factory=Metrics)
    levels: Callable[[], Gauges] = Gauges
    inspection: Inspection | None = None
    """The last exchanges, where `UNPINNED_INSPECT` is on."""
    trial: Trial | None = None
    """The trials of the store, where there is one."""

    async def reading(self) -> Reading:
        """What has happened in this process, and what goes on."""
        return Reading(self.metrics, self.levels())


def _is_foreign_script(request: Request, own_name: str) -> bool:
    """Whether a script in a browser asks under a name that is not this machine's (DNS rebinding).

    Prometheus asks under any name, a person's browser navigates; only a script's request has another Sec-Fetch-Mode.
    """
    mode = request.headers.get("sec-fetch-mode", "navigate")
    return mode != "navigate" and not is_own(request.headers.get("host", ""), own_name)


def admin(
    readiness: Readiness, reading: Callable[[], Awaitable[Reading]], inspection: Inspection | None = None
) -> Starlette:
    """The admin app; `reading` reads the instruments. `/livez` answers while the process does.

    `/readyz` turns 503 when the process begins to end, or lacks a store that is required or processes that serve.
    """
    own_name = inspection.listening if inspection is not None else ""

    async def livez(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        if readiness.draining:
            return PlainTextResponse("draining\n", 503)
        if readiness.lacks_store:
            return PlainTextResponse("the store does not work\n", 503)
        if readiness.lacks_workers:
            return PlainTextResponse("no worker serves\n", 503)
        return PlainTextResponse("ready\n")

    async def metrics(request: Request) -> Response:
        if _is_foreign_script(request, own_name):
            return PlainTextResponse("This name is not served to scripts.\n", 421)
        exposition = await asyncio.to_thread(import_module, "proxy.observers.prometheus")  # takes long the first time
        text, media_type = exposition.exposition(*await reading(), request.headers.get("accept", ""))
        return Response(text, media_type=None, headers={"content-type": media_type})

    async def levels() -> Gauges:
        return (await reading()).levels

    routes = [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]
    if inspection is not None:
        routes += pages(inspection, levels, lambda: readiness.draining)
    return Starlette(routes=routes)
