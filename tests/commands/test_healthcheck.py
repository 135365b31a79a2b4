"""`unpinned healthcheck`: the exit code tells a container's service whether the process takes requests."""

import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.commands.healthcheck import healthcheck
from proxy.settings.address import Address
from tests.support.process import COMMAND, ROOT, environment, running
from tests.support.raw_client import RawClient, request
from tests.support.scripts import Gate, event_stream
from tests.support.upstream_server import ScriptedUpstream


def asked(address: str) -> tuple[int, str]:
    """The exit code of the command, and what it says, for a process whose admin listener is at `address`."""
    done = subprocess.run(
        [*COMMAND, "healthcheck"],
        cwd=ROOT,
        env=environment(UNPINNED_ADMIN_LISTEN=address),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_process_that_is_ready(upstream: ScriptedUpstream) -> None:
    """A process that takes requests is healthy; once it drains, and once it is gone, it is not, and it says why."""
    gate = Gate()
    upstream.will_answer(event_stream([b"data: 1\n\n", gate]))
    with running("--upstream", upstream.url) as process:
        address = f"0.0.0.0:{process.admin_port}"
        assert asked(address) == (0, "")
        with RawClient(process.port) as client:
            client.send(request(b"GET", b"/v1/models"))
            gate.wait_reached()
            process.send_signal(signal.SIGTERM)
            process.wait_message("Shutting down")
            assert asked(address) == (1, f"unpinned: http://{address}/readyz answers 503.\n")
            gate.open()
            client.answer()
        process.wait()
        code, said = asked(address)
    assert code == 1
    assert "does not answer" in said


def test_a_socket_with_a_path(tmp_path: Path) -> None:
    """The admin listener may be a Unix socket."""
    path = f"unix:{tmp_path / 'admin'}"
    with running("--admin-listen", path) as process:
        assert process.port
        assert asked(path) == (0, "")
    assert asked(path)[0] == 1


def test_nobody_to_ask() -> None:
    """Without an admin listener there is nothing to query; settings that cannot be read have their own exit code."""
    assert asked("off") == (1, "unpinned: UNPINNED_ADMIN_LISTEN is off: there is no listener to query.\n")
    assert asked("nowhere")[0] == 2


@contextmanager
def answering(answer: bytes) -> Iterator[Address]:
    """Somebody who answers so, whatever is asked, and keeps the connection open."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(answer)
                over.wait()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Address("127.0.0.1", listener.getsockname()[1])
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize("answer", [b"SSH-2.0-x\r\n", b"HTTP/1.1 what\r\n", b"HTTP/1.1 404 \r\n", b"\n"])
def test_somebody_else(answer: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """Who answers something else than 200 there is not a healthy Unpinned."""
    with answering(answer) as address:
        assert healthcheck(address) == 1
    assert str(address) in capsys.readouterr().err


def test_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who says nothing is given up on."""
    monkeypatch.setattr("proxy.commands.healthcheck.TIMEOUT", 0.1)
    with answering(b"") as address:
        assert healthcheck(address) == 1
