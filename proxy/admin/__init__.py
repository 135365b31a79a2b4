"""The admin listener: whether the process lives, whether it takes new requests, and what it has done.

Reads, and changes nothing: GET and HEAD are all it answers.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import NamedTuple

from proxy.admin.answers import Answer, Page, Request, Site
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
    mode = request.field(b"sec-fetch-mode", "navigate")
    return mode != "navigate" and not is_own(request.field(b"host"), own_name)


def admin(
    readiness: Readiness, reading: Callable[[], Awaitable[Reading]], inspection: Inspection | None = None
) -> Site:
    """The admin app; `reading` reads the instruments. `/livez` answers while the process does.

    `/readyz` turns 503 when the process begins to end, or lacks a store that is required or processes that serve.
    """
    own_name = inspection.listening if inspection is not None else ""

    async def livez(_: Request) -> Answer:
        return Answer(b"ok\n")

    async def readyz(_: Request) -> Answer:
        if readiness.draining:
            return Answer(b"draining\n", 503)
        if readiness.lacks_store:
            return Answer(b"the store does not work\n", 503)
        if readiness.lacks_workers:
            return Answer(b"no worker serves\n", 503)
        return Answer(b"ready\n")

    async def metrics(request: Request) -> Answer:
        if _is_foreign_script(request, own_name):
            return Answer(b"This name is not served to scripts.\n", 421)
        exposition = await asyncio.to_thread(import_module, "proxy.observers.prometheus")  # takes long the first time
        text, media_type = exposition.exposition(*await reading(), request.field(b"accept"))
        return Answer(text, media_type=media_type)

    async def levels() -> Gauges:
        return (await reading()).levels

    shown: dict[str, Page] = {"/livez": livez, "/readyz": readyz, "/metrics": metrics}
    if inspection is not None:
        shown |= pages(inspection, levels, lambda: readiness.draining)
    return Site(shown)
