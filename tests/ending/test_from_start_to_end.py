"""How soon the process is there, and how soon it is gone.

Time is measured where a loaded machine cannot stretch it much: in what the process itself has used.
"""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.process import running
from tests.support.raw_client import RawClient, exchange, request
from tests.support.scripts import Gate, answer, event_stream
from tests.support.upstream_server import ScriptedUpstream

GET = request(b"GET", b"/v1/models")
FIRST, LAST = b"data: first\n\n", b"data: last\n\n"


def seconds_used(pid: int) -> float:
    """Seconds of a processor that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.alone
def test_it_is_ready_soon() -> None:
    """A process needs less than a second of work until it is ready, and needs no upstream for that."""
    with running("--upstream", "http://127.0.0.1:1") as process:
        assert exchange(process.admin_port, request(b"GET", b"/readyz")).status == 200
        assert seconds_used(process.pid) < 1


def test_waiting_costs_nothing(upstream: ScriptedUpstream) -> None:
    """An idle process does not look around: over a second it uses hardly any time."""
    upstream.will_answer(answer(200, b"yes"))
    with running("--upstream", upstream.url) as process:
        assert exchange(process.port, GET).status == 200
        before = seconds_used(process.pid)
        time.sleep(1)
        assert seconds_used(process.pid) - before < 0.1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_the_last_stream_does(upstream: ScriptedUpstream, number: signal.Signals) -> None:
    """The last stream ends whole, and then the process does, long before the drain would be over: the code is 0."""
    gates = [Gate(), Gate()]
    upstream.will_answer(*(event_stream([FIRST, gate, LAST]) for gate in gates))
    with running("--upstream", upstream.url, "--drain-timeout", "600") as process:
        with RawClient(process.port) as one, RawClient(process.port) as other:
            for client in (one, other):
                client.send(GET)
                client.until(FIRST + b"\r\n")
            process.send_signal(number)
            process.wait_message("Shutting down")
            for client, gate in ((other, gates[1]), (one, gates[0])):
                assert not client.readable_within(0.3)
                gate.open()
                assert client.rest().endswith(LAST + b"\r\n0\r\n\r\n")
        ended = time.monotonic()
        assert process.wait() == 0
        assert time.monotonic() - ended < 10
