"""A PostgreSQL of the tests' own, on an ephemeral port of 127.0.0.1."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 30.0
USER = "postgres"


def command(name: str) -> str | None:
    """Where one of its programs is; Debian keeps those that nobody starts by hand off the path."""
    return shutil.which(name) or next(map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None)


class PostgresqlServer:
    """A running PostgreSQL; `stop` and `start` are what an operator's restart is."""

    def __init__(self, directory: Path) -> None:
        # It does not run as root.
        self._options: dict[str, Any] = {"cwd": directory, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if os.geteuid() == 0:
            account = pwd.getpwnam(USER)
            os.chown(directory, account.pw_uid, account.pw_gid)
            self._options |= {"user": account.pw_uid, "group": account.pw_gid}
        self._data = directory / "data"
        initdb = [
            str(command("initdb")),
            "--pgdata",
            str(self._data),
            "--auth",
            "trust",
            "--username",
            USER,
            "--no-sync",
        ]
        subprocess.run(initdb, check=True, timeout=PATIENCE, **self._options)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """How it is named in settings."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{USER}"

    def start(self) -> None:
        """Start it, and wait until it takes questions."""
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "", "fsync": "off"}
        flags = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._process = subprocess.Popen([str(command("postgres")), "-D", str(self._data), *flags], **self._options)
        ready = [str(command("pg_isready")), "--host", "127.0.0.1", "--port", str(self.port), "--quiet"]
        end = time.monotonic() + PATIENCE
        while subprocess.run(ready, check=False, timeout=PATIENCE).returncode:
            assert time.monotonic() < end, "PostgreSQL did not start"
            time.sleep(0.02)

    def stop(self) -> None:
        """End it at once, with all connections."""
        assert self._process is not None
        self._process.send_signal(3)  # what it calls an immediate shutdown
        self._process.wait(PATIENCE)


@contextmanager
def postgresql_running() -> Iterator[PostgresqlServer]:
    """A PostgreSQL for the time of a test; without one the test is skipped."""
    if command("initdb") is None:
        pytest.skip("PostgreSQL is not installed")
    pytest.importorskip("asyncpg", reason="the client of PostgreSQL is not installed")
    with tempfile.TemporaryDirectory() as directory:
        server = PostgresqlServer(Path(directory))
        try:
            yield server
        finally:
            server.stop()
