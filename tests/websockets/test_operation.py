"""What an operator sets and sees: the switch, the limit, the gauge, the log, and how sockets end with the process."""

import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.support.handshakes import FIELDS, Hearing, echo, handshake, switching
from tests.support.memory import descriptors, resident
from tests.support.process import Process, running
from tests.support.raw_client import PATIENCE, RawAnswer, RawClient, exchange, request
from tests.support.scripts import END, answer, script
from tests.support.sessions import completed, create, created, text
from tests.support.talks import Talk
from tests.support.upstream_server import ScriptedUpstream

ECHO = script(switching(), echo, END)
DRAIN = ("--drain-delay", "0.1", "--drain-timeout")


def code(got: RawAnswer) -> tuple[int, str]:
    """The status and the code of a fault."""
    return got.status, json.loads(got.body)["error"]["code"]


def gauge(process: Process) -> dict[str, int]:
    """How many sockets are open, by kind."""
    text = exchange(process.admin_port, request(b"GET", b"/metrics")).body.decode()
    return {kind: int(float(n)) for kind, n in re.findall(r'unpinned_websockets\{kind="(\w+)"\} (\S+)', text)}


def wait_for(process: Process, wanted: dict[str, int]) -> None:
    """Wait until so many sockets are open."""
    deadline = time.monotonic() + PATIENCE
    while gauge(process) != wanted:
        assert time.monotonic() < deadline, gauge(process)
        time.sleep(0.02)


@contextmanager
def opened(process: Process, target: bytes = b"/v1/realtime") -> Iterator[RawClient]:
    """An open socket to an upstream that echoes."""
    with RawClient(process.port) as client:
        client.send(handshake(target) + b"hello")
        assert client.head().status == 101
        assert client.exactly(5) == b"hello"
        yield client


@pytest.fixture
def echoing(upstream: ScriptedUpstream) -> ScriptedUpstream:
    """An upstream that takes every handshake and echoes."""
    upstream.will_always_answer(ECHO)
    return upstream


@pytest.mark.parametrize("raw", [handshake(b"/v1/responses"), request(b"GET", b"/v1/x", FIELDS[:2])])
def test_off_is_426_as_before(echoing: ScriptedUpstream, raw: bytes) -> None:
    """With UNPINNED_WEBSOCKET=off each handshake, sound or not, gets the status on which clients take HTTP."""
    with running("--upstream", echoing.url, UNPINNED_WEBSOCKET="off") as process:
        got = exchange(process.port, raw + b"behind")
        assert code(got) == (426, "websocket_unsupported")
        assert got.values(b"upgrade") == [b"HTTP/1.1"]
    assert echoing.received == []


@pytest.mark.parametrize(
    ("mode", "counts"), [("on", {"session": 1, "tunnel": 2}), ("tunnel", {"session": 0, "tunnel": 3})]
)
def test_the_gauge_counts_by_kind(echoing: ScriptedUpstream, mode: str, counts: dict[str, int]) -> None:
    """A socket is counted while it is open, and not any longer; one that upstream refuses is none."""
    with running("--upstream", echoing.url, "--websocket", mode) as process:
        assert gauge(process) == {"session": 0, "tunnel": 0}
        with opened(process, b"/v1/responses?x=1"), opened(process), opened(process, b"/v1/responses/x"):
            echoing.will_answer(answer(401))
            assert exchange(process.port, handshake(b"/v1/responses")).status == 401
            wait_for(process, counts)
        wait_for(process, {"session": 0, "tunnel": 0})


def test_the_limit(echoing: ScriptedUpstream) -> None:
    """Beyond UNPINNED_MAX_WEBSOCKETS a handshake gets 503 with Retry-After; sockets are no requests in progress."""
    with running("--upstream", echoing.url, "--max-websockets", "2", "--max-requests", "1") as process:
        with opened(process), opened(process) as second:
            refused = exchange(process.port, handshake())
            assert code(refused) == (503, "overloaded")
            assert "UNPINNED_MAX_WEBSOCKETS" in json.loads(refused.body)["error"]["message"]
            assert refused.values(b"retry-after") == [b"1"]
            assert refused.values(b"x-should-retry") == [b"true"]
            echoing.will_answer(answer(200, b"1"))
            assert exchange(process.port, request(b"GET", b"/v1/models")).body == b"1"
            second.close()
            wait_for(process, {"session": 0, "tunnel": 1})
            with opened(process):
                pass
        wait_for(process, {"session": 0, "tunnel": 0})


