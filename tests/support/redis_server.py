"""A Redis of the tests' own, on an ephemeral port of 127.0.0.1; in a directory it keeps what it was told."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PATIENCE = 20.0


class RedisServer:
    """A running Redis; `stop` and `start` are what an operator's restart is."""

    bus = 0
    """Where the nodes of a cluster talk to each other."""

    def __init__(self, command: str, directory: Path | None, *options: str) -> None:
        keeping = ["--dir", str(directory), "--appendonly", "yes"] if directory is not None else ["--appendonly", "no"]
        self._command = [command, *keeping, *options]
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """How it is named in settings."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            [*self._command, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""],
            stdout=subprocess.DEVNULL,
        )
        end = time.monotonic() + PATIENCE
        while not self._answers():
            assert time.monotonic() < end, "Redis did not start"
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16) == b"+PONG\r\n"
        except OSError:
            return False

    def stop(self) -> None:
        """End it at once."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(PATIENCE)


@contextmanager
def redis_running(directory: Path | None = None, *options: str) -> Iterator[RedisServer]:
    """A Redis, or a Valkey, for the time of a test; without one the test is skipped."""
    command = shutil.which("redis-server") or shutil.which("valkey-server")
    if command is None:
        pytest.skip("neither redis-server nor valkey-server is installed")
    pytest.importorskip("redis", reason="the client of Redis is not installed")
    server = RedisServer(command, directory, *options)
    try:
        yield server
    finally:
        server.stop()
