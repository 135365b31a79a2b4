"""The worst that a client or upstream can send, while a second client asks all the time.

What is asserted is the processor time of the event loop at a stretch, which does not depend on what else the machine
does; the second client's worst delay is printed (`pytest -rP`): on a quiet machine it stays under 50 ms but for bodies
of 6 MiB and more, which a parser written in C reads without letting go of the interpreter (75 ms, and 340 ms for 16 MiB
of escapes).
"""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.bombs import BOMBS, CROWDED, MANY_ITEMS, NOTHING, REFUSED, SAME_ITEMS, USER, items
from tests.support.process import Process, running
from tests.support.raw_client import RawClient, exchange, request
from tests.support.scripts import READ_BODY, Script, answer, chunk, head, script
from tests.support.upstream_server import ScriptedUpstream

pytestmark = pytest.mark.alone

LONGEST = 0.1
"""Seconds of processor time. Measured 2026-11-29: 10 ms at most without a store, 30 with one (100,000 messages); a
machine of half the speed takes twice as long."""
UNTRACED = ("env", "-u", "COVERAGE_PROCESS_START", "-u", "COVERAGE_PROCESS_CONFIG")
"""Coverage makes all code of ours several times as slow."""
TINY = script(READ_BODY, head(200, [(b"Transfer-Encoding", b"chunked")]), chunk(b"x") * 20_000, b"0\r\n\r\n")
OK = answer(200, b"ok")
KEY = (b"Authorization", b"Bearer sk-1")
GZIP = (b"Content-Encoding", b"gzip")
JSON = [(b"Content-Type", b"application/json")]

Case = tuple[bytes, list[tuple[bytes, bytes]], Script]


@dataclass
class Watched:
    """The program, what is behind it, and where its pulse is told."""

    process: Process
    upstream: ScriptedUpstream
    file: Path

    def begin(self) -> None:
        """Begin anew, once what was is over."""
        small = request(b"POST", b"/v1/responses", [KEY], b'{"input":"x"}')
        for _ in range(2):  # the second is answered when the signal has been
            assert exchange(self.process.port, small).status in range(500)
            self.process.send_signal(signal.SIGUSR1)

    def largest(self) -> float:
        """The longest that the loop has worked at a stretch, in seconds of processor time."""
        self.process.send_signal(signal.SIGUSR2)
        while not self.file.exists():
            assert exchange(self.process.admin_port, request(b"GET", b"/livez")).status == 200
        return float(self.file.read_text())


CASES: dict[str, Case] = {
    **{name: (body, [], OK) for name, body in (BOMBS | CROWDED).items()},
    **{name: (body, [(b"Content-Encoding", coding)], OK) for name, (coding, body) in NOTHING.items()},
    **{name: (body, [], answer(400, said, JSON)) for name, (body, said) in REFUSED.items()},
    "60,000 output items": (items(USER, 50), [], answer(200, MANY_ITEMS, JSON)),
    "60,000 output items in gzip": (items(USER, 50), [], answer(200, SAME_ITEMS, [*JSON, GZIP])),
    "chunks of one byte": (items(USER, 50), [], TINY),
}


@pytest.fixture(scope="module", params=["off", "memory"])
def watched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The program with a pulse, with and without a store."""
    file = tmp_path_factory.mktemp("pulse") / "largest"
    command = (*UNTRACED, sys.executable, "-m", "tests.support.pulse", str(file))
    with ScriptedUpstream() as upstream:
        upstream.will_always_answer(OK)
        with running("--upstream", upstream.url, "--store", request.param, command=command) as process:
            yield Watched(process, upstream, file)


@pytest.mark.parametrize("name", CASES)
def test_a_second_client_is_served(watched: Watched, name: str) -> None:
    """While the worst of each kind is worked on, the event loop is never held for long, and /livez answers."""
    body, fields, said = CASES[name]
    watched.upstream.will_always_answer(said)
    watched.begin()
    port, admin, over = watched.process.port, watched.process.admin_port, threading.Event()
    delays: list[float] = []

    def ask() -> None:
        """One question at least, however soon the work is over."""
        with RawClient(admin) as client:
            while True:
                began = time.perf_counter()
                client.send(request(b"GET", b"/livez"))
                assert client.answer().status == 200
                delays.append(time.perf_counter() - began)
                if over.wait(0.02):
                    return

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        assert exchange(port, request(b"POST", b"/v1/responses", [KEY, *fields], body)).status in range(500)
    finally:
        over.set()
        asking.join()
    print(f"{name}: the second client waited for {max(delays) * 1e3:.1f} ms at most")  # noqa: T201 -- a measurement
    assert watched.largest() < LONGEST
