"""The composition root: the only module that knows every other.

A request's walk: request id, access, server errors, limit, recording (with a store), ASGI driver, reverse proxy.
A WebSocket's: request id, access, server errors, WebSockets, ASGI driver, reverse proxy.
"""

import ssl
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from starlette.types import ASGIApp

from proxy import __version__
from proxy.admin import Instruments
from proxy.drivers.asgi import PortableMiddleware
from proxy.drivers.memory import MemoryBudget
from proxy.events import Observer, Observers
from proxy.http.base_url import base_url
from proxy.middleware.access import AccessMiddleware
from proxy.middleware.limit import LimitMiddleware
from proxy.middleware.recording import RecordingMiddleware
from proxy.middleware.request_id import RequestIdMiddleware
from proxy.middleware.retrieval import RetrievalMiddleware
from proxy.middleware.server_errors import ServerErrorsMiddleware
from proxy.middleware.websockets import WebSocketMiddleware
from proxy.observers.gauges import Gauges
from proxy.observers.metrics import Metrics
from proxy.responses.policy import Policy, Profile, profile_of
from proxy.responses.recovery.pattern import compile_all
from proxy.server.inspection import inspection
from proxy.settings import Settings, SettingsError, Telemetry, tracing
from proxy.store.interface import Engine, Options, Store
from proxy.store.service import StoreService, Terms
from proxy.store.trial import Trial
from proxy.upstream.client import Http1Client
from proxy.upstream.interface import Client, Deadlines, Limits
from proxy.upstream.reverse_proxy import ReverseProxy
from proxy.upstream.tls import client_context

if TYPE_CHECKING:
    from proxy.observers.span_export import SpanExporter
    from proxy.observers.tracing import Tracing


class Unpinned(NamedTuple):
    """The proxy as an ASGI app, and what the admin listener shows of it."""

    app: ASGIApp
    instruments: Instruments


def build(settings: Settings, observer: Observer, store: Store | None = None) -> ASGIApp:
    """The proxy as an ASGI app, with this store or the configured one; `observer` is notified of what happens."""
    return assemble(settings, observer, store).app


def assemble(settings: Settings, observer: Observer, store: Store | None = None) -> Unpinned:
    """The proxy with its instruments; `observer` is notified of what happens as well."""
    compile_all()
    has_own_store = store is None and settings.store != "off"
    trial = Trial(lambda: _engine(settings), settings.store) if has_own_store else None
    metrics = Metrics()
    shown = inspection(settings)
    if settings.admin_listen is not None:
        observer = Observers((observer, metrics, *([shown.recent] if shown else [])))
    upstream = base_url(settings.upstream)
    sender = client(settings)
    traced = tracer(settings)
    if traced is not None:
        observer = Observers((observer, traced))
    hop: ASGIApp = ReverseProxy(sender, upstream, observer, upload_idle_timeout=settings.upload_idle_timeout)
    if traced is not None:
        hop = _traceable_attempts(hop)
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
        recorded = RetrievalMiddleware(
            portable,
            service,
            memory=memory,
            offload=portable.offload,
            report=settings.report,
            observes=settings.mode == "observe",
        )
        if settings.conversations != "upstream":
            recorded = _conversations(recorded, portable, service, settings)
        recorded = RecordingMiddleware(recorded, service, portable.recording)
    limited = LimitMiddleware(recorded, settings.max_requests)
    sockets = WebSocketMiddleware(
        limited,
        portable if settings.websocket != "off" else None,
        settings.max_websockets,
        has_sessions=settings.websocket == "on",
    )
    access = AccessMiddleware(ServerErrorsMiddleware(sockets), observer, reads_ids=shown is not None)
    traceable = access if traced is None else _traceable(access, traced)

    def levels() -> Gauges:
        opened = (sockets.open["session"], sockets.open["tunnel"])
        counts = (limited.running, access.relaying, len(portable.lessons), *sender.occupancy(), *opened)
        return Gauges(*counts, memory.held, memory.most)

    return Unpinned(RequestIdMiddleware(traceable, report=settings.report), Instruments(metrics, levels, shown, trial))


def _conversations(app: ASGIApp, portable: PortableMiddleware, service: StoreService, settings: Settings) -> ASGIApp:
    """An app with the conversations of a store before it; what has its history goes on from `portable`."""
    from proxy.drivers.conversation_call import Options as ConversationOptions  # noqa: PLC0415 -- few have a store
    from proxy.middleware.conversations import ConversationsMiddleware  # noqa: PLC0415 -- as above
    from proxy.store.conversation_service import ConversationService  # noqa: PLC0415

    resolved = portable
    if settings.mode == "recover":  # no upstream knows what these requests refer to, so that there is nothing to try
        resolved = portable.with_policy(replace(portable.policy, mode="auto"))
    kept = ConversationService(service.store, portable.observer)
    service.before_close(kept.close)
    options = ConversationOptions(
        app=app,
        service=kept,
        resolved=resolved if settings.mode != "observe" else None,
        largest=settings.store_max_conversation,
        max_body=settings.max_body,
        upload_idle_timeout=settings.upload_idle_timeout,
        remembers_all=settings.store_unstored,
        report=settings.report,
        memory=portable.memory,
        offload=portable.offload,
    )
    return ConversationsMiddleware(options, service.scope)


