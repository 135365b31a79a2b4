"""The two ends of the traffic: compiled when they are first needed, run on the core that is not the proxy's."""

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench import processes

_SOURCES: Final = Path(__file__).with_name("traffic")


class Outcome(NamedTuple):
    """What came of a load; times in microseconds."""

    answered: int
    failed: int
    status: int
    seconds: float
    events: int
    chunks: int
    latency_p50: float
    latency_p99: float
    delay_p50: float
    delay_p99: float


class Load(NamedTuple):
    """How to ask. At most `requests`, within `seconds`; then up to `patience` seconds for the answers."""

    port: int
    connections: int
    requests: int = 1 << 30
    seconds: float = 1.0
    patience: float = 15.0
    ramp: int = 0
    """Microseconds from one connection to the next."""
    size: int = 0
    """Bytes that a whole answer has; 0: as they come."""
    events: int = 0
    stalls: bool = False

    def arguments(self) -> list[str]:
        """For the command line."""
        named = {
            "-p": self.port, "-c": self.connections, "-n": self.requests, "-s": self.seconds, "-w": self.patience,
            "-r": self.ramp, "-b": self.size, "-e": self.events,
        }  # fmt: skip
        return [word for pair in named.items() for word in map(str, pair)] + ["-h"] * self.stalls


class Traffic:
    """The programs, and the upstream while it runs."""

    def __init__(self, directory: Path, core: int) -> None:
        self.port = 0
        self._directory = directory
        self._core = core

    def compile(self) -> None:
        """Make both programs."""
        for name in ("upstream", "load"):
            command = ["gcc", "-O2", "-Wall", "-o", str(self._directory / name), str(_SOURCES / f"{name}.c")]
            subprocess.run(command, check=True)

    @contextmanager
    def upstream(self) -> Iterator[None]:
        """The upstream, listening on `port`."""
        with processes.running([str(self._directory / "upstream")], self._core) as process:
            assert process.stdout is not None
            self.port = int(process.stdout.readline())
            yield

    def load(self, request: bytes, load: Load, opened: Callable[[int], None] = lambda _: None) -> Outcome:
        """Send `request` as `load` says.

        When all connections have the head of an answer, `opened` is called with the events that have come by then.
        """
        with tempfile.NamedTemporaryFile(dir=self._directory) as file:
            file.write(request)
            file.flush()
            command = [str(self._directory / "load"), *load.arguments(), file.name]
            with processes.running(command, self._core) as process:
                return self._outcome(process, opened)

    def _outcome(self, process: subprocess.Popen[bytes], opened: Callable[[int], None]) -> Outcome:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(b"open"):
                opened(int(line.split()[1]))
            else:
                return Outcome(**json.loads(line))
        raise RuntimeError(f"the load ended with {process.wait()} and without a result")
