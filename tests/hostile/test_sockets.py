"""The worst that either side of a session can send: the event loop is never held for long, and nothing is lost."""

import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from proxy.responses.frames import PING, TEXT, frame
from tests.support.handshakes import handshake, switching
from tests.support.process import Process, running
from tests.support.raw_client import RawClient, exchange, request
from tests.support.scripts import END, script
from tests.support.sessions import KEY, completed, create, created, delta, fragmented, text
from tests.support.upstream_server import ScriptedUpstream

pytestmark = pytest.mark.alone

LONGEST = 0.05
"""Seconds of processor time. Measured 2026-11-29: 10 ms at most; a machine of half the speed takes twice as long."""
UNTRACED = ("env", "-u", "COVERAGE_PROCESS_START", "-u", "COVERAGE_PROCESS_CONFIG")
"""Coverage makes all code of ours several times as slow."""
SESSION = handshake(b"/v1/responses", [(b"Authorization", b"Bearer sk-1")])
USER = {"role": "user", "content": "hi"}
BRACKETS = b"[" + b"[]," * (16 * 1024 * 1024 // 3) + b"1]"
MANY_KEYS = b"{" + b",".join(b'"%d":1' % number for number in range(80_000)) + b"}"


def turn(value: bytes) -> bytes:
    """A turn with this input."""
    return text(b'{"type":"response.create","model":"m","input":%b}' % value)


def event(kind: bytes, value: bytes) -> bytes:
    """An event with this in it."""
    return text(b'{"type":"%b","response":{"id":"resp_1","x":%b}}' % (kind, value), b"")


FROM_CLIENT: dict[str, bytes] = {
    "a turn of 9 MiB": text(create([USER, {"role": "user", "content": "x" * (9 << 20)}])),
    "a turn of 9 MiB of small items": text(create([USER] * 230_000)),
    "16 MiB of brackets": turn(BRACKETS),
    "80,000 keys": turn(MANY_KEYS),
    "100,000 pings": frame(b"", KEY, PING) * 100_000,
    "100,000 small messages": frame(b"{}", KEY, TEXT) * 100_000,
    "15,000 fragments": fragmented(b'{"type":"response.create","input":"%b"}' % (b"x" * 15_000), [1] * 15_000),
    "100,000 fragments": fragmented(b'{"type":"response.create","input":"%b"}' % (b"x" * 100_000), [1] * 100_000),
}
FROM_UPSTREAM: dict[str, bytes] = {
    "100,000 events": text(delta(), b"") * 100_000,
    "100,000 pings": frame(b"", b"", PING) * 100_000,
    "100,000 empty messages": frame(b"") * 100_000,
    "an event of 900 KiB of brackets": event(b"response.failed", BRACKETS[: 900 * 1024 - 1] + b"1]"),
    "80,000 keys in an event": event(b"response.failed", MANY_KEYS),
    "16 MiB of brackets at the end": text(created("resp_1"), b"")
    + text(delta(), b"")
    + event(b"response.completed", BRACKETS),
    "16 MiB of brackets at first": event(b"response.created", BRACKETS),
}


@dataclass
class Watched:
    """The program, what is behind it, and where its pulse is written."""

    process: Process
    upstream: ScriptedUpstream
    file: Path

    def largest(self) -> float:
        """The longest that the loop has worked at a stretch, in seconds of processor time."""
        self.process.send_signal(signal.SIGUSR2)
        while not self.file.exists():
            assert exchange(self.process.admin_port, request(b"GET", b"/livez")).status == 200
        return float(self.file.read_text())


@pytest.fixture(scope="module", params=["off", "memory"])
def watched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The program with a pulse, with and without a store."""
    file = tmp_path_factory.mktemp("pulse") / "largest"
    command = (*UNTRACED, sys.executable, "-m", "tests.support.pulse", str(file))
    with (
        ScriptedUpstream() as upstream,
        running("--upstream", upstream.url, "--store", request.param, command=command) as process,
    ):
        yield Watched(process, upstream, file)


def held(watched: Watched, sent: bytes, *steps: Any) -> float:
    """How long the loop is held while a client sends this and upstream performs these steps."""
    watched.upstream.will_answer(script(switching(), *steps, END))
    with RawClient(watched.process.port) as client:
        client.send(SESSION)
        assert client.head().status == 101
        for _ in range(2):  # the second is answered when the signal has been
            assert exchange(watched.process.admin_port, request(b"GET", b"/livez")).status == 200
            watched.process.send_signal(signal.SIGUSR1)
        client.send(sent)
        client.end()
        client.rest()
    return watched.largest()


@pytest.mark.parametrize("name", FROM_CLIENT)
def test_what_a_client_sends(watched: Watched, name: str) -> None:
    """While the worst of each kind is worked on, the event loop is never held for long."""

    def answering(connection: Any) -> None:
        while connection.recv(65536):
            pass
        connection.sendall(text(created("resp_1"), b"") + text(completed("resp_1"), b""))

    took = held(watched, FROM_CLIENT[name], answering)
    print(f"{name}: {took * 1e3:.1f} ms")  # noqa: T201 -- a measurement
    assert took < LONGEST


@pytest.mark.parametrize("name", FROM_UPSTREAM)
def test_what_upstream_sends(watched: Watched, name: str) -> None:
    """The same of what upstream sends, while a turn is judged and when its answer passes."""

    def flood(connection: Any) -> None:
        connection.recv(65536)
        connection.sendall(FROM_UPSTREAM[name])

    took = held(watched, text(create([USER])), flood)
    print(f"{name}: {took * 1e3:.1f} ms")  # noqa: T201 -- a measurement
    assert took < LONGEST
