"""The composition root: the only module that knows every other.

A request's walk: request id, access, server errors, limit, recording (with a store), ASGI driver, reverse proxy.
A WebSocket's: request id, access, server errors, WebSockets, ASGI driver, reverse proxy.
"""

from typing import Final, Literal, NamedTuple

from starlette.types import ASGIApp

from proxy.admin import Instruments
from proxy.drivers.asgi import PortableMiddleware
from proxy.drivers.memory import MemoryBudget
from proxy.events import Observer, Observers
from proxy.http.base_url import base_url
from proxy.middleware.access import AccessMiddleware
from proxy.middleware.limit import LimitMiddleware
from proxy.middleware.recording import RecordingMiddleware
from proxy.middleware.request_id import RequestIdMiddleware
from proxy.middleware.server_errors import ServerErrorsMiddleware
from proxy.middleware.websockets import WebSocketMiddleware
from proxy.observers.gauges import Gauges
from proxy.observers.metrics import Metrics
from proxy.responses.policy import Policy
from proxy.server.inspection import inspection
from proxy.settings import Settings, SettingsError
from proxy.store.factory import MissingExtraError, envelope, opened
from proxy.store.interface import Engine, Options, Store
from proxy.store.service import StoreService, Terms
from proxy.store.trial import Trial
from proxy.upstream.client import Http1Client
from proxy.upstream.interface import Client, Deadlines, Limits
from proxy.upstream.reverse_proxy import ReverseProxy
from proxy.upstream.tls import client_context

_AZURE: Final = (".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com")


class Unpinned(NamedTuple):
    """The proxy as an ASGI app, and what the admin listener shows of it."""

    app: ASGIApp
    instruments: Instruments


def build(settings: Settings, observer: Observer, store: Store | None = None) -> ASGIApp:
    """The proxy as an ASGI app, with this store or the configured one; `observer` is notified of what happens."""
    return assemble(settings, observer, store).app


def assemble(settings: Settings, observer: Observer, store: Store | None = None) -> Unpinned:
    """The proxy with its instruments; `observer` is notified of what happens as well."""
    has_own_store = store is None and settings.store != "off"
    trial = Trial(lambda: _engine(settings), settings.store) if has_own_store else None
    metrics = Metrics()
    shown = inspection(settings)
    if settings.admin_listen is not None:
        observer = Observers((observer, metrics, *([shown.recent] if shown else [])))
    upstream = base_url(settings.upstream)
    sender = client(settings)
    hop = ReverseProxy(sender, upstream, observer, upload_idle_timeout=settings.upload_idle_timeout)
    service = store_service(settings, observer, store)
    memory = MemoryBudget(settings.max_memory)
    portable = PortableMiddleware(
        hop,
        policy(settings),
        observer=observer,
        max_body=settings.max_body,
        upload_idle_timeout=settings.upload_idle_timeout,
        report=settings.report,
        service=service,
        identity=settings.identity_fields,
        memory=memory,
        names_model=shown is not None,
    )
    recorded: ASGIApp = portable
    if service is not None:
        recorded = RecordingMiddleware(portable, service, portable.recording)
    limited = LimitMiddleware(recorded, settings.max_requests)
    sockets = WebSocketMiddleware(
        limited,
        portable if settings.websocket != "off" else None,
        settings.max_websockets,
        has_sessions=settings.websocket == "on",
    )
    access = AccessMiddleware(ServerErrorsMiddleware(sockets), observer, reads_ids=shown is not None)

    def levels() -> Gauges:
        opened = (sockets.open["session"], sockets.open["tunnel"])
        counts = (limited.running, access.relaying, len(portable.lessons), *sender.occupancy(), *opened)
        return Gauges(*counts, memory.held, memory.most)

    return Unpinned(RequestIdMiddleware(access, report=settings.report), Instruments(metrics, levels, shown, trial))


def store_service(settings: Settings, observer: Observer, store: Store | None = None) -> StoreService | None:
    """The store's service, if a store is configured. Raises SettingsError."""
    store = store or open_store(settings)
    if store is None:
        return None
    return StoreService(store, observer, _terms(settings))


def client(settings: Settings) -> Client:
    """The client of upstream."""
    upstream = base_url(settings.upstream)
    deadlines = Deadlines(settings.connect_timeout, settings.first_byte_timeout, settings.idle_timeout)
    limits = Limits(settings.max_connections, settings.keepalive_expiry)
    tls = client_context(settings.ca_file)
    return Http1Client(upstream, deadlines, limits, tls=tls, proxy=settings.upstream_proxy)


def policy(settings: Settings) -> Policy:
    """What may be done to a request."""
    return Policy(
        mode=settings.mode,
        profile=profile(settings),
        keep_last=settings.keep_last,
        max_recoveries=settings.max_recoveries,
        early=settings.early,
        drop_conversation=settings.drop_conversation,
        tell_ids=settings.log_level == "debug",
        recalls=settings.store != "off",
        remembers_all=settings.store_unstored,
    )


def profile(settings: Settings) -> Literal["openai", "azure"]:
    """The dialect of upstream: as set, or by its host."""
    if settings.profile != "auto":
        return settings.profile
    return "azure" if base_url(settings.upstream).host.endswith(_AZURE) else "openai"


def open_store(settings: Settings) -> Engine | None:
    """The store; None: off. Raises SettingsError where what it needs is not installed, or its URL leads nowhere."""
    return _engine(settings) if settings.store != "off" else None


def _engine(settings: Settings) -> Engine:
    try:
        sealed = envelope(settings.store_key.keys, reads_plain=settings.store_key.reads_plain)
        options = Options(settings.store_ttl, settings.store_max_conversation, settings.store_capacity, sealed)
        return opened(settings.store, options)
    except MissingExtraError as missing:
        setting = "UNPINNED_STORE_KEY" if str(missing) == "encryption" else "UNPINNED_STORE"
        raise SettingsError(
            f"{setting} needs what is not installed: pip install 'unpinned[{missing}]' adds it."
        ) from None
    except ValueError:
        raise SettingsError("UNPINNED_STORE is no URL that its client understands.") from None


def _terms(settings: Settings) -> Terms:
    return Terms(settings.store_scope, settings.store_timeout, settings.store_max_item, settings.identity_fields)
