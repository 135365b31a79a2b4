"""Log lines, written a few at a time: a line at `info` waits for a tenth of a second at most, and none is lost.

A line of its own for each request costs two system calls; a batch costs them once. What is a warning or worse is
written at once, with all that waits, and so is everything where no event loop runs, and at the end of the program.

A line of what happens with every request is also put into words when it is written, not when it happens: no client
waits for it, and a processor that makes a hundred in a row has that code at hand.
"""

import logging
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TextIO

from proxy.observers.forms import Form

if TYPE_CHECKING:
    import asyncio

PIPE_BUF: Final = getattr(select, "PIPE_BUF", 4096)
"""Bytes that a pipe takes undivided; Windows, where applications may log as well, has no such promise."""
DELAY: Final = 0.1
"""Seconds that a line may wait for others."""
_MOST: Final = 64 * 1024
"""Characters that are written at once in any case."""
_USUAL: Final = 400
"""Characters that a line counts for before it is put into words, beside what it is made of."""

Told = dict[str, Any]
Later = tuple[float, int, Callable[..., tuple[str, Told]], tuple[Any, ...]]
"""A line to be: its moment, its level, and what makes its sentence, and what is told with it, of these arguments."""


def sentence(record: logging.LogRecord) -> str:
    """The first line of the message: in others asyncio and uvicorn write exceptions out, and what they hold."""
    return record.getMessage().partition("\n")[0] + _failure(record)


def _failure(record: logging.LogRecord) -> str:
    """Of an exception the type and where it was raised: its message may hold what a client sent."""
    if not record.exc_info or record.exc_info[0] is None:
        return ""
    trace = record.exc_info[2]
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace is not None else ""
    return f" ({record.exc_info[0].__name__}{place})"


class Stamp:
    """`2026-11-23T08:00:00.000Z`; of a second that was asked for just now only the thousandths are written anew."""

    def __init__(self) -> None:
        self._second = -1
        self._shown = ""

    def of(self, moment: float) -> str:
        """A moment, in seconds since 1970."""
        second = int(moment)
        if second != self._second:
            self._second, self._shown = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._shown}.{int((moment - second) * 1000):03d}Z"


class LineHandler(logging.Handler):
    """Writes the lines of loggers, and of an observer that has a line without a logger's record."""

    def __init__(self, stream: TextIO, form: Form) -> None:
        super().__init__()
        self._stream = stream
        self._guard = threading.RLock()
        self._form = form
        self._stamp = Stamp()
        self._waiting: list[str | Later] = []
        self._size = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        """The loop that writes what waits."""
        self._thread = 0
        """The thread in which it runs."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record of a logger."""
        try:
            self.write(record.levelno, sentence(record), getattr(record, "told", {}), record.created)
        except Exception:  # noqa: BLE001 -- as in logging: what cannot be written must not end the program
            self.handleError(record)

    def write(self, level: int, message: str, told: Told, moment: float | None = None) -> None:
        """Write a line: the sentence, and what an event tells."""
        line = self._line(time.time() if moment is None else moment, level, message, told)
        self._add(level, line, len(line))

    def write_later(self, level: int, held: int, tell: Callable[..., tuple[str, Told]], *about: Any) -> None:
        """Write the line that `tell(*about)` makes.

        These values do not change, and hold about `held` characters, which count as waiting.
        """
        self._add(level, (time.time(), level, tell, about), _USUAL + held)

    def _line(self, moment: float, level: int, message: str, told: Told) -> str:
        return self._form(self._stamp.of(moment), level, message, told)

    def _add(self, level: int, line: str | Later, size: int) -> None:
        with self._guard:
            self._waiting.append(line)
            self._size += size
            if level >= logging.WARNING or self._size > _MOST or not self._is_awaited():
                self.flush()

    def _is_awaited(self) -> bool:
        """Whether a loop writes what waits, soon."""
        if self._loop is not None and self._thread == threading.get_ident() and self._loop.is_running():
            return True

        from asyncio import get_running_loop  # noqa: PLC0415 -- an application without a loop has no use for it

        try:
            loop = get_running_loop()
        except RuntimeError:
            return self._loop is not None and self._loop.is_running()
        if self._loop is not loop:
            self._loop, self._thread = loop, threading.get_ident()
            loop.call_later(DELAY, self._later, loop)
        return True

    def _later(self, loop: "asyncio.AbstractEventLoop") -> None:
        self.flush()
        if self._loop is loop:
            self._loop = None

    def flush(self) -> None:
        """Write what waits."""
        with self._guard:
            waiting, self._waiting, self._size = self._waiting, [], 0
            if not waiting:
                return
            lines = [line if isinstance(line, str) else self._told(*line) for line in waiting]
            with suppress(OSError, ValueError):  # a log without a reader must not end the process
                for piece in _pieces(lines):
                    self._stream.write(piece)
                    self._stream.flush()

    def _told(self, moment: float, level: int, tell: Callable[..., tuple[str, Told]], about: tuple[Any, ...]) -> str:
        return self._line(moment, level, *tell(*about))


def _pieces(lines: list[str]) -> Iterator[str]:
    """The lines in as few pieces as a pipe takes undivided each, so that lines of several processes stay whole."""
    piece: list[str] = []
    size = 0
    for line in lines:
        size += len(line) + 1
        if size > PIPE_BUF and piece:
            yield "\n".join([*piece, ""])
            piece, size = [], len(line) + 1
        piece.append(line)
    yield "\n".join([*piece, ""])
