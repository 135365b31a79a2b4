"""Log lines from events. Nothing private: no bodies, no header values, no keys; ids of items at DEBUG only.

What a client or upstream chose is escaped before it is written: no line break and no escape sequence of theirs
reaches a terminal or breaks a line in two.
"""

import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Literal, TextIO, assert_never
from zlib import crc32

from proxy.events import (
    Answered,
    BudgetExceeded,
    Event,
    LeftOutByUpstream,
    LossyAnswer,
    Read,
    Recovered,
    Refused,
    Removed,
    Seldom,
    SocketClosed,
    StartedFresh,
    StoreFailed,
    TurnEnded,
    Unrecovered,
    UpstreamFailed,
)
from proxy.observers.endings import Ending, facts_of, is_notable, line_of
from proxy.observers.forms import FORMS
from proxy.observers.lines import LineHandler, Told
from proxy.observers.redaction import printable
from proxy.report import LEFT_OUT

LOGGER: Final = logging.getLogger("unpinned")
_HASHES: Final = 1 << 32
_REFERENCES: Final = frozenset({"item", "response"})
"""Refusals of what a store could know."""


class LogObserver:
    """Writes what happened to the logger `unpinned`: of what is ordinary, the lines of a `share` of all requests."""

    def __init__(
        self,
        logger: logging.Logger = LOGGER,
        clock: Callable[[], float] = time.monotonic,
        *,
        share: float = 1.0,
        has_store: bool = False,
    ) -> None:
        self._logger = logger
        self._has_store = has_store
        self._once = _Once(clock)
        self._below = None if share >= 1 else int(share * _HASHES)
        """The ids whose hash is lower are those of the share; None where every request is of it."""

    def notice(self, request_id: str, event: Event) -> None:
        """Write the line, or the lines, for `event`."""
        match event:
            case Answered() | TurnEnded() | SocketClosed():
                self._ended(event, request_id)
            case Read():
                self._read(event, request_id)
            case _:
                self._note(event, {"request_id": request_id})

    def _note(self, event: Seldom, told: Told) -> None:
        match event:
            case Removed():
                self._removed(event, told)
            case Refused():
                self._refused(event, told)
            case Recovered():
                self._recovered(event, told)
            case Unrecovered():
                self._unrecovered(event, told)
            case LossyAnswer() | StartedFresh() | LeftOutByUpstream() | BudgetExceeded():
                self._warn(event, told)
            case StoreFailed() | UpstreamFailed():
                self._failed(event, told)
            case _:
                assert_never(event)

    def _ended(self, event: Ending, request_id: str) -> None:
        if self._logger.isEnabledFor(logging.INFO) and (self._is_sampled(request_id) or is_notable(event)):
            self._write_later(len(event.path), ended, event, request_id)

    def _warn(self, event: LossyAnswer | StartedFresh | LeftOutByUpstream | BudgetExceeded, told: Told) -> None:
        match event:
            case LossyAnswer():
                self._lossy(event, told)
            case StartedFresh():
                self._started_fresh(event, told)
            case LeftOutByUpstream():
                self._left_out(event, told)
            case BudgetExceeded():
                self._budget_exceeded(event, told)

    def _log(self, level: int, message: str, told: Told) -> None:
        if self._logger.isEnabledFor(level):
            self._write(level, message, told)

    def _write(self, level: int, message: str, told: Told) -> None:
        """Write a line: to the program's own handler as it is, which costs a sixth of a record of a logger."""
        match self._logger.handlers:
            case [LineHandler() as handler]:
                handler.write(level, message, told)
            case _:
                self._logger.log(level, message, extra={"told": told})

    def _write_later(self, held: int, tell: Callable[..., tuple[str, Told]], event: Event, request_id: str) -> None:
        """Write a line at INFO, which the program's own handler puts into words when it writes it."""
        match self._logger.handlers:
            case [LineHandler() as handler]:
                handler.write_later(logging.INFO, held, tell, event, request_id)
            case _:
                self._write(logging.INFO, *tell(event, request_id))

    def _is_sampled(self, request_id: str) -> bool:
        """Whether ordinary lines of this request are written: all of one request, or none."""
        return self._below is None or crc32(request_id.encode()) < self._below

    def _read(self, event: Read, request_id: str) -> None:
        if event.found and self._logger.isEnabledFor(logging.INFO) and self._is_sampled(request_id):
            self._write_later(0, found, event, request_id)
        if not self._logger.isEnabledFor(logging.DEBUG):
            return
        told: Told = {"request_id": request_id}
        self._log(logging.DEBUG, f"Original conversation length: {event.items}", told)
        if event.ids:
            ids = ", ".join(map(printable, event.ids))
            self._log(logging.DEBUG, f"Found {event.found} response IDs in conversation: [{ids}]", told)

    def _removed(self, event: Removed, told: Told) -> None:
        for removal in event.removals:
            id_ = printable(removal.id) or "(no id)"
            previous = removal.what == "previous_response_id"
            message = f"Ignoring previous_response_id {id_}" if previous else f"Removing {removal.what}: {id_}"
            self._log(logging.DEBUG, message, told)

    def _refused(self, event: Refused, told: Told) -> None:
        attempt = (
            "Attempting again with the same" if event.remedy == "same" else f"Attempting recovery with {event.remedy}"
        )
        self._log(logging.INFO, f"{event.status} Error - {attempt} conversation", {**told, "refusal": event.refusal})

    def _recovered(self, event: Recovered, told: Told) -> None:
        told = {**told, "remedy": event.remedy, "attempts": event.attempts}
        self._log(logging.INFO, "Fresh conversation retry successful", told)

    def _unrecovered(self, event: Unrecovered, told: Told) -> None:
        told = {**told, "refusal": event.refusal, "attempts": event.attempts}
        if event.attempts > 1:
            self._log(logging.INFO, "Fresh conversation retry failed", told)
        else:
            message = "The refusal is relayed: the conversation cannot be recovered"
            if event.refusal in _REFERENCES and not self._has_store:
                message += ". What this client refers to only upstream has; a store (UNPINNED_STORE) would have it, too"
            self._log(logging.INFO, message, told)

    def _lossy(self, event: LossyAnswer, told: Told) -> None:
        unsaid = [reason for reason in event.reasons if self._once.may(f"lossy {event.credential} {reason}", 60)]
        if unsaid:
            self._log(logging.WARNING, f"The model sees less than the client sent: {', '.join(unsaid)}", told)

    def _started_fresh(self, event: StartedFresh, told: Told) -> None:
        if self._once.may(f"fresh {event.credential}", 3600):
            message = (
                "A conversation goes on without its history, which only upstream had: this client relies on "
                "previous_response_id or item_reference. "
            )
            message += (
                "The store did not know it, or could not be reached: x-unpinned-store says which"
                if event.has_store
                else "UNPINNED_MODE=auto keeps them while upstream knows them"
            )
            self._log(logging.WARNING, message, told)

    def _left_out(self, event: LeftOutByUpstream, told: Told) -> None:
        for reason, _ in event.reasons:
            if self._once.may(f"left out {event.credential} {reason}", 60):
                self._log(logging.WARNING, f"Upstream left out {LEFT_OUT[reason]} ({reason})", told)

    def _budget_exceeded(self, event: BudgetExceeded, told: Told) -> None:
        if self._once.may("budget", 60):
            share = f"{event.failed} recovery attempts failed in the last {event.requests} requests of one credential"
            self._log(logging.WARNING, f"{share}: until fewer fail, each gets one attempt after the first", told)

    def _failed(self, event: StoreFailed | UpstreamFailed, told: Told) -> None:
        if isinstance(event, UpstreamFailed):
            self._log(logging.WARNING, f"Upstream failed: {event.cause}", told)
        elif self._once.may(f"store {event.doing}", 60):
            failed = f"{event.doing}: {event.error}" if event.error else event.doing
            self._log(logging.WARNING, f"The store failed ({failed}); requests go on without it", told)


