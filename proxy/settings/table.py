"""The table of settings: a row for each, and those of earlier versions that are gone."""

from typing import Final, NamedTuple

from proxy.settings.parsers import (
    ADDRESS,
    ADMIN,
    DURATION,
    FIELD_NAMES,
    FILE,
    FROM_0,
    FROM_1,
    KEYS,
    MEMORY,
    PATH,
    PLACE,
    PROXY,
    SCOPE,
    SECONDS,
    SHARE,
    SIZE,
    STORE,
    SWITCH,
    URL,
    WORKERS,
    Kind,
    choice,
)
from proxy.settings.sources import flag_of, variable_of


class Row(NamedTuple):
    """One setting: its name in `Settings`, its default as text, how it is read, and what it means."""

    name: str
    default: str
    kind: Kind
    meaning: str

    @property
    def flag(self) -> str:
        """The command line's name for it."""
        return flag_of(self.name)

    @property
    def variable(self) -> str:
        """The environment's name for it."""
        return variable_of(self.name)


TABLE: Final = (
    Row(
        "listen",
        "127.0.0.1:8080",
        ADDRESS,
        "Where clients connect. Not called PORT: Kubernetes injects UNPINNED_PORT for a service of that name.",
    ),
    Row(
        "admin_listen",
        "127.0.0.1:8081",
        ADMIN,
        "`/livez`, `/readyz` and `/metrics`; `off` for none.",
    ),
    Row(
        "workers",
        "1",
        WORKERS,
        "Processes that share the listener: 1 to 256, or `auto` for one each processor that may be used. What one "
        "learns from refusals the others do not know.",
    ),
    Row(
        "tls_cert",
        "none",
        PATH,
        "TLS on the listener: a PEM file with its certificate and what leads to the authority. New files are in use "
        "as soon as they are there.",
    ),
    Row("tls_key", "none", PATH, "The certificate's private key, without a passphrase; `none`: it is in TLS_CERT."),
    Row(
        "tls_client_ca",
        "none",
        PATH,
        "Certificate authorities (PEM) of clients: one without a certificate of theirs is refused (mTLS).",
    ),
    Row(
        "upstream",
        "https://api.openai.com/v1",
        URL,
        "Base URL of the API. With a path, it replaces a leading `/v1` of the client's path; without one, "
        "paths go as they come.",
    ),
    Row(
        "name",
        "upstream",
        PLACE,
        "What this place is called where a response that it made is asked for elsewhere (`x-unpinned-hint: "
        "made-at=NAME`); `upstream`: by the host of UPSTREAM. Remembered with a store only.",
    ),
    Row(
        "upstream_proxy",
        "none",
        PROXY,
        "Outbound proxy, by CONNECT to any upstream: `http://` or `https://`, with `USER:PASSWORD@` or not; `env` "
        "takes it from HTTPS_PROXY (HTTP_PROXY for an `http://` upstream), ALL_PROXY and NO_PROXY.",
    ),
    Row(
        "mode",
        "auto",
        choice("auto", "strip", "recover", "observe"),
        "`auto`: portable from the start where that loses nothing, else as it came, and portable when refused; "
        "`strip`: portable from the start; `recover`: as it came, portable when refused; `observe`: only reported.",
    ),
    Row(
        "profile",
        "auto",
        choice("auto", "openai", "azure"),
        "Dialect of upstream; `auto` takes azure for hosts of Azure.",
    ),
    Row(
        "keep_last",
        "3",
        FROM_0,
        "User messages and tool outputs that a trim keeps besides the last user message; 0: never trim.",
    ),
    Row("max_recoveries", "3", FROM_0, "Attempts after the first one was refused; 0: none."),
    Row(
        "early",
        "on",
        SWITCH,
        "Recover also from refusals that are the first events of a stream: it is held until an event says that it "
        "goes on, at most half a second from its first.",
    ),
    Row(
        "drop_conversation",
        "off",
        SWITCH,
        "Remove `conversation` from requests; its history is lost.",
    ),
    Row(
        "max_body",
        "64MiB",
        SIZE,
        "Size of a body that is rewritten, as sent and decoded: beyond it 413 in `strip`, otherwise passed "
        "unread. Other bodies have no limit.",
    ),
    Row(
        "max_memory",
        "auto",
        MEMORY,
        "Bytes of bodies held by all requests together; beyond it 503. `auto`: half of the container's or machine's "
        "memory.",
    ),
    Row("connect_timeout", "5", SECONDS, "For a connection to upstream: outbound proxy and TLS handshake included."),
    Row(
        "first_byte_timeout",
        "3600",
        SECONDS,
        "Until the head of upstream's answer; for an answer that is not streamed that is its end.",
    ),
    Row("idle_timeout", "3600", SECONDS, "Silence within an answer of upstream's."),
    Row("header_timeout", "20", SECONDS, "For the whole head of a client's request."),
    Row("upload_idle_timeout", "60", SECONDS, "A client's silence while it sends a body."),
    Row(
        "max_connections",
        "5000",
        FROM_1,
        "Connections to upstream; waiting for one ends after CONNECT_TIMEOUT with 503.",
    ),
    Row("max_requests", "5000", FROM_1, "Requests in progress; beyond them 503 with Retry-After."),
    Row(
        "websocket",
        "on",
        choice("on", "tunnel", "off"),
        "`on`: WebSockets pass, and those at `…/responses` are sessions; `tunnel`: all pass byte for byte; `off`: 426, "
        "on which clients turn to HTTP.",
    ),
    Row(
        "max_websockets",
        "2000",
        FROM_1,
        "WebSockets that are open, each with a connection to upstream of its own; beyond them 503 with Retry-After.",
    ),
    Row("keepalive_expiry", "30", SECONDS, "How long an idle connection to upstream is kept."),
    Row("client_keepalive", "75", SECONDS, "How long an idle connection of a client is kept."),
    Row(
        "ca_file",
        "system",
        FILE,
        "Certificate authorities for upstream and for an `https://` outbound proxy: a PEM file, or the system's.",
    ),
    Row(
        "drain_delay",
        "0.5",
        SECONDS,
        "How long connections are still accepted after SIGTERM, while `/readyz` answers 503: as long as a load "
        "balancer needs to notice.",
    ),
    Row("drain_timeout", "120", SECONDS, "How long running requests may go on after SIGTERM; DRAIN_DELAY counts."),
    Row(
        "identity_fields",
        "none",
        FIELD_NAMES,
        "Further header fields that tell callers apart, beside Authorization and the usual key fields.",
    ),
    Row(
        "store",
        "off",
        STORE,
        "Conversation store URL, so that references resolve on every server: a Redis or Valkey, a "
        "PostgreSQL, or an SQLite file (`sqlite:///FILE`) for the processes of one machine; `memory` belongs to one "
        "process and ends with it; `file:PATH` names a file with the URL.",
    ),
    Row(
        "store_scope",
        "credential",
        SCOPE,
        "Isolation of stored conversations: per credential, or one named scope shared by all.",
    ),
    Row("store_timeout", "0.25", SECONDS, "For a lookup in the store; then the request goes on without it."),
    Row("store_ttl", "30d", DURATION, "How long something is remembered after its last use."),
    Row(
        "store_max_item",
        "16MiB",
        SIZE,
        "Size of an item; a response with a larger one is not remembered.",
    ),
    Row(
        "store_max_conversation",
        "64MiB",
        SIZE,
        "Size of a conversation; a larger one is not recalled.",
    ),
    Row("store_capacity", "256MiB", SIZE, "What `memory` takes; what was used longest ago makes room."),
    Row(
        "store_key",
        "none",
        KEYS,
        "Encrypts items in Redis and databases (AES-256-GCM): keys of 32 bytes in Base64 with commas between them, or "
        "`file:PATH`. The first encrypts, all decrypt; the word `plain` among them lets what is not encrypted be read.",
    ),
    Row(
        "store_required",
        "off",
        SWITCH,
        "Whether a store that does not work ends the start (exit code 1), and `/readyz` answers 503 while it is down.",
    ),
    Row("store_unstored", "off", SWITCH, "Whether responses with `store: false` are remembered as well."),
    Row(
        "conversations",
        "upstream",
        choice("upstream", "store", "process"),
        "Where conversations (`/conversations`, `conversation`) live: `upstream`; `store`: in the store, so that they "
        "go on at every server; `process`: the same with a store that only this one process has (`memory`).",
    ),
    Row("report", "on", SWITCH, "Add the `x-unpinned-*` response fields."),
    Row("inspect", "off", SWITCH, "Whether the admin listener has a live page, at `/`, of the last 200 exchanges."),
    Row(
        "tracing",
        "off",
        SWITCH,
        "Whether OpenTelemetry spans are exported, by the standard variables (OTEL_EXPORTER_OTLP_ENDPOINT and others).",
    ),
    Row(
        "log_level",
        "info",
        choice("debug", "info", "warning", "error"),
        "At `debug` ids of items are named; nothing private is, at any level.",
    ),
    Row(
        "log_format",
        "auto",
        choice("auto", "text", "json", "ecs", "otel"),
        "`auto`: text on a terminal, JSON lines otherwise; `ecs`, `otel`: JSON lines with the names of the Elastic "
        "Common Schema, or of OpenTelemetry.",
    ),
    Row(
        "log_sample",
        "1",
        SHARE,
        "Share of ordinary requests that have lines at `info`, as `0.01`; what is refused, recovered, lossy, cut or "
        "failed always has.",
    ),
)


GONE: Final = {
    "upstream_client": "Unpinned has one client for upstream, and UNPINNED_UPSTREAM_PROXY works with it",
}
"""Settings of earlier versions, by name, each with the sentence that says what replaces it."""
