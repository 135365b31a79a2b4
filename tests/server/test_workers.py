"""Several processes at one listener: what they share, how one is replaced, and how all of them end."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.process import COMMAND, ROOT, Process, environment, running
from tests.support.raw_client import RawClient, exchange, request
from tests.support.scripts import Gate, answer, event_stream
from tests.support.upstream_server import ScriptedUpstream

GET = request(b"GET", b"/v1/models")
FIRST, LAST = b"data: first\n\n", b"data: last\n\n"
METRICS, READY = request(b"GET", b"/metrics"), request(b"GET", b"/readyz")


@pytest.fixture
def process(upstream: ScriptedUpstream) -> Iterator[Process]:
    """The proxy as two processes, both of which serve."""
    with running("--upstream", upstream.url, "--workers", "2", "--inspect", "on") as process:
        assert len(workers(process)) == 2
        yield process


def workers(process: Process) -> list[int]:
    """The numbers of the processes that serve, as the log has them."""
    for number in ("1", "2"):
        process.wait_message(f"Worker {number} of 2 serves")
    lines = [line for line in process.log if "serves" in str(line)]
    return [line["worker"] for line in lines]


def metric(process: Process, sample: str) -> float:
    """The value of a sample of the metrics."""
    text = exchange(process.admin_port, METRICS).body.decode()
    return float(next(line for line in text.splitlines() if line.startswith(sample + " ")).rpartition(" ")[2])


def wait_until(well: Callable[[], bool]) -> None:
    """Wait until a question is answered with yes."""
    deadline = time.monotonic() + 20
    while not well():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def busy(process: Process, stack: ExitStack, upstream: ScriptedUpstream, number: int) -> list[Gate]:
    """So many streams that have begun; a gate for the end of each."""
    gates = [Gate() for _ in range(number)]
    for gate in gates:
        upstream.will_answer(event_stream([FIRST, gate, LAST]))
        client = stack.enter_context(RawClient(process.port))
        client.send(GET)
        client.until(FIRST)
        stack.callback(gate.open)
    return gates


def connections_of(pid: int) -> int:
    """How many sockets a process has."""
    links = [link.readlink() for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    return sum(str(link).startswith("socket:") for link in links)


def test_connections_are_shared_out(process: Process, upstream: ScriptedUpstream) -> None:
    """Connections that arrive at the same time are served by both processes, and counted as one."""
    with ExitStack() as stack:
        before = [connections_of(pid) for pid in workers(process)]
        busy(process, stack, upstream, 30)
        after = [connections_of(pid) for pid in workers(process)]
        assert min(now - then for now, then in zip(after, before, strict=True)) > 0
        assert metric(process, 'unpinned_requests_in_flight{phase="streaming"}') == 30
        assert metric(process, 'unpinned_workers{state="serving"}') == 2


def test_one_page_and_one_set_of_metrics(process: Process, upstream: ScriptedUpstream) -> None:
    """What the processes count is summed, and their exchanges are on one live page."""
    upstream.will_always_answer(answer(418))
    assert {exchange(process.port, GET).status for _ in range(20)} == {418}
    sample = 'unpinned_requests_total{action="passthrough",fidelity="exact",route="other",status="418"}'
    assert metric(process, sample) == 20
    assert metric(process, 'unpinned_request_duration_seconds_count{route="other"}') == 20

    def shown() -> Any:
        raw = b"GET /exchanges.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
        return json.loads(exchange(process.admin_port, raw).body)

    wait_until(lambda: len(shown()["exchanges"]) == 20)
    assert shown()["workers"] == 2


def test_a_process_that_dies_is_replaced(process: Process, upstream: ScriptedUpstream) -> None:
    """A killed process costs its own streams; the others go on, it is replaced, and no counter goes down."""
    upstream.will_always_answer(answer(200))
    assert {exchange(process.port, GET).status for _ in range(10)} == {200}
    sample = 'unpinned_requests_total{action="passthrough",fidelity="exact",route="other",status="200"}'
    assert metric(process, sample) == 10
    victim = workers(process)[0]
    os.kill(victim, signal.SIGKILL)
    line = process.wait_message("A worker has ended (signal SIGKILL): it is replaced")
    assert (line["level"], line["worker"]) == ("warning", victim)
    assert exchange(process.port, GET).status == 200
    assert exchange(process.admin_port, READY).status == 200
    wait_until(lambda: metric(process, 'unpinned_workers{state="serving"}') == 2)
    assert metric(process, 'unpinned_process_events_total{event="ended"}') == 1
    assert metric(process, sample) == 11


def test_without_processes_it_is_not_ready(process: Process, upstream: ScriptedUpstream) -> None:
    """While no process serves, `/readyz` answers 503 and connections wait; soon they are answered."""
    upstream.will_always_answer(answer(200))
    for pid in workers(process):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: sum("has ended" in str(line) for line in process.log) == 2)
    assert exchange(process.admin_port, READY).status == 503
    assert exchange(process.port, GET).status == 200
    # A new process may answer a moment before it has told the first one that it serves.
    wait_until(lambda: exchange(process.admin_port, READY).status == 200)


def test_all_drain(process: Process, upstream: ScriptedUpstream) -> None:
    """SIGTERM is for all: streams end whole, no process is left, and the code is 0."""
    pids = workers(process)
    with ExitStack() as stack:
        gates = busy(process, stack, upstream, 6)
        process.send_signal(signal.SIGTERM)
        process.wait_message("Shutting down")
        assert exchange(process.admin_port, READY).status == 503
        for pid in pids:
            os.kill(pid, signal.SIGTERM)  # as a service manager does that knows of no parent
        for gate in gates:
            gate.open()
        assert process.wait() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert "ended" not in process.text


def test_a_second_signal_cuts_all(process: Process, upstream: ScriptedUpstream) -> None:
    """A second signal ends streams that would go on for longer."""
    with ExitStack() as stack:
        busy(process, stack, upstream, 4)
        process.send_signal(signal.SIGTERM)
        process.wait_message("Shutting down")
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0


def test_processes_end_with_their_parent(process: Process) -> None:
    """Where the parent is killed, its processes end by themselves."""
    pids = workers(process)
    process.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(is_alive(pid) for pid in pids))


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended may wait for its new parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_process_that_cannot_start_is_not_started_without_pause(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    """Where a replacement cannot start, the others go on, and attempts follow each other at a growing distance."""
    upstream.will_always_answer(answer(200))
    store = tmp_path / "url"
    store.write_text(f"sqlite:///{tmp_path / 'store.db'}")
    with running("--upstream", upstream.url, "--workers", "2", "--store", f"file:{store}") as process:
        first, _ = workers(process)
        store.write_text("nonsense://")
        os.kill(first, signal.SIGKILL)
        process.wait_message("A worker cannot start: ")
        assert exchange(process.port, GET).status == 200
        store.write_text(f"sqlite:///{tmp_path / 'store.db'}")
        wait_until(lambda: len(workers(process)) == 3)
        attempts = sum("cannot start" in str(line) for line in process.log)
        assert 1 <= attempts <= 4


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("--workers", "0"), 2, "--workers is '0', but must be a whole number from 1 to 256, or auto."),
        (("--workers", "10000"), 2, "--workers is '10000', but must be a whole number from 1 to 256, or auto."),
        (("--workers", "2", "--store", "memory"), 2, "--store is memory, which belongs to one process, but --workers"),
        (("--workers", "2", "--tls-cert", "/nowhere"), 2, "--tls-cert: /nowhere cannot be read"),
        (("--workers", "2", "--store", "redis://127.0.0.1:1/0", "--store-required", "on"), 1, "It is required, so"),
    ],
)
def test_a_start_that_fails(arguments: tuple[str, ...], code: int, sentence: str) -> None:
    """Settings under which no process can serve end the start with one line, as with one process."""
    command = [*COMMAND, "--listen", "127.0.0.1:0", "--admin-listen", "off", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    [line] = done.stderr.splitlines()
    assert (done.returncode, sentence in line) == (code, True), line


def test_auto_is_one_for_each_processor(upstream: ScriptedUpstream) -> None:
    """`auto` takes as many processes as there are processors for this one; with one, there is no other process."""
    command = ("taskset", "-c", "0", *COMMAND)
    with running("--upstream", upstream.url, "--workers", "auto", command=command) as process:
        assert process.port
        assert process.log[0]["workers"] == 1


def test_the_memory_is_shared_out(upstream: ScriptedUpstream) -> None:
    """Each process may hold its share of UNPINNED_MAX_MEMORY, so that all of them together keep to it."""
    upstream.will_always_answer(answer(200, b"{}"))
    body = b'{"model": "m", "input": "' + b"x" * 17_000_000 + b'"}'
    raw = request(b"POST", b"/v1/responses", [(b"Content-Type", b"application/json")], body)
    for number, expected in (("1", 200), ("4", 503)):
        with running("--upstream", upstream.url, "--max-memory", "64MiB", "--workers", number) as process:
            assert exchange(process.port, raw).status == expected


def test_their_lines_do_not_mix(upstream: ScriptedUpstream) -> None:
    """Lines that several processes write at the same time stay whole."""
    upstream.will_always_answer(answer(200))
    with running("--upstream", upstream.url, "--workers", "2", "--log-level", "debug") as process:
        workers(process)

        def ask() -> None:
            with RawClient(process.port) as client:
                for _ in range(100):
                    client.send(GET)
                    assert client.answer().status == 200

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_until(lambda: sum("GET /v1/models 200" in str(line) for line in process.log) == 400)
    assert all(isinstance(line, dict) for line in process.log)
