"""The process: where it listens, what it waits for, how it ends. Each test runs `python -m proxy`."""

import json
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy import __version__
from proxy.build import build
from tests.support.process import COMMAND, Process, running
from tests.support.raw_client import RawAnswer, RawClient, exchange, request
from tests.support.scripts import Gate, Script, answer, event_stream, json_answer
from tests.support.upstream_server import ScriptedUpstream

GET = request(b"GET", b"/v1/models")
FIRST, LAST = b"data: first\n\n", b"data: last\n\n"


def code_of(received: RawAnswer) -> str:
    """The code of an error in OpenAI's shape."""
    error = json.loads(received.body)["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert received.values(b"x-unpinned-request-id")[0].startswith(b"req-")
    return str(error["code"])


def status(port: int, path: bytes) -> int:
    """The status of a GET."""
    return exchange(port, request(b"GET", path)).status


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate that is open in the end, whatever happens."""
    gate = Gate()
    yield gate
    gate.open()


def stream(gate: Gate) -> Script:
    """An event stream that waits at `gate` between its first and its last event."""
    return event_stream([FIRST, gate, LAST])


@pytest.fixture
def process(upstream: ScriptedUpstream) -> Iterator[Process]:
    """The proxy with every setting at its default, but for where it listens and what is upstream."""
    with running("--upstream", upstream.url) as process:
        yield process


def test_it_says_where_it_listens(process: Process, upstream: ScriptedUpstream) -> None:
    """When all listeners are ready, one line says where they are, and what runs: upstream, mode, version."""
    assert status(process.admin_port, b"/livez") == 200
    memory = process.log[0]["max_memory"] >> 20
    assert memory > 0
    assert process.log[0]["message"] == (
        f"Listening on http://127.0.0.1:{process.port} (upstream {upstream.url}, mode auto, store off, "
        f"memory {memory} MiB, version {__version__} {build()}), "
        f"health and metrics on http://127.0.0.1:{process.admin_port}"
    )


def test_requests_are_answered_by_upstream(process: Process, upstream: ScriptedUpstream) -> None:
    """Upstream's answer is the client's, with upstream's date and server and none of ours."""
    fields = [(b"Date", b"Sun, 06 Nov 1994 08:49:37 GMT"), (b"Server", b"cloudflare")]
    upstream.will_answer(json_answer({"object": "list"}, fields=fields))
    received = exchange(process.port, GET)
    assert (received.status, received.body) == (200, b'{"object": "list"}')
    assert received.values(b"date") == [b"Sun, 06 Nov 1994 08:49:37 GMT"]
    assert received.values(b"server") == [b"cloudflare"]


def test_the_admin_listener_is_apart(process: Process, upstream: ScriptedUpstream) -> None:
    """Health is answered on the admin listener alone; on the other every path is upstream's."""
    assert status(process.admin_port, b"/readyz") == 200
    assert status(process.admin_port, b"/v1/models") == 404
    upstream.will_answer(answer(418))
    assert status(process.port, b"/livez") == 418


def test_no_admin_listener(upstream: ScriptedUpstream) -> None:
    """The admin listener can be left out, in the environment as well."""
    with running(UNPINNED_UPSTREAM=upstream.url, UNPINNED_ADMIN_LISTEN="off", UNPINNED_MODE="observe") as process:
        upstream.will_answer(answer(200))
        assert exchange(process.port, GET).status == 200
        assert process.log[0]["message"].partition(", store")[0].endswith(f" (upstream {upstream.url}, mode observe")
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_orderly_end(process: Process, upstream: ScriptedUpstream, gate: Gate, number: signal.Signals) -> None:
    """Told to end, it says that it is not ready, takes nothing new, lets a running stream finish, and exits with 0."""
    upstream.will_answer(stream(gate))
    with RawClient(process.port) as client:
        client.send(GET)
        client.until(FIRST)
        process.send_signal(number)
        process.wait_message("Shutting down")
        assert status(process.admin_port, b"/readyz") == 503
        assert status(process.admin_port, b"/livez") == 200
        gate.open()
        assert client.rest().endswith(LAST + b"\r\n0\r\n\r\n")
    assert process.wait() == 0
    with pytest.raises(ConnectionRefusedError):
        RawClient(process.port)


def test_the_end_of_a_drain(upstream: ScriptedUpstream, gate: Gate) -> None:
    """A stream that takes longer than the drain may is cut, visibly, and the exit code is still 0."""
    upstream.will_answer(stream(gate))
    with running("--upstream", upstream.url, "--drain-timeout", "0.2") as process, RawClient(process.port) as client:
        client.send(GET)
        client.until(FIRST)
        process.send_signal(signal.SIGTERM)
        assert not client.rest().endswith(b"0\r\n\r\n")
        assert process.wait() == 0
        assert process.wait_message("GET ")["complete"] is False


def test_a_second_signal_ends_at_once(process: Process, upstream: ScriptedUpstream, gate: Gate) -> None:
    """Told twice, it does not wait for running streams."""
    upstream.will_answer(stream(gate))
    with RawClient(process.port) as client:
        client.send(GET)
        client.until(FIRST)
        process.send_signal(signal.SIGTERM)
        process.wait_message("Shutting down")
        process.send_signal(signal.SIGINT)
        assert not client.rest().endswith(b"0\r\n\r\n")
        assert process.wait() == 0


@pytest.mark.parametrize("flag", ["--listen", "--admin-listen"])
def test_a_taken_port(flag: str) -> None:
    """Where somebody else listens already, one sentence says so, and the code is 2."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        with running(flag, taken, "--upstream", "http://127.0.0.1:1") as process:
            assert process.wait() == 2
            said = f"unpinned: {flag}: cannot listen on {taken}: another program listens there. Stop it, or choose "
            assert process.text.startswith(f"{said}another place, as with {flag} 127.0.0.1:")
            assert len(process.log) == 1


def test_bad_settings() -> None:
    """A bad setting is one sentence, and code 2."""
    with running(UNPINNED_MODE="stripp") as process:
        assert process.wait() == 2
    assert process.log == ["unpinned: UNPINNED_MODE is 'stripp', but must be auto or strip or recover or observe."]


def test_ipv6(upstream: ScriptedUpstream) -> None:
    """It listens on IPv6, and on both where that is every address."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with running("--listen", "[::1]:0", "--admin-listen", "[::]:0", "--upstream", upstream.url) as process:
        assert status(process.admin_port, b"/livez") == 200
        assert process.log[0]["listen"].startswith("http://[::1]:")
        with socket.create_connection(("::1", process.port)) as client:
            upstream.will_answer(answer(200))
            client.sendall(GET)
            assert client.recv(12) == b"HTTP/1.1 200"


def unix_status(path: Path) -> bytes:
    """The status line's beginning of a GET over a Unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(GET)
        return client.recv(12)


@pytest.mark.parametrize("crashed", [False, True])
def test_unix_sockets(upstream: ScriptedUpstream, tmp_path: Path, *, crashed: bool) -> None:
    """It listens on a Unix socket, also where a crash left one behind, but not in anybody's place; it tidies up."""
    path = tmp_path / "unpinned.sock"
    if crashed:
        with socket.socket(socket.AF_UNIX) as left_over:
            left_over.bind(str(path))
    upstream.will_answer(answer(200), answer(200))
    with running("--listen", f"unix:{path}", "--upstream", upstream.url) as process:
        assert status(process.admin_port, b"/readyz") == 200
        assert process.log[0]["listen"] == f"unix:{path}"
        assert unix_status(path) == b"HTTP/1.1 200"
        with running("--listen", f"unix:{path}", "--upstream", upstream.url) as second:
            assert second.wait() == 2
            assert f"--listen: cannot listen on unix:{path}" in second.text
        assert unix_status(path) == b"HTTP/1.1 200"
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    assert not path.exists()


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    """What is no socket is not removed to make place for one."""
    path = tmp_path / "precious"
    path.write_text("data")
    with running("--listen", f"unix:{path}", "--upstream", "http://127.0.0.1:1") as process:
        assert process.wait() == 2
    assert path.read_text() == "data"


@pytest.fixture
def impatient(upstream: ScriptedUpstream) -> Iterator[Process]:
    """A proxy that waits for a head, and keeps an idle connection, for a moment only."""
    arguments = ("--upstream", upstream.url, "--header-timeout", "0.3", "--client-keepalive", "0.3")
    with running(*arguments) as process:
        yield process


def test_slow_heads(impatient: Process, upstream: ScriptedUpstream) -> None:
    """A head that does not come in time is answered 408 and the connection closed, also amid a connection's life."""
    upstream.will_answer(answer(200))
    with RawClient(impatient.port) as client:
        client.send(GET[:-2])
        received = client.answer()
        assert (received.status, code_of(received)) == (408, "header_timeout")
        assert client.rest() == b""
    with RawClient(impatient.port) as client:
        client.send(GET)
        assert client.answer().status == 200
        client.send(GET[:10])
        assert client.answer().status == 408


def test_silent_connections(impatient: Process, upstream: ScriptedUpstream) -> None:
    """A connection that asks nothing, from its beginning or after an answer, is closed without a word."""
    upstream.will_answer(answer(200))
    with RawClient(impatient.port) as client:
        assert client.rest() == b""
    with RawClient(impatient.port) as client:
        client.send(GET)
        assert client.answer().status == 200
        assert client.rest() == b""


def test_the_head_alone_has_that_deadline(impatient: Process, upstream: ScriptedUpstream, gate: Gate) -> None:
    """Once the head is there, neither a slow body nor a slow answer is measured by its deadline."""
    upstream.will_answer(stream(gate))
    with RawClient(impatient.port) as client:
        client.send(request(b"POST", b"/v1/files", [(b"Content-Length", b"2")]) + b"a")
        assert not client.readable_within(0.6)
        client.send(b"b")
        client.until(FIRST + b"\r\n")
        assert not client.readable_within(0.6)
        gate.open()
        client.until(LAST)
    assert upstream.received[0].body == b"ab"


@pytest.mark.parametrize(
    "garbage", [b"\x00\x01\x02\x03\r\n\r\n", b"GET / HTTP/1.1\r\nbad header\r\n\r\n", b"\x16\x03\x01"]
)
def test_garbage(process: Process, garbage: bytes) -> None:
    """What is no HTTP is refused in OpenAI's shape, and the connection closed."""
    with RawClient(process.port) as client:
        client.send(garbage)
        received = client.answer()
        assert (received.status, code_of(received)) == (400, "invalid_request")
        assert received.values(b"connection") == [b"close"]
        assert client.rest() == b""


def test_garbage_amid_an_answer(process: Process, upstream: ScriptedUpstream, gate: Gate) -> None:
    """Garbage behind a request whose answer is under way is no part of that answer: it is cut."""
    upstream.will_answer(stream(gate))
    with RawClient(process.port) as client:
        client.send(GET)
        client.until(FIRST + b"\r\n")
        client.send(b"\x00\x01\x02\x03\r\n\r\n")
        assert client.rest() == b""


def test_too_many_requests(upstream: ScriptedUpstream, gate: Gate) -> None:
    """Beyond the limit a request is refused at once, and the running ones go on."""
    upstream.will_answer(stream(gate), answer(200))
    with running("--upstream", upstream.url, "--max-requests", "1") as process, RawClient(process.port) as client:
        client.send(GET)
        client.until(FIRST)
        refused = exchange(process.port, GET)
        assert (refused.status, code_of(refused)) == (503, "overloaded")
        assert refused.values(b"retry-after") == [b"1"]
        gate.open()
        client.until(b"0\r\n\r\n")
        assert exchange(process.port, GET).status == 200


def test_descriptors(upstream: ScriptedUpstream) -> None:
    """It takes as many descriptors as it may, whatever the soft limit it was started with."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    command = ("sh", "-c", 'ulimit -S -n 128; exec "$@"', "sh", *COMMAND)
    with running("--upstream", upstream.url, command=command) as process:
        assert status(process.admin_port, b"/livez") == 200
        assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (hard, hard)


SECRETS = ("sk-hunter2", "s3cr3t-text", "q-s3cr3t", "f-s3cr3t", "u-s3cr3t")


def test_no_secret_is_logged(upstream: ScriptedUpstream) -> None:
    """At any level, no key, no body, no query and no field's value stands in the log; ids do at DEBUG, on one line."""
    conversation: Any = {
        "previous_response_id": "resp_1",
        "input": [
            {"role": "user", "content": "s3cr3t-text"},
            {"type": "message", "id": "msg_1\n\x1b[31m", "role": "assistant", "content": "s3cr3t-text"},
            {"role": "user", "content": "s3cr3t-text"},
        ],
    }
    fields = [(b"Authorization", b"Bearer sk-hunter2"), (b"X-Custom", b"f-s3cr3t")]
    raw = request(b"POST", b"/u-s3cr3t/v1/responses?x=q-s3cr3t", fields, json.dumps(conversation).encode())
    upstream.will_answer(json_answer({"text": "s3cr3t-text"}, fields=[(b"X-Answer", b"f-s3cr3t")]))
    with running("--upstream", upstream.url, "--log-level", "debug") as process:
        assert exchange(process.port, raw).status == 200
        assert exchange(process.port, b"GET /u-s3cr3t HTTP/1.1\r\nf-s3cr3t sk-hunter2\r\n\r\n").status == 400
        process.wait_message("POST /{id}/v1/responses 200")
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    assert not [secret for secret in SECRETS if secret in process.text]
    messages = [line["message"] for line in process.log]
    assert "Ignoring previous_response_id resp_1" in messages
    assert "Removing item_id: msg_1\\x0a\\x1b[31m" in messages
