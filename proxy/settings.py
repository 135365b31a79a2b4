"""The settings: one table that drives flags, environment, `--help`, the README's table and the `Settings` object.

The only reader of the environment. OPENAI_BASE_URL is never read: in a shared `.env` it names us, and we would call
ourselves.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from proxy import configuration
from proxy.configuration import CONFIG, PREFIX, ConfigurationError
from proxy.values import (
    ADDRESS,
    ADMIN,
    FILE,
    FROM_0,
    FROM_1,
    NAME,
    PROXY,
    SECONDS,
    SIZE,
    STORE,
    SWITCH,
    URL,
    Address,
    Kind,
    choice,
    leads_to,
)


class SettingsError(Exception):
    """A setting that cannot be used: a sentence that names it, its value and what is allowed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator wants. `TABLE` explains and sets each; durations are seconds, sizes bytes."""

    listen: Address
    admin_listen: Address | None
    upstream: str
    upstream_client: Literal["http1", "httpx2"]
    upstream_proxy: str | None
    mode: Literal["strip", "recover", "observe"]
    profile: Literal["auto", "openai", "azure"]
    keep_last: int
    max_recoveries: int
    drop_conversation: bool
    max_body: int
    connect_timeout: float
    first_byte_timeout: float
    idle_timeout: float
    header_timeout: float
    upload_idle_timeout: float
    max_connections: int
    max_requests: int
    keepalive_expiry: float
    client_keepalive: float
    ca_file: str | None
    drain_delay: float
    drain_timeout: float
    store: str
    store_scope: str | None
    store_timeout: float
    store_unstored: bool
    report: bool
    inspect: bool
    log_level: Literal["debug", "info", "warning", "error"]
    log_format: Literal["auto", "text", "json"]


class Row(NamedTuple):
    """One setting: its name in `Settings`, its default as text, how it is read, and what it means."""

    name: str
    default: str
    kind: Kind
    meaning: str

    @property
    def flag(self) -> str:
        """The command line's name for it."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment's name for it."""
        return PREFIX + self.name.upper()


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
        "upstream",
        "https://api.openai.com/v1",
        URL,
        "Base URL of the API. With a path, it replaces a leading `/v1` of the client's path; without one, "
        "paths go as they come.",
    ),
    Row(
        "upstream_client",
        "http1",
        choice("http1", "httpx2"),
        "Who sends requests upstream: our own client, or httpx2, which knows outbound proxies.",
    ),
    Row("upstream_proxy", "none", PROXY, "URL of an outbound proxy, for httpx2. The environment's are not read."),
    Row(
        "mode",
        "strip",
        choice("strip", "recover", "observe"),
        "`strip`: portable at once; `recover`: as it came, portable when refused; `observe`: only reported.",
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
        "drop_conversation",
        "off",
        SWITCH,
        "Whether a `conversation` is taken out of requests; its history is lost.",
    ),
    Row(
        "max_body",
        "64MiB",
        SIZE,
        "Size of a body that is rewritten, as sent and decoded: beyond it 413 in `strip`, otherwise passed "
        "unread. Other bodies have no limit.",
    ),
    Row("connect_timeout", "5", SECONDS, "For a connection to upstream with its TLS handshake."),
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
    Row("keepalive_expiry", "30", SECONDS, "How long an idle connection to upstream is kept."),
    Row("client_keepalive", "75", SECONDS, "How long an idle connection of a client is kept."),
    Row("ca_file", "system", FILE, "Certificates against which upstream is checked: a PEM file, or the system's."),
    Row(
        "drain_delay",
        "0.5",
        SECONDS,
        "How long connections are still accepted after SIGTERM, while `/readyz` says 503: as long as a load "
        "balancer needs to notice.",
    ),
    Row("drain_timeout", "120", SECONDS, "How long running requests may go on after SIGTERM; DRAIN_DELAY counts."),
    Row(
        "store",
        "off",
        STORE,
        "What remembers conversations, so that references resolve on every server: the URL of a Redis or Valkey that "
        "all of them share; `memory` is one process's, gone with it.",
    ),
    Row(
        "store_scope",
        "credential",
        NAME,
        "Who shares what is remembered: each credential its own, or all of them under the name of one application.",
    ),
    Row("store_timeout", "0.25", SECONDS, "For a lookup in the store; then the request goes on without it."),
    Row("store_unstored", "off", SWITCH, "Whether responses with `store: false` are remembered as well."),
    Row("report", "on", SWITCH, "Whether answers have the `x-unpinned-*` fields."),
    Row("inspect", "off", SWITCH, "Whether the admin listener has a live page, at `/`, of the last 200 exchanges."),
    Row(
        "log_level",
        "info",
        choice("debug", "info", "warning", "error"),
        "At `debug` ids of items are named; nothing private is, at any level.",
    ),
    Row("log_format", "auto", choice("auto", "text", "json"), "`auto`: text on a terminal, JSON lines otherwise."),
)


def load(flags: Mapping[str, str | None], environment: Mapping[str, str] | None = None) -> Settings:
    """The settings from the command line (by name, None where not given), the environment, a file, or the defaults.

    Whatever comes first counts; the file is what the command line or the environment names as `config`. Raises
    SettingsError.
    """
    environment = os.environ if environment is None else environment
    path = flags.get("config") or environment.get(CONFIG)
    filed = _filed(path) if path else {}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for row in TABLE:
        text, source = flags.get(row.name), row.flag
        if text is None:
            text, source = environment.get(row.variable), row.variable
        if text is None and row.name in filed:
            text, source = filed[row.name], f"{row.name} in {path}"
        values[row.name] = _read(row.kind, row.default if text is None else text, source)
        sources[row.name] = source
    settings = Settings(**values)
    _check(settings, sources)
    return settings


def warnings(environment: Mapping[str, str] | None = None) -> list[str]:
    """A sentence for each variable that looks like a setting and is none."""
    variables = [row.variable for row in TABLE]
    return list(configuration.unknown(os.environ if environment is None else environment, variables))


def wants_color(environment: Mapping[str, str] | None = None) -> bool:
    """Whether a terminal may be written to in colors (no-color.org)."""
    return not (os.environ if environment is None else environment).get("NO_COLOR")


def _filed(path: str) -> dict[str, str]:
    try:
        return configuration.read(path, [row.name for row in TABLE])
    except ConfigurationError as error:
        raise SettingsError(str(error)) from None


def address(source: str, text: str) -> Address:
    """The address that `text`, the value of `source`, names. Raises SettingsError."""
    found: Address = _read(ADDRESS, text, source)
    return found


def _read(kind: Kind, text: str, source: str) -> Any:
    try:
        return kind.read(text.strip())
    except (ValueError, KeyError, OSError):
        raise SettingsError(f"{source} is {_shown(text)}, but must be {kind.allowed}.") from None


def _shown(text: str) -> str:
    """A value as it may be printed: on one line, without the credentials and the query that a URL may have."""
    text = re.sub(r"^(\w+://)?.*@", r"\1…@", text, flags=re.DOTALL)
    return repr(re.sub(r"[?#].+", "?…", text, flags=re.DOTALL)[:200])


def _check(settings: Settings, sources: Mapping[str, str]) -> None:
    """What no single setting tells."""
    if settings.upstream_proxy is not None and settings.upstream_client != "httpx2":
        raise SettingsError(
            f"{sources['upstream_proxy']} is set, but {sources['upstream_client']} is "
            f"{settings.upstream_client!r}: only httpx2 knows outbound proxies."
        )
    for name, listening in (("listen", settings.listen), ("admin_listen", settings.admin_listen)):
        if listening is not None and leads_to(settings.upstream, listening):
            raise SettingsError(
                f"{sources['upstream']} is {_shown(settings.upstream)}, but must not be where {sources[name]} "
                f"({listening}) listens: it would call itself."
            )


def markdown(rows: Iterable[Row] = TABLE) -> str:
    """The README's table."""
    lines = ["| flag | variable | default | meaning |", "|---|---|---|---|"]
    lines += [f"| `{row.flag}` | `{row.variable}` | `{row.default}` | {row.meaning} |" for row in rows]
    return "\n".join(lines)
