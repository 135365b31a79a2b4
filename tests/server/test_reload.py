"""SIGHUP: the settings are read again, new processes take the listener, and nothing under way is lost."""

import os
import pty
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.support.process import COMMAND, ROOT, Process, environment, running
from tests.support.raw_client import RawClient, exchange, request
from tests.support.scripts import Gate, answer, event_stream
from tests.support.upstream_server import ScriptedUpstream

GET = request(b"GET", b"/v1/models")
FIRST, LAST = b"data: first\n\n", b"data: last\n\n"


class Configured:
    """The proxy with a file of settings, which a test may write anew."""

    def __init__(self, file: Path, upstream: ScriptedUpstream) -> None:
        self.file = file
        self.upstream = upstream
        self.workers = 1
        self.process: Process

    def write(self, **settings: str) -> None:
        """Write the file: where upstream is, and these settings."""
        self.workers = int(settings.get("workers", "1"))
        chosen = {"upstream": self.upstream.url, **settings}
        self.file.write_text("".join(f'{name} = "{value}"\n' for name, value in chosen.items()))

    def reload(self) -> None:
        """Have the settings read again, and wait until they are in effect, in each process."""
        taken, served = self.logged("The settings are taken over"), self.logged("Worker ")
        self.process.send_signal(signal.SIGHUP)
        self.process.wait_logged(lambda _: self.logged("The settings are taken over") > taken)
        self.process.wait_logged(lambda _: self.logged("Worker ") >= served + self.workers)

    def refused(self) -> str:
        """Have the settings read again, and wait until they are refused; the sentence."""
        self.process.send_signal(signal.SIGHUP)
        return str(self.process.wait_message("The settings stay as they were: ")["message"])

    def logged(self, beginning: str) -> int:
        """How many lines begin so."""
        return sum(isinstance(line, dict) and line["message"].startswith(beginning) for line in self.process.log)

    def metric(self, sample: str) -> float:
        """The value of a sample of the metrics."""
        text = exchange(self.process.admin_port, request(b"GET", b"/metrics")).body.decode()
        found = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
        assert found, text
        return float(found[1])

    def wait_metric(self, sample: str, value: float) -> None:
        """Wait until a sample has a value."""
        deadline = time.monotonic() + 20
        while self.metric(sample) != value:
            assert time.monotonic() < deadline, f"{sample} is {self.metric(sample)}"
            time.sleep(0.05)


@contextmanager
def configured(folder: Path, upstream: ScriptedUpstream, **settings: str) -> Iterator[Configured]:
    """The proxy with a file of these settings."""
    made = Configured(folder / "unpinned.toml", upstream)
    made.write(**settings)
    with running("--config", str(made.file)) as made.process:
        assert made.process.port
        yield made


@pytest.fixture(params=["1", "2"], ids=["one worker", "two workers"])
def made(request: pytest.FixtureRequest, tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Configured]:
    """The proxy as one process, and as two."""
    upstream.will_always_answer(answer(200, b"yes"))
    with configured(tmp_path, upstream, workers=request.param) as made:
        if request.param == "2":
            made.process.wait_message("Worker 2 of 2 serves")
        yield made


def unix_status(path: str, target: bytes = b"/v1/models") -> bytes:
    """The status of an answer at a Unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(path)
        client.sendall(request(b"GET", target))
        return client.recv(65536).split(b" ")[1]


def status(port: int, raw: bytes = GET) -> int:
    """The status of an answer."""
    return exchange(port, raw).status


def test_new_settings_are_in_effect(made: Configured) -> None:
    """After SIGHUP requests are answered under the file's new settings, by the same process, at the same port."""
    assert exchange(made.process.port, GET).values(b"x-unpinned-action") == [b"passthrough"]
    port, pid = made.process.port, made.process.pid
    made.write(report="off", workers="2")
    made.reload()
    made.wait_metric('unpinned_workers{state="draining"}', 0)
    assert made.metric('unpinned_workers{state="serving"}') == 2
    answers = [exchange(port, GET) for _ in range(8)]
    assert [(got.status, got.values(b"x-unpinned-action")) for got in answers] == [(200, [])] * 8
    assert made.process.pid == pid
    made.process.send_signal(signal.SIGTERM)
    assert made.process.wait() == 0


