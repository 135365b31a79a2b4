"""The composition root: the only module that knows every other.

A request's walk: request id, access, last resort, limit, memory (where there is a store), portable, upstream.
"""

from typing import NamedTuple

from starlette.types import ASGIApp

from proxy import __version__, stores
from proxy.admin import Instruments
from proxy.admin.page import Inspection
from proxy.events import Observer, Observers
from proxy.middleware.access import AccessMiddleware
from proxy.middleware.keeper import Keeper, Terms
from proxy.middleware.last_resort import LastResortMiddleware
from proxy.middleware.limit import LimitMiddleware
from proxy.middleware.memory import MemoryMiddleware
from proxy.middleware.portable import PortableMiddleware
from proxy.middleware.request_id import RequestIdMiddleware
from proxy.observers.levels import Levels
from proxy.observers.metrics import Metrics
from proxy.observers.recent import Recent
from proxy.policies import policy
from proxy.settings import Settings
from proxy.store.seam import Store
from proxy.upstream.app import ReverseProxy
from proxy.upstream.base_url import base_url
from proxy.upstream.http1 import Http1Client
from proxy.upstream.seam import Client, Deadlines, Limits
from proxy.upstream.tls import trusting


class Unpinned(NamedTuple):
    """The proxy as an ASGI app, and what the admin listener shows of it."""

    app: ASGIApp
    instruments: Instruments


def build(settings: Settings, observer: Observer, store: Store | None = None) -> ASGIApp:
    """The proxy as an ASGI app, with this store or the one that is set; what happens is told to `observer`."""
    return assemble(settings, observer, store).app


def assemble(settings: Settings, observer: Observer, store: Store | None = None) -> Unpinned:
    """The proxy with its instruments; what happens is told to `observer` as well."""
    metrics = Metrics()
    inspection = inspecting(settings)
    if settings.admin_listen is not None:
        observer = Observers((observer, metrics, *([inspection.recent] if inspection else [])))
    upstream = base_url(settings.upstream)
    sender = client(settings)
    hop = ReverseProxy(sender, upstream, observer, upload_idle_timeout=settings.upload_idle_timeout)
    keeper = keeping(settings, observer, store)
    portable = PortableMiddleware(
        hop,
        policy(settings),
        observer=observer,
        upstream=settings.upstream,
        max_body=settings.max_body,
        upload_idle_timeout=settings.upload_idle_timeout,
        report=settings.report,
        keeper=keeper,
    )
    heard = MemoryMiddleware(portable, keeper, remembers_all=settings.store_unstored) if keeper else portable
    limited = LimitMiddleware(heard, settings.max_requests)
    access = AccessMiddleware(LastResortMiddleware(limited), observer)

    def levels() -> Levels:
        return Levels(limited.running, access.relaying, len(portable.lessons), *sender.occupancy())

    return Unpinned(RequestIdMiddleware(access, report=settings.report), Instruments(metrics, levels, inspection))


def inspecting(settings: Settings) -> Inspection | None:
    """What the live page shows, where it is wanted."""
    if not settings.inspect or settings.admin_listen is None:
        return None
    facts = {
        "mode": settings.mode,
        "upstream": settings.upstream,
        "version": __version__,
        "base_url": f"http://{settings.listen}/v1" if not settings.listen.path else str(settings.listen),
    }
    return Inspection(Recent(), facts, settings.admin_listen.host)


def keeping(settings: Settings, observer: Observer, store: Store | None = None) -> Keeper | None:
    """Who asks and tells the store, if there is one. Raises SettingsError."""
    store = store or stores.store(settings)
    if store is None:
        return None
    return Keeper(store, observer, Terms(settings.store_scope, settings.store_timeout, settings.store_max_item))


def client(settings: Settings) -> Client:
    """Who sends requests upstream."""
    upstream = base_url(settings.upstream)
    deadlines = Deadlines(settings.connect_timeout, settings.first_byte_timeout, settings.idle_timeout)
    limits = Limits(settings.max_connections, settings.keepalive_expiry)
    tls = trusting(settings.ca_file)
    if settings.upstream_client == "http1":
        return Http1Client(upstream, deadlines, limits, tls=tls)

    from proxy.upstream.httpx2_client import Httpx2Client  # noqa: PLC0415 -- who does not use it need not load it

    return Httpx2Client(upstream, deadlines, limits, tls=tls, proxy=settings.upstream_proxy)
