"""The forms of a log line: text for people, JSON for machines, and JSON under the names of two conventions.

What an event tells of itself has one name in the program. ECS and OpenTelemetry have names of their own for what every
HTTP server tells; the rest stays together under `unpinned`.
"""

import logging
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import orjson

from proxy import __version__

Form = Callable[[str, int, str, Mapping[str, object]], str]
"""Writes a line: its time, its level, its sentence, and what its event tells."""

# Fields of the Elastic Common Schema 8.11: https://www.elastic.co/docs/reference/ecs (2026-11)
_ECS: Final = {
    "request_id": "http.request.id",
    "method": "http.request.method",
    "path": "url.path",
    "status": "http.response.status_code",
}
_SERVICE: Final = {"service.name": "unpinned", "service.version": __version__}
# OpenTelemetry's semantic conventions for HTTP 1.23, and "Logs Data Model", Severity Fields (2026-11)
_OTEL: Final = {
    "method": "http.request.method",
    "path": "url.path",
    "status": "http.response.status_code",
}
_SEVERITIES: Final = {logging.DEBUG: 5, logging.INFO: 9, logging.WARNING: 13, logging.ERROR: 17, logging.CRITICAL: 21}
_NANOSECONDS: Final = 1_000_000
"""In a millisecond."""


@lru_cache(16)
def _in_lower_case(level: int) -> str:
    return logging.getLevelName(level).lower()


def _text(time: str, level: int, message: str, told: Mapping[str, object]) -> str:
    request_id = f"[{told['request_id']}] " if told.get("request_id") else ""
    return f"{time} {logging.getLevelName(level)} {request_id}{message}"


def _json(time: str, level: int, message: str, told: Mapping[str, object]) -> str:
    return orjson.dumps({"time": time, "level": _in_lower_case(level), "message": message, **told}).decode()


def _ecs(time: str, level: int, message: str, told: Mapping[str, Any]) -> str:
    line: dict[str, object] = {"@timestamp": time, "log.level": _in_lower_case(level), "message": message}
    line |= {"ecs.version": "8.11.0", **_SERVICE}
    own = {}
    for name, value in told.items():
        if name == "milliseconds":
            line["event.duration"] = round(value * _NANOSECONDS)
        elif name in _ECS:
            line[_ECS[name]] = value
        else:
            own[name] = value
    return orjson.dumps({**line, "unpinned": own} if own else line).decode()


def _otel(time: str, level: int, message: str, told: Mapping[str, object]) -> str:
    return orjson.dumps({
        "Timestamp": time,
        "SeverityText": logging.getLevelName(level),
        "SeverityNumber": _SEVERITIES.get(level, 0),
        "Body": message,
        "Attributes": {_OTEL.get(name) or f"unpinned.{name}": value for name, value in told.items()},
        "Resource": _SERVICE,
    }).decode()  # fmt: skip


FORMS: Final[Mapping[str, Form]] = {"text": _text, "json": _json, "ecs": _ecs, "otel": _otel}