def test_a_stream_outlasts_a_reload(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    """A stream goes on in the process that began it, for longer than a drain may take, and new requests in another."""
    gate = Gate()
    upstream.will_answer(event_stream([FIRST, gate, LAST]), answer(200, b"yes"), answer(200, b"yes"))
    with configured(tmp_path, upstream, drain_timeout="0.1") as made, RawClient(made.process.port) as client:
        client.send(GET)
        client.until(FIRST + b"\r\n")
        made.reload()
        assert status(made.process.port) == 200
        assert made.metric('unpinned_workers{state="draining"}') == 1
        assert not client.readable_within(0.5)
        gate.open()
        client.until(LAST + b"\r\n0\r\n\r\n")
        client.close()
        made.wait_metric('unpinned_workers{state="draining"}', 0)
        assert status(made.process.port) == 200


def test_a_kept_connection_outlasts_a_reload(made: Configured) -> None:
    """An idle connection stays open; its next request is answered, and the answer says that it is the last."""
    with ExitStack() as stack:
        clients = [stack.enter_context(RawClient(made.process.port)) for _ in range(8)]
        for client in clients:
            client.send(GET)
            assert client.answer().status == 200
        made.reload()
        assert made.metric('unpinned_workers{state="draining"}') >= 1
        for client in clients:
            assert not client.readable_within(0)
            client.send(GET)
            got = client.answer()
            assert (got.status, got.values(b"connection"), client.rest()) == (200, [b"close"], b"")
        made.wait_metric('unpinned_workers{state="draining"}', 0)


def test_no_request_is_lost(made: Configured) -> None:
    """Under load, on new and on kept connections, every request is answered while the settings are read three times."""
    over = threading.Event()
    failures: list[str] = []
    answered = [0] * 4

    def ask(number: int) -> None:
        while not over.is_set():
            try:
                with RawClient(made.process.port) as client:
                    for _ in range(50 if number % 2 else 1):
                        client.send(GET)
                        got = client.answer()
                        assert (got.status, got.body, got.complete) == (200, b"yes", True)
                        answered[number] += 1
                        if got.values(b"connection") == [b"close"] or over.is_set():
                            break
            except (OSError, AssertionError) as error:
                failures.append(repr(error))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            made.reload()
            made.wait_metric('unpinned_workers{state="draining"}', 0)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert (failures, min(answered) > 0) == ([], True)
    counted = made.metric('unpinned_requests_total{action="passthrough",fidelity="exact",route="other",status="200"}')
    assert counted == sum(answered)
    assert made.metric('unpinned_process_events_total{event="reloaded"}') == 3


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"mode": "stripp"}, "is 'stripp', but must be auto or strip or recover or observe."),
        ({"tls_cert": "/nowhere"}, "--tls-cert: /nowhere cannot be read: No such file or directory."),
        ({"store": "redis://127.0.0.1:1/0", "store_required": "on"}, "a process with them ended with exit code 1."),
    ],
)
def test_bad_settings_change_nothing(made: Configured, settings: dict[str, str], sentence: str) -> None:
    """Settings that cannot be used are refused in one sentence, and what runs goes on running."""
    port = made.process.port
    made.write(**settings)
    assert sentence in made.refused()
    assert status(port) == 200
    assert made.metric('unpinned_process_events_total{event="reload_failed"}') == 1
    assert status(made.process.admin_port, request(b"GET", b"/readyz")) == 200
    made.write()
    made.reload()
    assert status(port) == 200


def test_a_listener_may_move(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    """A new address takes over from the old one, where nobody listens any more; the admin listener moves as well."""
    upstream.will_always_answer(answer(200))
    old, new, admin = (str(tmp_path / name) for name in ("old.sock", "new.sock", "admin.sock"))
    file = tmp_path / "unpinned.toml"
    lines = f'upstream = "{upstream.url}"\n'
    file.write_text(lines + f'listen = "unix:{old}"\nadmin_listen = "off"\n')
    with closing(Process(COMMAND, {"UNPINNED_CONFIG": str(file)})) as process:
        process.wait_message("Listening on unix:")
        assert unix_status(old) == b"200"
        file.write_text(lines + f'listen = "unix:{tmp_path}"\n')
        process.send_signal(signal.SIGHUP)
        process.wait_message(f"The settings stay as they were: --listen: cannot listen on unix:{tmp_path}: ")
        file.write_text(lines + f'listen = "unix:{new}"\nadmin_listen = "unix:{admin}"\n')
        process.send_signal(signal.SIGHUP)
        process.wait_message("The settings are taken over")
        assert (unix_status(new), unix_status(admin, b"/readyz")) == (b"200", b"200")
        assert not Path(old).exists()
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    assert not Path(new).exists()
    assert not Path(admin).exists()


def test_a_terminal_that_is_closed_ends_it(upstream: ScriptedUpstream) -> None:
    """SIGHUP because the terminal has gone is no reload: it ends, as any program does, and no port stays taken."""
    command = [*COMMAND, "--listen", "127.0.0.1:0", "--admin-listen", "off", "--upstream", upstream.url]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execvpe(command[0], command, environment())
    shown = b""
    while b"Listening on" not in shown:
        shown += os.read(terminal, 65536)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