def test_a_place_is_given_back(upstream: ScriptedUpstream) -> None:
    """Whatever becomes of a handshake, its place is free again."""
    upstream.will_answer(answer(404), script(END), script(b"HTTP/1.1 101\r\n\r\n", END), ECHO)
    with running("--upstream", upstream.url, "--max-websockets", "1") as process:
        statuses = [exchange(process.port, handshake()).status for _ in range(3)]
        assert statuses == [404, 502, 502]
        with opened(process):
            pass


def test_one_line_a_socket(echoing: ScriptedUpstream) -> None:
    """Path, duration and bytes of both sides; no query, no subprotocol, no id, and no line while it is open."""
    more = [(b"Sec-WebSocket-Protocol", b"openai-insecure-api-key.sk-secret"), (b"Authorization", b"Bearer sk-secret")]
    with running("--upstream", echoing.url) as process:
        with RawClient(process.port) as client:
            client.send(handshake(b"/v1/x/sess_0123456789abcdef?model=secret", more))
            [request_id] = client.head().values(b"x-unpinned-request-id")
            client.send(b"secret")
            assert client.exactly(6) == b"secret"
            assert not [line for line in process.log if line.get("request_id")]
        line = process.wait_logged(lambda line: line.get("request_id") == request_id.decode())
        assert {name: line[name] for name in ("path", "status", "socket", "client_bytes", "upstream_bytes")} == {
            "path": "/v1/x/{id}",
            "status": 101,
            "socket": "tunnel",
            "client_bytes": 6,
            "upstream_bytes": 6,
        }
        assert re.fullmatch(r"GET /v1/x/\{id\} 101 [\d.]+ms tunnel client_bytes=6 upstream_bytes=6", line["message"])
        assert line["milliseconds"] > 0
        assert "secret" not in process.text


def test_the_live_page_goes_on(echoing: ScriptedUpstream) -> None:
    """It shows handshakes that were refused, not sockets that were opened, but their turns."""

    def exchanges(process: Process) -> Any:
        raw = b"GET /exchanges.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
        return json.loads(exchange(process.admin_port, raw).body)

    with running("--upstream", echoing.url, "--inspect", "on") as process:
        with opened(process):
            assert exchanges(process)["tunnels"] == 1
        wait_for(process, {"session": 0, "tunnel": 0})
        echoing.will_answer(answer(401))
        exchange(process.port, handshake())
        process.wait_logged(lambda line: line.get("status") == 401)
        [shown] = exchanges(process)["exchanges"]
        assert (shown["status"], shown["attempts"], shown["action"]) == (401, 1, "passthrough")
        talk = Talk([created("resp_1"), completed("resp_1")])
        echoing.will_answer(script(switching([(b"X-Request-Id", b"req_upstream")]), talk, END))
        with RawClient(process.port) as client:
            client.send(handshake(b"/v1/responses") + text(create("hi", model="gpt-5")))
            assert client.head().status == 101
            process.wait_logged(lambda line: line.get("lane") == 0)
        turn = exchanges(process)["exchanges"][0]
        assert (turn["route"], turn["model"], turn["upstream_id"]) == ("turn", "gpt-5", "req_upstream")
        assert 0 < turn["first_byte"] <= turn["seconds"]


def test_draining(echoing: ScriptedUpstream) -> None:
    """After SIGTERM a handshake gets 503, open tunnels go on, and the process ends with the last of them."""
    with running("--upstream", echoing.url, "--drain-delay", "3", "--drain-timeout", "60") as process:
        with opened(process) as client:
            process.send_signal(signal.SIGTERM)
            process.wait_message("Shutting down")
            got = exchange(process.port, handshake())
            assert code(got) == (503, "draining")
            assert got.values(b"x-should-retry") == [b"true"]
            client.send(b"still here")
            assert client.exactly(10) == b"still here"
            time.sleep(3.5)
            client.send(b"and now")
            assert client.exactly(7) == b"and now"
            client.end()
            assert client.rest() == b""
        assert process.wait() == 0


