"""The settings: where each comes from, what it may be, and the `Settings` object.

The only reader of the environment. OPENAI_BASE_URL is never read: in a shared `.env` it names us, and we would call
ourselves.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from proxy.http.base_url import BaseUrl, OutboundProxy, base_url
from proxy.settings import sources
from proxy.settings.address import Address, leads_to
from proxy.settings.outbound_proxy import ENVIRONMENT, variable_for
from proxy.settings.parsers import ADDRESS, PROXY_VARIABLE, Keys, Kind
from proxy.settings.sources import CONFIG, ConfigurationError
from proxy.settings.table import GONE, TABLE, flag_of, variable_of


class SettingsError(Exception):
    """A setting that cannot be used: a sentence that names it, its value and what is allowed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator wants. `TABLE` explains and sets each; durations are seconds, sizes bytes."""

    listen: Address
    admin_listen: Address | None
    upstream: str
    upstream_proxy: OutboundProxy | None
    mode: Literal["strip", "recover", "observe"]
    profile: Literal["auto", "openai", "azure"]
    keep_last: int
    max_recoveries: int
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
    store_unstored: bool
    report: bool
    inspect: bool
    log_level: Literal["debug", "info", "warning", "error"]
    log_format: Literal["auto", "text", "json"]


def load(flags: Mapping[str, str | None], environment: Mapping[str, str] | None = None) -> Settings:
    """The settings from the command line (by name, None where not given), the environment, a file, or the defaults.

    The first source that has a value counts; the command line or the environment names the file as `config`. Raises
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
    if values["upstream_proxy"] == ENVIRONMENT:
        values["upstream_proxy"] = _proxy_from(environment, base_url(values["upstream"]))
    settings = Settings(**values)
    _check(settings, sources)
    return settings


def warnings(flags: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> list[str]:
    """A sentence for each setting that is gone, and for each variable that only looks like a setting."""
    environment = os.environ if environment is None else environment
    path = flags.get("config") or environment.get(CONFIG)
    filed = _filed(path) if path else {}
    gone: list[str] = []
    for name, replacement in GONE.items():
        places = (
            (flag_of(name), flags.get(name)),
            (variable_of(name), environment.get(variable_of(name))),
            (f"{name} in {path}", filed.get(name)),
        )
        gone += [f"{place} is gone and has no effect: {replacement}" for place, text in places if text is not None]
    known = [variable_of(name) for name in (*(row.name for row in TABLE), *GONE)]
    return [*gone, *sources.unknown(environment, known)]


def unused_proxy(settings: Settings, environment: Mapping[str, str] | None = None) -> str | None:
    """The variable that names a proxy for upstream, such as HTTPS_PROXY, where upstream is reached without a proxy."""
    if settings.upstream_proxy is not None:
        return None
    return variable_for(base_url(settings.upstream), os.environ if environment is None else environment)


def wants_color(environment: Mapping[str, str] | None = None) -> bool:
    """Whether a terminal may be written to in colors (no-color.org)."""
    return not (os.environ if environment is None else environment).get("NO_COLOR")


def _filed(path: str) -> dict[str, str]:
    try:
        return sources.read(path, [*(row.name for row in TABLE), *GONE])
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
        shown = "set to something else" if kind.secret else _shown(text)
        raise SettingsError(f"{source} is {shown}, but must be {kind.allowed}.") from None


def _proxy_from(environment: Mapping[str, str], upstream: BaseUrl) -> OutboundProxy | None:
    variable = variable_for(upstream, environment)
    if variable is None:
        return None
    proxy: OutboundProxy = _read(PROXY_VARIABLE, environment[variable], variable)
    return proxy


def _shown(text: str) -> str:
    """A value as it may be printed: on one line, without the credentials and the query that a URL may have."""
    text = re.sub(r"^(\w+://)?.*@", r"\1…@", text, flags=re.DOTALL)
    return repr(re.sub(r"[?#].+", "?…", text, flags=re.DOTALL)[:200])


def _check(settings: Settings, sources: Mapping[str, str]) -> None:
    """What no single setting tells."""
    if settings.upstream_proxy is not None and base_url(settings.upstream).socket:
        raise SettingsError(
            f"{sources['upstream_proxy']} is set, but {sources['upstream']} is a Unix socket, which no proxy reaches."
        )
    for name, listening in (("listen", settings.listen), ("admin_listen", settings.admin_listen)):
        if listening is not None and leads_to(settings.upstream, listening):
            raise SettingsError(
                f"{sources['upstream']} is {_shown(settings.upstream)}, but must not be where {sources[name]} "
                f"({listening}) listens: it would call itself."
            )
