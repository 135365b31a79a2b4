"""The program as a process of its own: `python -m proxy` on ephemeral ports, its log read as it is written.

with running("--upstream", upstream.url) as process:
    process.port, process.admin_port       # after the line that says where it listens
    process.send_signal(SIGTERM); process.wait()   # the exit code
    process.log                             # its lines, as objects
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE = 20.0
ROOT = Path(__file__).parents[2]
# Where it listens, in a line of text; by the names it has as JSON.
_LISTENS = re.compile(r"(Listening|health)[a-z ]* on (http://\S+?)(?=[, ]|$)")
COMMAND = (sys.executable, "-m", "proxy")


def environment(**variables: str) -> dict[str, str]:
    """The environment of the tests, without settings of whoever runs them, and with these."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("UNPINNED_", "OPENAI_"))}
    return {**clean, **variables}


class Process:
    """A running program; `log` are the lines of its standard error, JSON objects or text."""

    def __init__(self, command: Sequence[str], variables: dict[str, str], descriptors: Sequence[int] = ()) -> None:
        self.log: list[Any] = []
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(**variables),
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=descriptors,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def port(self) -> int:
        """The port at which clients connect."""
        return int(self._ready()["listen"].rpartition(":")[2])

    @property
    def admin_port(self) -> int:
        """The port of the admin listener."""
        ready = self._ready()
        return int((ready.get("admin_listen") or ready["health"]).rpartition(":")[2])

    @property
    def text(self) -> str:
        """All that was written."""
        return "\n".join(line if isinstance(line, str) else json.dumps(line) for line in self.log)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end; the exit code."""
        code = self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def wait_logged(self, wanted: Callable[[Any], bool]) -> Any:
        """Wait for a line of the log, and return it."""
        with self._news:
            assert self._news.wait_for(lambda: any(map(wanted, self.log)), PATIENCE), f"never logged: {self.text}"
            return next(filter(wanted, self.log))

    def wait_message(self, beginning: str) -> Any:
        """Wait for a line whose message begins so."""
        return self.wait_logged(lambda line: isinstance(line, dict) and line["message"].startswith(beginning))

    def close(self) -> None:
        """End it, at once but by itself, so that what it covered is counted."""
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._process.send_signal(number)
            self.wait()
        finally:
            self._process.kill()
            assert self._process.stderr is not None
            self._process.stderr.close()

    def _ready(self) -> Any:
        line = self.wait_logged(
            lambda line: "listen" in line if isinstance(line, dict) else bool(_LISTENS.search(line))
        )
        if isinstance(line, dict):
            return line
        found = dict(_LISTENS.findall(line))
        return {"listen": found["Listening"], "admin_listen": found.get("health")}

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._news:
                self.log.append(json.loads(line) if line.startswith("{") else line.rstrip("\n"))
                self._news.notify_all()


@contextmanager
def running(*arguments: str, command: Sequence[str] = COMMAND, **variables: str) -> Iterator[Process]:
    """The proxy, on ephemeral ports unless the arguments say otherwise."""
    ports = [
        word
        for flag in ("--listen", "--admin-listen")
        if flag not in arguments and f"UNPINNED_{flag[2:].replace('-', '_').upper()}" not in variables
        for word in (flag, "127.0.0.1:0")
    ]
    process = Process([*command, *ports, *arguments], variables)
    try:
        yield process
    finally:
        process.close()
