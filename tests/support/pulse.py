"""The program with a pulse: how much its event loop works at a time. `python -m tests.support.pulse FILE …`.

Every few milliseconds the loop notes how much processor time its thread has had since the last note. What one callback
takes is in one note whole, so that the largest note bounds it from above; a machine that is busy with something else
does not count. SIGUSR1 begins anew; SIGUSR2 has the largest note written to FILE, in seconds. The rest are the
program's arguments.
"""

import signal
import sys
import time
from pathlib import Path

import uvloop

from proxy.cli import main

EVERY = 0.002
"""Seconds from one note to the next."""


class Pulse:
    """The largest note since it was last told to begin anew: starting is work, too."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._largest = 0.0
        self._loop = uvloop.new_event_loop()
        self._before = time.thread_time()

    def begin(self) -> uvloop.Loop:
        """The loop, which notes from now on."""
        self._loop.call_later(EVERY, self._note)
        self._loop.add_signal_handler(signal.SIGUSR1, self._anew)
        self._loop.add_signal_handler(signal.SIGUSR2, self._write)
        return self._loop

    def _anew(self) -> None:
        self._file.unlink(missing_ok=True)
        self._largest, self._before = 0.0, time.thread_time()

    def _write(self) -> None:
        written = self._file.with_suffix(".new")
        written.write_text(str(max(self._largest, time.thread_time() - self._before)))
        written.rename(self._file)

    def _note(self) -> None:
        now = time.thread_time()
        self._largest = max(self._largest, now - self._before)
        self._before = now
        self._loop.call_later(EVERY, self._note)


if __name__ == "__main__":
    uvloop.new_event_loop = Pulse(Path(sys.argv[1])).begin
    main(sys.argv[2:])