def tracer(settings: Settings) -> "Tracing | None":
    """What makes spans, where traces are exported. Raises SettingsError."""
    chosen = tracing() if settings.tracing else None
    if chosen is None or not chosen.endpoint:
        return None

    from proxy.observers.tracing import Sampling, Tracing  # noqa: PLC0415 -- few have traces exported

    share = {"always_on": 1.0, "always_off": 0.0}.get(chosen.sampler.removeprefix("parentbased_"), chosen.ratio)
    sampling = Sampling(chosen.sampler.startswith("parentbased_"), share)
    return Tracing(_exporter(settings, chosen), sampling)


def _exporter(settings: Settings, chosen: Telemetry) -> "SpanExporter":
    try:
        from proxy.observers.span_export import Collector, SpanExporter  # noqa: PLC0415 -- as above
        from proxy.observers.spans import Spans, Upstream  # noqa: PLC0415
    except ModuleNotFoundError:
        raise SettingsError(_missing("UNPINNED_TRACING", "otel")) from None
    upstream = base_url(settings.upstream)
    provider = "azure.ai.openai" if profile(settings) == "azure" else "openai"
    context = _collector_context(chosen)
    collector = Collector(chosen.endpoint, dict(chosen.headers), chosen.timeout, chosen.compresses, context)
    facts = {
        "service.version": __version__,
        "telemetry.sdk.name": "unpinned",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": __version__,
        **dict(chosen.resource),
    }
    spans = Spans(Upstream(provider, upstream.host or upstream.socket, upstream.port), facts)
    return SpanExporter(collector, spans.body, delay=chosen.delay, queue=chosen.queue, batch=chosen.batch)


def _collector_context(chosen: Telemetry) -> ssl.SSLContext | None:
    if not chosen.endpoint.startswith("https:"):
        return None
    try:
        context = ssl.create_default_context(cafile=chosen.ca_file)
        if chosen.client_certificate is not None:
            context.load_cert_chain(chosen.client_certificate, chosen.client_key)
    except OSError as error:
        raise SettingsError(f"OTEL_EXPORTER_OTLP_CERTIFICATE and its like cannot be used: {error.strerror}.") from None
    return context


def _traceable(app: ASGIApp, traced: "Tracing") -> ASGIApp:
    from proxy.middleware.tracing import TracingMiddleware  # noqa: PLC0415 -- as above

    return TracingMiddleware(app, traced)


def _traceable_attempts(hop: ASGIApp) -> ASGIApp:
    from proxy.middleware.tracing import AttemptMiddleware  # noqa: PLC0415 -- as above

    return AttemptMiddleware(hop)


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
    tls = None if settings.ca_file is None else client_context(settings.ca_file)
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


def profile(settings: Settings) -> Profile:
    """The dialect of upstream: as set, or by its host."""
    if settings.profile != "auto":
        return settings.profile
    return profile_of(base_url(settings.upstream).host)


def open_store(settings: Settings) -> Engine | None:
    """The store; None: off. Raises SettingsError where what it needs is not installed, or its URL leads nowhere."""
    return _engine(settings) if settings.store != "off" else None


def _engine(settings: Settings) -> Engine:
    from proxy.store.factory import MissingExtraError, envelope, opened  # noqa: PLC0415 -- few have a store

    try:
        sealed = envelope(settings.store_key.keys, reads_plain=settings.store_key.reads_plain)
        options = Options(settings.store_ttl, settings.store_max_conversation, settings.store_capacity, sealed)
        return opened(settings.store, options)
    except MissingExtraError as missing:
        setting = "UNPINNED_STORE_KEY" if str(missing) == "encryption" else "UNPINNED_STORE"
        raise SettingsError(_missing(setting, str(missing))) from None
    except ValueError:
        raise SettingsError("UNPINNED_STORE is no URL that its client understands.") from None


def _missing(setting: str, extra: str) -> str:
    return f"{setting} needs what is not installed: pip install 'unpinned[{extra}]' adds it."


def _terms(settings: Settings) -> Terms:
    place = settings.name or base_url(settings.upstream).host
    return Terms(settings.store_scope, settings.store_timeout, settings.store_max_item, settings.identity_fields, place)
