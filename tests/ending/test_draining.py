"""How the process ends: told to, it goes on for a while, finishes what was asked, and closes what nobody uses.

A drain that goes on for a minute is ended by a second signal, so that no test waits for it.
"""

import contextlib
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.process import Process, running
from tests.support.raw_client import PATIENCE, RawAnswer, RawClient, exchange, request
from tests.support.scripts import UNTIL_CLOSED, Gate, answer, event_stream, script
from tests.support.upstream_server import ScriptedUpstream

GET = request(b"GET", b"/v1/models")
FIRST, LAST = b"data: first\n\n", b"data: last\n\n"
LONG = ("--drain-delay", "60")
SHORT = ("--drain-delay", "0.001")


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate that is open in the end, whatever happens."""
    gate = Gate()
    yield gate
    gate.open()


def told_to_end(process: Process) -> None:
    """Tell the process to end, and wait until it knows."""
    process.send_signal(signal.SIGTERM)
    process.wait_message("Shutting down")


def wait_deaf(connect: Callable[[], socket.socket]) -> None:
    """Wait until nobody listens any more; before that connections may be left without an answer."""
    with contextlib.suppress(ConnectionRefusedError):
        while True:
            with contextlib.suppress(TimeoutError):
                connect().close()
            time.sleep(0.02)


def knocked(process: Process) -> socket.socket:
    """A connection, if there is one at once."""
    return socket.create_connection(("127.0.0.1", process.port), 0.05)


def connected(path: str) -> socket.socket:
    """A connection to a Unix socket."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(PATIENCE)
    try:
        client.connect(path)
    except OSError:
        client.close()
        raise
    return client


def ready(process: Process) -> int:
    """What the readiness probe is told."""
    return exchange(process.admin_port, request(b"GET", b"/readyz")).status