def ended(event: Ending, request_id: str) -> tuple[str, Told]:
    """The line of what is over."""
    facts = facts_of(event, request_id)
    return line_of(event, facts), facts


def found(event: Read, request_id: str) -> tuple[str, Told]:
    """The line of what was found in a request."""
    return f"Found {event.found} response IDs in conversation", {"request_id": request_id}


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


def is_news(record: logging.LogRecord) -> bool:
    """Whether the server says something that was not meant: a task is cancelled at the end of its time."""
    from asyncio import CancelledError  # noqa: PLC0415 -- an application without a loop writes these lines as well

    return record.exc_info is None or record.exc_info[0] is not CancelledError


def configure(level: str, form: Literal["auto", "text", "json", "ecs", "otel"], stream: TextIO | None = None) -> None:
    """Send the logs of the program, and the server's errors, to `stream` (standard error)."""
    stream = stream or sys.stderr
    form = ("text" if stream.isatty() else "json") if form == "auto" else form
    handler = LineHandler(stream, FORMS[form])
    handler.addFilter(is_news)
    logging.raiseExceptions = False  # a log without a reader must not end the process
    # "If you don't need this information, … set to False": no line tells the thread, the process or the task.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    for name in (LOGGER.name, "uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(level.upper() if logger is LOGGER else logging.ERROR)
