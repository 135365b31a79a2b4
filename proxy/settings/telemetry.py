"""Where traces go: the standard variables of OpenTelemetry, of which those that Unpinned does not know have no effect.

"OpenTelemetry Environment Variable Specification" and "OpenTelemetry Protocol Exporter", both as of 1.45 (2026-11).
Values are milliseconds there, seconds here.
"""

import re
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from proxy.settings.errors import SettingsError, shown

Sampler = Literal[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
]
_SAMPLERS: Final[dict[str, Sampler]] = {
    "always_on": "always_on",
    "always_off": "always_off",
    "traceidratio": "traceidratio",
    "parentbased_always_on": "parentbased_always_on",
    "parentbased_always_off": "parentbased_always_off",
    "parentbased_traceidratio": "parentbased_traceidratio",
}
_FIELD: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class Telemetry(NamedTuple):
    """How traces are sampled, named and exported; `endpoint` is "" where they are not."""

    endpoint: str
    headers: tuple[tuple[str, str], ...] = ()
    ca_file: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    compresses: bool = False
    timeout: float = 10.0
    resource: tuple[tuple[str, str], ...] = ()
    sampler: Sampler = "parentbased_always_on"
    ratio: float = 1.0
    delay: float = 5.0
    queue: int = 2048
    batch: int = 512


def telemetry(environment: Mapping[str, str]) -> Telemetry:
    """What the variables say. Raises SettingsError."""
    found = _Variables(environment)
    if found.text("OTEL_SDK_DISABLED").lower() == "true" or found.one("OTEL_TRACES_EXPORTER", "otlp", "none") == "none":
        return Telemetry("")
    found.one(found.exporters("PROTOCOL"), "http/protobuf")
    arg = found.text("OTEL_TRACES_SAMPLER_ARG")
    return Telemetry(
        endpoint=_endpoint(found),
        headers=_headers(found),
        ca_file=found.text(found.exporters("CERTIFICATE")) or None,
        client_certificate=found.text(found.exporters("CLIENT_CERTIFICATE")) or None,
        client_key=found.text(found.exporters("CLIENT_KEY")) or None,
        compresses=found.one(found.exporters("COMPRESSION"), "none", "gzip") == "gzip",
        timeout=found.number(found.exporters("TIMEOUT"), 10_000) / 1000,
        resource=_resource(found),
        sampler=_SAMPLERS[found.one("OTEL_TRACES_SAMPLER", "parentbased_always_on", *_SAMPLERS)],
        ratio=found.number("OTEL_TRACES_SAMPLER_ARG", 1, most=1) if arg else 1.0,
        delay=found.number("OTEL_BSP_SCHEDULE_DELAY", 5000) / 1000,
        queue=int(found.number("OTEL_BSP_MAX_QUEUE_SIZE", 2048, least=1)),
        batch=int(found.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512, least=1)),
    )


class _Variables:
    """Reads variables; an empty one is not set."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str) -> str:
        """The text, or ""."""
        return self._environment.get(name, "").strip()

    def exporters(self, name: str) -> str:
        """The variable of the exporter that counts: the one for traces, where it is set."""
        special = f"OTEL_EXPORTER_OTLP_TRACES_{name}"
        return special if self.text(special) else f"OTEL_EXPORTER_OTLP_{name}"

    def one(self, name: str, default: str, *others: str) -> str:
        """One of some words."""
        word = self.text(name) or default
        if word not in (default, *others):
            allowed = " or ".join(dict.fromkeys((default, *others)))
            raise SettingsError(f"{name} is {shown(word)}, but must be {allowed}.")
        return word

    def number(self, name: str, default: float, *, least: float = 0, most: float = 1e9) -> float:
        """A number within bounds."""
        text = self.text(name)
        try:
            number = float(text or default)
        except ValueError:
            number = -1.0
        if not least <= number <= most:
            raise SettingsError(f"{name} is {shown(text)}, but must be a number from {least:g} to {most:g}.")
        return number


def _endpoint(found: _Variables) -> str:
    name = found.exporters("ENDPOINT")
    base = found.text(name) or "http://localhost:4318"
    url = base if name.startswith("OTEL_EXPORTER_OTLP_TRACES_") else f"{base.rstrip('/')}/v1/traces"
    try:
        parts = urlsplit(url)
        well = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) > 0
    except ValueError:
        well = False
    if not well:
        raise SettingsError(f"{name} is {shown(base)}, but must be an http:// or https:// URL.")
    return url


def _headers(found: _Variables) -> tuple[tuple[str, str], ...]:
    name = found.exporters("HEADERS")
    try:
        pairs = _pairs(found.text(name))
    except ValueError:
        pairs = (("", ""),)
    if not all(_FIELD.fullmatch(key) and value.isprintable() and value.isascii() for key, value in pairs):
        raise SettingsError(
            f"{name} is set to something else, but must be a list of KEY=VALUE with commas between them."
        )
    return pairs


def _resource(found: _Variables) -> tuple[tuple[str, str], ...]:
    try:
        attributes = dict(_pairs(found.text("OTEL_RESOURCE_ATTRIBUTES")))
    except ValueError:
        raise SettingsError(
            "OTEL_RESOURCE_ATTRIBUTES must be a list of KEY=VALUE with commas between them, but is not."
        ) from None
    name = found.text("OTEL_SERVICE_NAME") or attributes.get("service.name", "unpinned")
    return tuple({**attributes, "service.name": name}.items())


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """`key=value,…`, with percent encoding (W3C Baggage); raises ValueError."""
    pairs = []
    for member in filter(None, map(str.strip, text.split(","))):
        key, separator, value = member.partition("=")
        if not separator or not key.strip():
            raise ValueError(member)
        pairs.append((key.strip(), unquote(value.strip())))
    return tuple(pairs)
