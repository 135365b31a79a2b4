"""No descriptors left (`ulimit -n 256`): who cannot be served is told so, nothing spins, and everything recovers."""

import os
import select
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.process import COMMAND, Process, running
from tests.support.raw_client import RawAnswer, RawClient, exchange, request
from tests.support.scripts import PATIENCE, Gate, answer, event_stream
from tests.support.upstream_server import ScriptedUpstream

GET = request(b"GET", b"/v1/models")
FEW = ("sh", "-c", 'ulimit -n 256; exec "$@"', "sh", *COMMAND)


@pytest.fixture
def process(upstream: ScriptedUpstream) -> Iterator[Process]:
    """The proxy with few descriptors."""
    upstream.will_always_answer(answer(200))
    with running("--upstream", upstream.url, "--keepalive-expiry", "0.5", command=FEW) as process:
        yield process


def refusal(got: RawAnswer) -> tuple[int, list[bytes], list[bytes]]:
    """What an SDK looks at before it asks again."""
    return got.status, got.values(b"retry-after"), got.values(b"x-should-retry")


TOLD = (503, [b"1"], [b"true"])


def seconds_used(process: Process) -> float:
    """The processor's time that a process has taken."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_descriptors(process: Process, most: int) -> None:
    """Wait until the process has no more descriptors than so many."""
    deadline = time.monotonic() + PATIENCE
    while len(list(Path(f"/proc/{process.pid}/fd").iterdir())) > most:
        assert time.monotonic() < deadline, "descriptors were lost"
        select.select([], [], [], 0.02)


def silent_clients(process: Process, stack: ExitStack) -> list[RawClient]:
    """Most of the clients that there may be, each served already."""
    clients = [stack.enter_context(RawClient(process.port)) for _ in range(190)]
    for client in clients:
        client.send(GET)
        assert client.answer().status == 200
    return clients


def assert_recovered(process: Process) -> None:
    """Everything is as it was: no descriptor is missing, and requests are answered."""
    wait_descriptors(process, 30)
    with ExitStack() as stack:
        clients = [stack.enter_context(RawClient(process.port)) for _ in range(60)]
        for client in clients:
            client.send(GET)
        assert {client.answer().status for client in clients} == {200}


@pytest.mark.alone
def test_too_many_clients(process: Process) -> None:
    """Who comes when there are as many clients as may be is answered 503 at once; health is answered all the time."""
    with ExitStack() as stack:
        silent = silent_clients(process, stack)
        answers = []
        for _ in range(100):
            client = stack.enter_context(RawClient(process.port))
            client.send(GET)
            answers.append(client.answer())
        statuses = [got.status for got in answers]
        assert statuses == sorted(statuses)
        assert 5 < statuses.count(200) < 40
        assert {str(refusal(got)) for got in answers if got.status != 200} == {str(TOLD)}
        assert exchange(process.admin_port, request(b"GET", b"/readyz")).status == 200
        before = seconds_used(process)
        assert not silent[0].readable_within(1)
        assert seconds_used(process) - before < 0.5
        process.wait_message("A client was refused: out_of_descriptors")
        silent[0].send(GET)
        assert silent[0].answer().status == 200
    assert_recovered(process)


def test_no_descriptor_for_a_connection_to_upstream(process: Process, upstream: ScriptedUpstream) -> None:
    """A request for which no connection can be made is answered 503, and the others go on."""
    gate = Gate()
    with ExitStack() as stack:
        clients = silent_clients(process, stack)
        upstream.will_always_answer(event_stream([b"data: 1\n\n", gate, b"data: 2\n\n"]))
        for client in clients:
            client.send(GET)
        heads = [client.head() for client in clients]
        served = [client for client, head in zip(clients, heads, strict=True) if head.status == 200]
        assert {str(refusal(head)) for head in heads if head.status != 200} == {str(TOLD)}
        assert 20 < len(served) < 150
        gate.open()
        for client in served:
            client.until(b"data: 2\n\n\r\n0\r\n\r\n")
    upstream.will_always_answer(answer(200))
    assert_recovered(process)