@pytest.mark.parametrize("signals", [1, 2])
def test_the_end_of_draining_cuts(upstream: ScriptedUpstream, signals: int) -> None:
    """A tunnel that is open at UNPINNED_DRAIN_TIMEOUT, or at a second signal, is reset on both sides."""
    hearing = Hearing()
    upstream.will_answer(script(switching() + b"hello", hearing))
    with running("--upstream", upstream.url, *DRAIN, "0.5" if signals == 1 else "60") as process:
        with RawClient(process.port) as client:
            client.send(handshake())
            client.until(b"hello")
            for _ in range(signals):
                process.send_signal(signal.SIGTERM)
                process.wait_message("Shutting down")
            assert client.is_reset()
        hearing.wait_over()
        assert hearing.was_reset
        assert process.wait() == 0
        assert process.wait_logged(lambda line: line.get("status") == 101)["upstream_bytes"] == 5


def test_a_handshake_that_waits_when_the_process_ends(upstream: ScriptedUpstream) -> None:
    """A client whose handshake is with upstream when the time is over gets 503, and may connect again."""
    hearing = Hearing()
    upstream.will_answer(script(hearing))
    with running("--upstream", upstream.url, *DRAIN, "0.3") as process:
        with RawClient(process.port) as client:
            client.send(handshake())
            upstream.wait_received()
            process.send_signal(signal.SIGTERM)
            assert code(client.answer()) == (503, "draining")
        hearing.wait_over()
        assert process.wait() == 0


@pytest.mark.alone
def test_five_hundred_at_once(echoing: ScriptedUpstream) -> None:
    """All are opened, each gets its own bytes, and all are let go of."""
    count = 500
    with running("--upstream", echoing.url) as process:
        wait_for(process, {"session": 0, "tunnel": 0})
        before = descriptors(process.pid)
        with ExitStack() as stack:
            clients = [stack.enter_context(RawClient(process.port)) for _ in range(count)]
            for number, client in enumerate(clients):
                client.send(handshake(b"/v1/realtime") + b"%05d" % number)
            for number, client in enumerate(clients):
                assert client.head().status == 101
                assert client.exactly(5) == b"%05d" % number
            assert gauge(process) == {"session": 0, "tunnel": count}
        wait_for(process, {"session": 0, "tunnel": 0})
        deadline = time.monotonic() + PATIENCE
        while descriptors(process.pid) > before + 1:
            assert time.monotonic() < deadline, "connections are left over"
            time.sleep(0.05)


class Idle:
    """An upstream that takes any number of handshakes, in one thread, and then says nothing."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.taken: list[socket.socket] = []

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def take(self) -> None:
        """Take the next handshake."""
        connection, _ = self.listener.accept()
        connection.recv(65_536)
        connection.sendall(switching())
        self.taken.append(connection)

    def close(self) -> None:
        """Close all."""
        for each in (self.listener, *self.taken):
            each.close()


@pytest.mark.alone
@pytest.mark.parametrize(("kind", "target"), [("tunnel", b"/v1/realtime"), ("session", b"/v1/responses")])
def test_two_thousand_idle_sockets(kind: str, target: bytes) -> None:
    """An idle one takes no more than 40 KiB (29 and 36 measured, 2026-11); the 2,001st is refused."""
    count, first = 2000, 200
    idle = Idle()
    with running("--upstream", idle.url) as process, ExitStack() as stack:
        stack.callback(idle.close)

        def open_one() -> None:
            client = stack.enter_context(RawClient(process.port))
            client.send(handshake(target))
            idle.take()
            assert client.head().status == 101

        for _ in range(first):
            open_one()
        before = resident(process.pid)
        for _ in range(count - first):
            open_one()
        each = (resident(process.pid) - before) / (count - first)
        assert gauge(process) == {"session": 0, "tunnel": 0} | {kind: count}
        assert code(exchange(process.port, handshake())) == (503, "overloaded")
        assert each < 40 * 1024
