"""An open tunnel: bytes pass both ways as they are, and each end is the other side's end as it was."""

import signal
import time

import pytest

from proxy.streams.stream import HIGH_WATER
from tests.support.certificates import Authority
from tests.support.connect_proxy import ConnectProxy
from tests.support.handshakes import Hearing, echo, handshake, switching
from tests.support.process import running
from tests.support.raw_client import PATIENCE, RawClient
from tests.support.scripts import END, RESET, Flood, Gate, script
from tests.support.upstream_server import ScriptedUpstream
from tests.websockets.conftest import Front

# Frames that no library would send: nothing here looks at them.
FRAMES = {
    "a fragmented text": b"\x01\x83abcd\x02\x03\x04\x89\x80abcd\x80\x81abcdx",
    "unmasked": b"\x81\x05hello",
    "a reserved opcode": b"\x8b\x80abcd",
    "a ping too long": b"\x89\xfe\x00\x80abcd" + bytes(128),
    "reserved bits": b"\xf1\x83abcdxyz",
    "a length of 2^63": b"\x82\xff" + b"\x80" + bytes(7) + b"abcd",
    "no UTF-8": b"\x81\x83\0\0\0\0\xff\xfe\xfd",
    "half a frame": b"\x82\xfe\xff",
    "a close with code and reason": b"\x88\x86abcd" + bytes([0x0F ^ 0x61, 0xA3 ^ 0x62]) + b"bye!",
    "no frames at all": b"\r\n\r\nGET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("case", FRAMES)
def test_every_byte_passes_in_both_directions(front: Front, case: str) -> None:
    """Masks, fragments, reserved bits, lengths and close codes: the bytes are the same on the other side."""
    hearing = Hearing()
    frames = FRAMES[case]
    with front.opened(script(switching(), frames, hearing)) as client:
        assert client.exactly(len(frames)) == frames
        client.send(frames)
        client.end()
        hearing.wait_over()
    assert bytes(hearing.data) == frames
    assert not hearing.was_reset


def test_a_long_conversation(front: Front) -> None:
    """Ten megabytes each way, at the same time."""
    data = bytes(range(256)) * 40_000
    with front.opened(script(switching(), echo, END)) as client:
        taken = b""
        for at in range(0, len(data), 65_536):
            client.send(data[at : at + 65_536])
            taken += client.exactly(min(65_536, len(data) - at))
        assert taken == data
        client.end()
        assert client.rest() == b""


def test_the_clients_end_is_upstreams(front: Front) -> None:
    """A FIN behind the last byte; what upstream still says then reaches the client, and its own FIN."""
    hearing = Hearing()
    with front.opened(script(switching(), hearing, b"bye", END)) as client:
        client.send(b"x" * 100_000)
        client.end()
        assert client.rest() == b"bye"
    assert (len(hearing.data), hearing.was_reset) == (100_000, False)


def test_upstreams_end_is_the_clients(front: Front) -> None:
    """The same the other way round: a client may say its last word after upstream's FIN."""
    hearing = Hearing()

    def half_close(connection: object) -> None:
        connection.shutdown(1)  # type: ignore[attr-defined]

    with front.opened(script(switching(), b"x" * 100_000, half_close, hearing, END)) as client:
        assert client.rest() == b"x" * 100_000
        client.send(b"bye")
        client.end()
        hearing.wait_over()
    assert (bytes(hearing.data), hearing.was_reset) == (b"bye", False)


def test_upstreams_reset_is_the_clients(front: Front) -> None:
    """A connection that broke off does not look as if it had ended."""
    with front.opened(script(switching(), b"half", RESET)) as client:
        assert client.is_reset()


def test_the_clients_reset_is_upstreams(front: Front) -> None:
    """Upstream need not go on for a client that is gone."""
    hearing = Hearing()
    with front.opened(script(switching(), hearing)) as client:
        client.send(b"half")
        hearing.wait(b"half")
        client.reset()
        hearing.wait_over()
    assert hearing.was_reset


def test_a_client_that_drops_its_connection(front: Front) -> None:
    """Codex ends without a close frame: a FIN, and upstream is let go of at once, or within two seconds."""
    hearing = Hearing()
    gate = Gate()
    with front.opened(script(switching(), hearing, gate)) as client:
        client.send(b"x")
        hearing.wait(b"x")
    hearing.wait_over()
    began = time.monotonic()
    front.process.wait_logged(lambda line: line.get("client_bytes") == 1)
    assert time.monotonic() - began < PATIENCE / 2
    gate.open()


def test_a_slow_client_stops_upstream(front: Front) -> None:
    """Upstream is not read while the client is not: little more than 64 KiB waits here, and in the end all arrives."""
    flood = Flood(60_000_000)
    with front.opened(script(switching(), flood, END)) as client:
        assert flood.wait_stalled() < 40_000_000
        assert len(client.rest()) == flood.size


def test_a_slow_upstream_stops_the_client(front: Front) -> None:
    """The same in the other direction."""
    gate, hearing = Gate(), Hearing()
    with front.opened(script(switching(), gate, hearing)) as client:
        size = 60_000_000
        taken = client.send_until_stalled(bytes(size))
        assert HIGH_WATER < taken < 40_000_000
        gate.open()
        client.send(bytes(size - taken))
        client.end()
        hearing.wait_over()
    assert len(hearing.data) == size


def test_a_killed_process_is_a_broken_connection() -> None:
    """Both sides end where it is killed (-9), with what the kernel says for it."""
    hearing = Hearing()
    with ScriptedUpstream() as upstream, running("--upstream", upstream.url) as process:
        upstream.will_answer(script(switching(), hearing))
        with RawClient(process.port) as client:
            client.send(handshake())
            assert client.head().status == 101
            process.send_signal(signal.SIGKILL)
            assert client.rest() == b""
            hearing.wait_over()


@pytest.fixture(params=["directly", "through a proxy"])
def way(request: pytest.FixtureRequest) -> object:
    """Arguments for the way to upstream."""
    if request.param == "directly":
        yield ()
        return
    with ConnectProxy(credentials="user:secret") as proxy:
        yield ("--upstream-proxy", proxy.url)
        assert proxy.targets


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_on_every_way_to_upstream(way: tuple[str, ...], tls: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    """With TLS and without, directly and by CONNECT, bytes pass and an announced end is an end."""
    authority = Authority(tmp_path_factory.mktemp("ca"))
    context = authority.server_context("127.0.0.1") if tls else None
    with (
        ScriptedUpstream(tls=context) as upstream,
        running("--upstream", upstream.url, "--ca-file", authority.ca_file, *way) as process,
    ):
        hearing = Hearing()

        def some(connection: object) -> None:
            hearing.data += connection.recv(65_536)  # type: ignore[attr-defined]

        upstream.will_answer(script(switching() + b"first", some, b"last", END))
        with RawClient(process.port) as client:
            client.send(handshake() + b"behind")
            assert client.head().status == 101
            assert client.rest() == b"firstlast"
        assert bytes(hearing.data) == b"behind"


@pytest.mark.parametrize("proxied", [False, True], ids=["directly", "through a proxy"])
def test_tls_that_ends_unannounced_is_a_reset(proxied: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A FIN without close_notify may be an attacker's: for a tunnel's or session's client the connection broke off."""
    authority = Authority(tmp_path_factory.mktemp("ca"))

    def vanish(connection: object) -> None:
        connection.shutdown(2)  # type: ignore[attr-defined]

    with (
        ConnectProxy() as proxy,
        ScriptedUpstream(tls=authority.server_context("127.0.0.1")) as upstream,
        running(
            "--upstream",
            upstream.url,
            "--ca-file",
            authority.ca_file,
            *(("--upstream-proxy", proxy.url) if proxied else ()),
        ) as process,
    ):
        for target in (b"/v1/realtime", b"/v1/responses"):
            upstream.will_answer(script(switching() + b"half", vanish))
            with RawClient(process.port) as client:
                client.send(handshake(target))
                assert client.head().status == 101
                assert client.is_reset()


def test_a_client_that_ends_before_tls_upstream(tmp_path_factory: pytest.TempPathFactory) -> None:
    """TLS has no half to close: upstream has two seconds for its last words, and is closed then, with close_notify."""
    authority = Authority(tmp_path_factory.mktemp("ca"))
    with (
        ScriptedUpstream(tls=authority.server_context("127.0.0.1")) as upstream,
        running("--upstream", upstream.url, "--ca-file", authority.ca_file) as process,
    ):
        hearing, other = Hearing(), Hearing()

        def some(connection: object) -> None:
            hearing.data += connection.recv(65_536)  # type: ignore[attr-defined]

        upstream.will_answer(script(switching(), some, b"last words", END), script(switching(), other))
        with RawClient(process.port) as client:
            client.send(handshake())
            assert client.head().status == 101
            client.send(b"bye")
            client.end()
            assert client.rest() == b"last words"
        assert bytes(hearing.data) == b"bye"
        with RawClient(process.port) as client:
            client.send(handshake())
            assert client.head().status == 101
            client.end()
            other.wait_over()
            assert not other.was_reset


def test_a_slow_tls_upstream_gets_every_byte(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Back-pressure holds over TLS as well, and the client's end comes behind its last byte."""
    authority = Authority(tmp_path_factory.mktemp("ca"))
    with (
        ScriptedUpstream(tls=authority.server_context("127.0.0.1")) as upstream,
        running("--upstream", upstream.url, "--ca-file", authority.ca_file) as process,
    ):
        gate, hearing = Gate(), Hearing()
        upstream.will_answer(script(switching(), gate, hearing))
        with RawClient(process.port) as client:
            client.send(handshake())
            assert client.head().status == 101
            size = 30_000_000
            taken = client.send_until_stalled(bytes(size))
            assert taken < size / 2
            gate.open()
            client.send(bytes(size - taken))
            client.end()
            hearing.wait_over()
        assert (len(hearing.data), hearing.was_reset) == (size, False)
