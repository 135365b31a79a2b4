"""Processes of the benchmark: started in a session of their own on one core, measured from /proc, ended in any case."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

_PROC: Final = Path("/proc")
_GRACE: Final = 5.0
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Cores(NamedTuple):
    """Where the proxy runs, and where everything else does."""

    proxy: int
    rest: int


def cores() -> Cores:
    """Two different cores, if there are two."""
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(allowed[-1], allowed[0])


@contextmanager
def running(
    command: list[str],
    core: int,
    *,
    directory: Path | None = None,
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process on one core; what it starts ends with it."""
    with (log or Path(os.devnull)).open("ab") as err:
        process = subprocess.Popen(
            ["taskset", "--cpu-list", str(core), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if log is None else err,
            stderr=err,
            cwd=directory,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    _signal(process.pid, signal.SIGTERM)
    until = time.monotonic() + _GRACE
    while members(process.pid) and time.monotonic() < until:
        process.poll()
        time.sleep(0.01)
    _signal(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _signal(session: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(session, number)


def members(session: int) -> list[int]:
    """The processes of the session that process `session` leads."""
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                after_name = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(after_name[3]) == session and after_name[0] != "Z":
                    found.append(int(entry.name))
    return found


def cpu_seconds(session: int) -> float:
    """User and system time of all threads of a session, to the nanosecond: the first figure of `schedstat`."""
    total = 0
    for process in members(session):
        for thread in (_PROC / str(process) / "task").iterdir():
            with suppress(OSError):
                total += int((thread / "schedstat").read_text().split()[0])
    return total / 1e9


def resident_bytes(session: int) -> int:
    """Resident memory of all processes of a session."""
    total = 0
    for process in members(session):
        with suppress(OSError):
            total += int((_PROC / str(process) / "statm").read_text().split()[1]) * _PAGE
    return total
