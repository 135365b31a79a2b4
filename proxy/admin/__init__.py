"""The admin listener: whether the process lives, whether it takes new requests, and what it has done.

Reads, and changes nothing: GET and HEAD are all it answers.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module

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


@dataclass(frozen=True)
class Instruments:
    """What there is to be read of the data listener's app."""

    metrics: Metrics = field(default_factory=Metrics)
    levels: Callable[[], Gauges] = Gauges
    inspection: Inspection | None = None
    """The last exchanges, where `UNPINNED_INSPECT` is on."""
    trial: Trial | None = None
    """The trials of the store, where there is one."""


def _is_foreign_script(request: Request, own_name: str) -> bool:
    """Whether a script in a browser asks under a name that is not this machine's (DNS rebinding).

    Prometheus asks under any name, a person's browser navigates; only a script's request has another Sec-Fetch-Mode.
    """
    mode = request.headers.get("sec-fetch-mode", "navigate")
    return mode != "navigate" and not is_own(request.headers.get("host", ""), own_name)


def admin(readiness: Readiness, instruments: Instruments | None = None) -> Starlette:
    """The admin app. `/livez` answers while the process does.

    `/readyz` turns 503 when the process begins to end, or lacks a store that is required.
    """
    read = instruments or Instruments()
    own_name = read.inspection.listening if read.inspection is not None else ""

    async def livez(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        if readiness.draining:
            return PlainTextResponse("draining\n", 503)
        if readiness.lacks_store:
            return PlainTextResponse("the store does not work\n", 503)
        return PlainTextResponse("ready\n")

    async def metrics(request: Request) -> Response:
        if _is_foreign_script(request, own_name):
            return PlainTextResponse("This name is not served to scripts.\n", 421)
        exposition = await asyncio.to_thread(import_module, "proxy.observers.prometheus")  # takes long the first time
        text, media_type = exposition.exposition(read.metrics, read.levels(), request.headers.get("accept", ""))
        return Response(text, media_type=None, headers={"content-type": media_type})

    routes = [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]
    if read.inspection is not None:
        routes += pages(read.inspection, read.levels, lambda: readiness.draining)
    return Starlette(routes=routes)