def is_last(got: RawAnswer) -> bool:
    """Whether an answer says that its connection ends."""
    return got.values(b"connection") == [b"close"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_accepting_goes_on_for_a_moment(upstream: ScriptedUpstream, number: signal.Signals) -> None:
    """Readiness turns 503 at once, while new connections are answered still: a load balancer needs time to notice."""
    upstream.will_always_answer(answer(200, b"yes"))
    with running("--upstream", upstream.url, *LONG) as process:
        assert ready(process) == 200
        process.send_signal(number)
        process.wait_message("Shutting down")
        assert ready(process) == 503
        got = exchange(process.port, GET)
        assert (got.status, got.body, got.complete, is_last(got)) == (200, b"yes", True, True)
        process.send_signal(number)
        assert process.wait() == 0


def test_a_connection_that_is_kept_is_told_of_its_end(upstream: ScriptedUpstream) -> None:
    """The next answer on a connection, whenever it was opened, says that it is the last, and then it is."""
    upstream.will_always_answer(answer(200, b"yes"))
    with running("--upstream", upstream.url, *LONG) as process, RawClient(process.port) as client:
        client.send(GET)
        assert not is_last(client.answer())
        told_to_end(process)
        client.send(GET)
        got = client.answer()
        assert (got.body, is_last(got), client.rest()) == (b"yes", True, b"")


def test_an_answer_that_is_awaited_tells_of_the_end(upstream: ScriptedUpstream, gate: Gate) -> None:
    """A request that upstream thinks about when the end begins is answered, and its answer says that it is the last."""
    upstream.will_answer(script(gate, *answer(200, b"yes")[1:]))
    with running("--upstream", upstream.url, *SHORT) as process, RawClient(process.port) as client:
        client.send(GET)
        gate.wait_reached()
        told_to_end(process)
        wait_deaf(lambda: knocked(process))
        gate.open()
        got = client.answer()
        assert (got.body, is_last(got), client.rest()) == (b"yes", True, b"")
        assert process.wait() == 0


def test_what_was_sent_ahead_is_answered(upstream: ScriptedUpstream, gate: Gate) -> None:
    """A request that waits behind a stream that has begun is answered after it, and then the connection ends."""
    upstream.will_answer(event_stream([FIRST, gate, LAST]), answer(200, b"yes"))
    with running("--upstream", upstream.url, *SHORT) as process, RawClient(process.port) as client:
        client.send(GET)
        client.until(FIRST)
        told_to_end(process)
        wait_deaf(lambda: knocked(process))
        client.send(GET)
        gate.open()
        client.until(LAST + b"\r\n0\r\n\r\n")
        got = client.answer()
        assert (got.body, is_last(got), client.rest()) == (b"yes", True, b"")
        assert process.wait() == 0


def test_a_head_that_has_begun_is_waited_for(upstream: ScriptedUpstream) -> None:
    """A request of which the first bytes have come is no idle connection: it is answered."""
    upstream.will_answer(answer(200, b"0"), answer(200, b"1"))
    with running("--upstream", upstream.url, *SHORT) as process, RawClient(process.port) as client:
        client.send(GET + GET[:20])
        assert client.answer().body == b"0"
        told_to_end(process)
        wait_deaf(lambda: knocked(process))
        assert not client.readable_within(0.3)
        client.send(GET[20:])
        got = client.answer()
        assert (got.body, is_last(got)) == (b"1", True)
        assert process.wait() == 0


def test_idle_connections_do_not_hold_up_the_end(upstream: ScriptedUpstream) -> None:
    """A connection on which nothing happens is closed without a word and without a reset, on both listeners."""
    upstream.will_always_answer(answer(200, b"yes"))
    with running("--upstream", upstream.url, *SHORT) as process:
        with RawClient(process.port) as fresh, RawClient(process.port) as used, RawClient(process.admin_port) as probe:
            used.send(GET)
            assert used.answer().body == b"yes"
            probe.send(request(b"GET", b"/readyz"))
            assert probe.answer().status == 200
            told_to_end(process)
            assert (fresh.rest(), used.rest(), probe.rest()) == (b"", b"", b"")
        assert process.wait() == 0


def test_short_requests_never_break(upstream: ScriptedUpstream) -> None:
    """Clients that ask without a pause get every answer whole, up to the one which tells them to go elsewhere."""
    upstream.will_always_answer(answer(200, b"yes"))
    counts: list[int] = []

    def ask(port: int, enough: threading.Event) -> None:
        with RawClient(port) as client:
            count, last = 0, False
            while not last:
                client.send(GET)
                got = client.answer()
                assert (got.status, got.body, got.complete) == (200, b"yes", True)
                count, last = count + 1, is_last(got)
                if count == 20:
                    enough.set()
            counts.append(count)

    with running("--upstream", upstream.url, *LONG) as process:
        clients = []
        for _ in range(8):
            enough = threading.Event()
            clients.append((threading.Thread(target=ask, args=(process.port, enough)), enough))
            clients[-1][0].start()
        assert all(enough.wait(20) for _, enough in clients)
        told_to_end(process)
        for thread, _ in clients:
            thread.join(20)
    assert len(counts) == 8
    assert sum(counts) == len(upstream.received)


@pytest.mark.parametrize("recovering", [False, True])
def test_who_is_not_answered_in_time_is_told(upstream: ScriptedUpstream, recovering: bool) -> None:
    """A request that upstream still thinks about when the drain is over gets a 503 in OpenAI's shape."""
    target, body = (b"/v1/responses", b'{"input":"hi"}') if recovering else (b"/v1/files", b"{}")
    upstream.will_answer(script(UNTIL_CLOSED))
    arguments = ("--upstream", upstream.url, "--drain-timeout", "0.3")
    with running(*arguments) as process, RawClient(process.port) as client:
        client.send(request(b"POST", target, body=body))
        upstream.wait_received().wait_body(body)
        told_to_end(process)
        got = client.answer()
        assert (got.status, json.loads(got.body)["error"]["code"]) == (503, "draining")
        assert got.values(b"x-unpinned-request-id")[0].startswith(b"req-")
        assert is_last(got)
        assert client.rest() == b""
        upstream.received[0].wait_closed()
        assert process.wait() == 0
        assert process.wait_message("POST ")["status"] == 503


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_an_endless_answer_is_cut_visibly(upstream: ScriptedUpstream, framing: str) -> None:
    """An answer that outlasts the drain lacks its end, however it is framed, and upstream's connection is closed."""
    whole = event_stream([FIRST, UNTIL_CLOSED])
    if framing == "length":
        whole = script(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + FIRST, UNTIL_CLOSED)
    upstream.will_answer(whole)
    arguments = ("--upstream", upstream.url, "--drain-timeout", "0.3")
    with running(*arguments) as process, RawClient(process.port) as client:
        client.send(GET)
        client.until(FIRST)
        told_to_end(process)
        assert not client.rest().endswith(b"0\r\n\r\n")
        upstream.received[0].wait_closed()
        assert process.wait() == 0


def test_a_slow_reader_gets_all_of_an_answer(upstream: ScriptedUpstream) -> None:
    """An answer that upstream has finished, but the client not read yet, is no idle connection: it is waited for."""
    size = 32_000_000
    upstream.will_answer(answer(200, bytes(size)))
    with running("--upstream", upstream.url, *SHORT) as process, RawClient(process.port) as client:
        client.send(GET)
        got = client.head()
        told_to_end(process)
        wait_deaf(lambda: knocked(process))
        assert got.values(b"content-length") == [b"%d" % size]
        assert client.exactly(size) == bytes(size)
        assert client.rest() == b""
        assert process.wait() == 0


def test_a_unix_socket_ends_in_order(upstream: ScriptedUpstream, tmp_path: object, gate: Gate) -> None:
    """The same holds on a Unix socket."""
    path = f"{tmp_path}/unpinned.sock"
    upstream.will_answer(event_stream([FIRST, gate, LAST]))
    with running("--upstream", upstream.url, "--listen", f"unix:{path}", *SHORT) as process:
        assert ready(process) == 200
        with connected(path) as client:
            client.sendall(GET)
            gate.wait_reached()
            told_to_end(process)
            wait_deaf(lambda: connected(path))
            gate.open()
            got = b""
            while piece := client.recv(65536):
                got += piece
        assert got.endswith(LAST + b"\r\n0\r\n\r\n")
        assert process.wait() == 0
