"""Log lines from events. Nothing private: no bodies, no header values, no keys; ids of items at DEBUG only.

Whatever a client or upstream chose is escaped before it is written: no line break and no escape sequence of theirs
reaches a terminal or breaks a line in two.
"""

import logging
import re
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from functools import singledispatchmethod
from typing import Final, Literal, TextIO

import orjson

from proxy.events import (
    Answered,
    Event,
    LossyAnswer,
    Read,
    Recovered,
    Refused,
    StartedFresh,
    Unrecovered,
    UpstreamFailed,
)

LOGGER: Final = logging.getLogger("unpinned")
_LONGEST_ID: Final = 80
# What looks like an id in a path: `resp_…`, `conv_…`, `file-…`, or anything long with a digit in it.
_ID_SEGMENT: Final = re.compile(r"(?<=/)(?:[A-Za-z]{2,12}[_-][^/]*[0-9][^/]*|[^/]{33,})(?=/|$)")


class LogObserver:
    """Writes what happened to the logger `unpinned`."""

    def __init__(self, logger: logging.Logger = LOGGER, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._once = _Once(clock)

    def notice(self, request_id: str, event: Event) -> None:
        """Write the line, or the lines, for `event`."""
        self._write(event, {"request_id": request_id})

    def _log(self, level: int, message: str, extra: dict[str, object]) -> None:
        self._logger.log(level, message, extra={"told": extra})

    @singledispatchmethod
    def _write(self, event: Event, told: dict[str, object]) -> None:
        raise TypeError(event, told)

    @_write.register
    def _(self, event: Read, told: dict[str, object]) -> None:
        if event.found:
            self._log(logging.INFO, f"Found {event.found} response IDs in conversation", told)
        if not self._logger.isEnabledFor(logging.DEBUG):
            return
        self._log(logging.DEBUG, f"Original conversation length: {event.items}", told)
        ids = ", ".join(printable(removal.id) for removal in event.removals if removal.id)
        if ids:
            self._log(logging.DEBUG, f"Found {event.found} response IDs in conversation: [{ids}]", told)
        for removal in event.removals:
            before = "Ignoring" if removal.what == "previous_response_id" else "Removing"
            colon = " " if removal.what == "previous_response_id" else ": "
            self._log(logging.DEBUG, f"{before} {removal.what}{colon}{printable(removal.id) or '(no id)'}", told)

    @_write.register
    def _(self, event: Refused, told: dict[str, object]) -> None:
        attempt = (
            "Attempting again with the same" if event.remedy == "same" else f"Attempting recovery with {event.remedy}"
        )
        self._log(logging.INFO, f"{event.status} Error - {attempt} conversation", {**told, "refusal": event.refusal})

    @_write.register
    def _(self, event: Recovered, told: dict[str, object]) -> None:
        told = {**told, "remedy": event.remedy, "attempts": event.attempts}
        self._log(logging.INFO, "Fresh conversation retry successful", told)

    @_write.register
    def _(self, event: Unrecovered, told: dict[str, object]) -> None:
        told = {**told, "refusal": event.refusal, "attempts": event.attempts}
        if event.attempts > 1:
            self._log(logging.INFO, "Fresh conversation retry failed", told)
        else:
            self._log(logging.INFO, "The refusal is relayed: the conversation cannot be recovered", told)

    @_write.register
    def _(self, event: LossyAnswer, told: dict[str, object]) -> None:
        reasons = ", ".join(event.reasons)
        if self._once.may(f"lossy {event.credential} {reasons}", 60):
            self._log(logging.WARNING, f"The model sees less than the client sent: {reasons}", told)

    @_write.register
    def _(self, event: StartedFresh, told: dict[str, object]) -> None:
        if self._once.may(f"fresh {event.credential}", 3600):
            message = (
                "A conversation goes on without its history, which only upstream had: this client relies on "
                "previous_response_id or item_reference. UNPINNED_MODE=recover keeps them while upstream knows them"
            )
            self._log(logging.WARNING, message, told)

    @_write.register
    def _(self, event: UpstreamFailed, told: dict[str, object]) -> None:
        self._log(logging.WARNING, f"Upstream failed: {event.cause}", told)

    @_write.register
    def _(self, event: Answered, told: dict[str, object]) -> None:
        report = event.report
        counted = {**report.removed, **report.repaired}
        told = {
            **told,
            "method": printable(event.method),
            "path": masked(event.path),
            "status": event.status,
            "milliseconds": round(event.seconds * 1000, 1),
            "action": report.action,
            "fidelity": report.fidelity,
            "attempts": report.attempts,
            "changes": {what: count for what, count in counted.items() if count},
            "complete": event.complete,
        }
        self._log(logging.INFO, _access_line(told), told)


def _access_line(told: dict[str, object]) -> str:
    changes = told["changes"]
    changed = " ".join(f"{what}={count}" for what, count in changes.items()) if isinstance(changes, dict) else ""
    line = (
        f"{told['method']} {told['path']} {told['status'] or '-'} {told['milliseconds']}ms "
        f"{told['action']} {told['fidelity']} attempts={told['attempts']}"
    )
    return " ".join(filter(None, (line, changed, "" if told["complete"] else "incomplete")))


def printable(text: str) -> str:
    """`text` without anything but visible ASCII, and not too long."""
    shown = text[:_LONGEST_ID].encode("ascii", "backslashreplace").decode("ascii")
    return re.sub(r"[^!-~]", lambda match: f"\\x{ord(match[0]):02x}", shown)


def masked(path: str) -> str:
    """A path whose segments that look like ids are `{id}`; a query is never part of it."""
    return printable(_ID_SEGMENT.sub("{id}", path.partition("?")[0]))


class _Once:
    """Says whether something may be said again; remembers the last thousand sayings."""

    def __init__(self, clock: Callable[[], float], capacity: int = 1000) -> None:
        self._clock = clock
        self._capacity = capacity
        self._said: OrderedDict[str, float] = OrderedDict()

    def may(self, what: str, seconds: float) -> bool:
        """Whether `what` was not said in the last `seconds`; if so, it counts as said now."""
        now = self._clock()
        if now - self._said.get(what, -seconds) < seconds:
            return False
        self._said[what] = now
        self._said.move_to_end(what)
        if len(self._said) > self._capacity:
            self._said.popitem(last=False)
        return True


class TextFormatter(logging.Formatter):
    """`2026-11-23T08:00:00.000Z INFO [req-…] message`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        told = getattr(record, "told", {})
        request_id = f"[{told['request_id']}] " if told.get("request_id") else ""
        return f"{_time(record)} {record.levelname} {request_id}{record.getMessage()}{_failure(record)}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, message, and what the event tells."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "message": record.getMessage() + _failure(record),
        }
        return orjson.dumps({**line, **getattr(record, "told", {})}).decode()


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _failure(record: logging.LogRecord) -> str:
    """Of an exception the type and where it was raised: its message may hold what a client sent."""
    if not record.exc_info or record.exc_info[0] is None:
        return ""
    trace = record.exc_info[2]
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace is not None else ""
    return f" ({record.exc_info[0].__name__}{place})"


def configure(level: str, form: Literal["auto", "text", "json"], stream: TextIO = sys.stderr) -> None:
    """Send the logs of the program, and the server's warnings, to `stream`."""
    text = form == "text" or (form == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter() if text else JsonFormatter())
    LOGGER.setLevel(level.upper())
    for logger in (LOGGER, logging.getLogger("uvicorn.error"), logging.getLogger("asyncio")):
        logger.handlers[:] = [handler]
        logger.propagate = False
    for name in ("uvicorn.error", "asyncio"):
        logging.getLogger(name).setLevel(logging.ERROR)
