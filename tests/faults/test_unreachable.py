"""Upstream cannot be reached: the process starts all the same, says so to each client, and recovers by itself."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.conftest import CONVERSATION, GET, KINDS, conversation, is_fault, product
from tests.support.certificates import Authority
from tests.support.process import Process, running
from tests.support.raw_client import PATIENCE, RawAnswer, RawClient, exchange
from tests.support.scripts import END, answer, json_answer
from tests.support.upstream_server import ScriptedUpstream


def asked(*arguments: str) -> list[RawAnswer]:
    """What requests of each kind are told by a process with these arguments."""
    with running(*arguments) as process:
        return [exchange(process.port, raw) for raw in KINDS.values()]


@pytest.fixture
def deaf() -> Iterator[str]:
    """The URL of a listener whose queue of connections is full, so that another is neither accepted nor refused."""
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_port_where_nobody_listens() -> None:
    """502, and the SDKs are told that they may ask again, because nothing was sent."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        for got in asked("--upstream", f"http://127.0.0.1:{nobody.getsockname()[1]}"):
            assert is_fault(got, "upstream_unreachable")
            assert got.values(b"x-should-retry") == [b"true"]


def test_a_name_that_nobody_knows() -> None:
    """The process starts without its upstream's name, and tells each client: 502."""
    nowhere = ".".join(5 * [60 * "a"])  # longer than a name may be: no resolver has to be asked
    for got in asked("--upstream", f"http://{nowhere}"):
        assert is_fault(got, "upstream_unreachable")


def test_a_host_that_does_not_answer(deaf: str) -> None:
    """A connection that is neither made nor refused is given up after the connect deadline: 504, nothing was sent."""
    for got in asked("--upstream", deaf, "--connect-timeout", "0.3"):
        assert is_fault(got, "upstream_connect_timeout")
        assert got.values(b"x-should-retry") == [b"true"]


@pytest.mark.parametrize(
    ("host", "names", "trusted", "years"),
    [
        pytest.param("localhost", ["localhost"], False, "20491231", id="untrusted"),
        pytest.param("localhost", ["localhost"], True, "20210101", id="expired"),
        pytest.param("localhost", ["elsewhere.test"], True, "20491231", id="another's name"),
        pytest.param("127.0.0.1", ["localhost"], True, "20491231", id="a name for an address"),
    ],
)
def test_a_certificate_that_proves_nothing(
    tmp_path: Path, host: str, names: list[str], trusted: bool, years: str
) -> None:
    """An upstream that cannot prove who it is gets no byte of a request: 502."""
    authority = Authority(tmp_path)
    trust = ("--ca-file", authority.ca_file) if trusted else ()
    with ScriptedUpstream(tls=authority.server_context(*names, until=years[2:])) as upstream:
        for got in asked("--upstream", f"https://{host}:{upstream.port}", *trust):
            assert is_fault(got, "upstream_tls_failed")
            assert got.values(b"x-should-retry") == [b"true"]
        assert upstream.received == []


def test_a_certificate_that_proves_it(tmp_path: Path) -> None:
    """The same upstream with a certificate that is in order is spoken to."""
    authority = Authority(tmp_path)
    with ScriptedUpstream(tls=authority.server_context("localhost")) as upstream:
        upstream.will_always_answer(answer(200, b"yes"))
        found = asked("--upstream", f"https://localhost:{upstream.port}", "--ca-file", authority.ca_file)
        assert [got.body for got in found] == [b"yes"] * len(KINDS)


def test_tls_where_there_is_none() -> None:
    """An upstream that answers a TLS handshake in the clear gets no byte of a request: 502."""
    heard: list[bytes] = []

    def refuse(listener: socket.socket) -> None:
        for _ in KINDS:
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(65536)[:1])
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        refusing = threading.Thread(target=refuse, args=(listener,), daemon=True)
        refusing.start()
        for got in asked("--upstream", f"https://127.0.0.1:{listener.getsockname()[1]}", "--connect-timeout", "20"):
            assert is_fault(got, "upstream_tls_failed")
        refusing.join(PATIENCE)
    assert heard == [b"\x16"] * len(KINDS)  # handshakes


def test_a_port_that_wants_tls(tmp_path: Path) -> None:
    """A server of TLS that is spoken to in the clear says nothing that is an answer: 502."""
    with ScriptedUpstream(tls=Authority(tmp_path).server_context("localhost")) as upstream:
        for got in asked("--upstream", f"http://127.0.0.1:{upstream.port}"):
            assert got.status == 502
            assert is_fault(got, "upstream_disconnected") or is_fault(got, "upstream_invalid_answer")


def again(port: int) -> ScriptedUpstream:
    """An upstream at a port where one was before."""
    return ScriptedUpstream(port=port)


def heard(process: Process, raw: bytes) -> int:
    """The status of the answer."""
    return exchange(process.port, raw).status


def test_a_restart_of_upstream() -> None:
    """While upstream is away clients are told so; as soon as it is back they are answered, without anybody's help."""
    with product() as made:
        port = made.upstream.port
        with RawClient(made.process.port) as kept:
            for _ in range(3):  # several connections to upstream, idle when it ends
                assert made.ask(CONVERSATION, json_answer({})).status == 200
            made.upstream.close()
            assert is_fault(exchange(made.process.port, CONVERSATION), "upstream_unreachable")
            assert is_fault(exchange(made.process.port, GET), "upstream_unreachable")
            with again(port) as upstream:
                upstream.will_always_answer(answer(200, b"back"))
                kept.send(CONVERSATION)
                assert kept.answer().body == b"back"
                assert heard(made.process, GET) == 200
                assert len(upstream.received) == 2


def test_a_connection_that_closes_while_it_is_idle() -> None:
    """Upstreams close what is idle without a word: the next request takes another connection, and no client knows."""
    with product() as made, made.one_test(), made.connect() as client:
        for count in range(1, 21):
            made.upstream.will_answer([*answer(200, b"%d" % count), END])
            client.send(CONVERSATION)
            assert client.answer().body == b"%d" % count
            made.upstream.wait_received(count).wait_over()
        assert len({attempt.connection for attempt in made.attempts}) == len(made.attempts) == 20


def test_a_connection_that_closes_in_the_moment_of_a_request() -> None:
    """A connection that ends while a request is on its way to it may have carried it: 502 or an answer, never two."""
    with product() as made, made.one_test():
        for count in range(1, 41):
            got = made.ask(conversation(), [*answer(200, b"mine"), END])
            if got.status == 502:  # the script was not played
                assert is_fault(got, "upstream_disconnected") or is_fault(got, "upstream_unreachable")
                made.upstream._scripts.clear()
            else:
                assert (got.status, got.body) == (200, b"mine")
            assert len(made.attempts) <= count
        made.attempts[-1].wait_over()  # the last one's end does not surprise who asks next
