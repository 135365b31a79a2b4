"""The `Settings` object: what the rows of `TABLE` become, each a value of its own type."""

from dataclasses import dataclass, field
from typing import Literal

from proxy.http.base_url import OutboundProxy
from proxy.settings.address import Address
from proxy.settings.parsers import Keys


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration of one process. `TABLE` explains each field; durations are seconds, sizes bytes."""

    listen: Address
    admin_listen: Address | None
    workers: int
    tls_cert: str | None
    tls_key: str | None
    tls_client_ca: str | None
    upstream: str
    name: str | None
    upstream_proxy: OutboundProxy | None
    mode: Literal["auto", "strip", "recover", "observe"]
    profile: Literal["auto", "openai", "azure"]
    keep_last: int
    max_recoveries: int
    early: bool
    drop_conversation: bool
    max_body: int
    max_memory: int
    connect_timeout: float
    first_byte_timeout: float
    idle_timeout: float
    header_timeout: float
    upload_idle_timeout: float
    max_connections: int
    max_requests: int
    websocket: Literal["on", "tunnel", "off"]
    max_websockets: int
    keepalive_expiry: float
    client_keepalive: float
    ca_file: str | None
    drain_delay: float
    drain_timeout: float
    identity_fields: frozenset[bytes]
    store: str
    store_scope: str | None
    store_timeout: float
    store_ttl: int
    store_max_item: int
    store_max_conversation: int
    store_capacity: int
    store_key: Keys = field(repr=False)
    store_required: bool
    store_unstored: bool
    conversations: Literal["upstream", "store", "process"]
    report: bool
    inspect: bool
    tracing: bool
    log_level: Literal["debug", "info", "warning", "error"]
    log_format: Literal["auto", "text", "json", "ecs", "otel"]
    log_sample: float
