"""How upstream is reached: TLS, Unix sockets, and names with several addresses."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.http.base_url import base_url
from proxy.http.faults import Fault
from proxy.upstream import dialing
from proxy.upstream.client import Http1Client
from proxy.upstream.interface import Deadlines
from proxy.upstream.tls import client_context
from tests.support.certificates import Authority
from tests.support.raw_client import request
from tests.support.scripts import END, UNTIL_CLOSED, Gate, answer, event_stream, head, json_answer, script
from tests.support.upstream_server import ScriptedUpstream
from tests.upstream.conftest import Start, directly
from tests.upstream.test_faults import is_fault
from tests.upstream.test_pool import whole


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority of one's own."""
    return Authority(tmp_path)


@pytest.fixture
def secure(authority: Authority) -> Iterator[ScriptedUpstream]:
    """An upstream that speaks TLS under the name localhost."""
    with ScriptedUpstream(tls=authority.server_context("localhost")) as server:
        yield server


def test_tls_is_verified_and_names_the_host(start: Start, secure: ScriptedUpstream, authority: Authority) -> None:
    """Upstream gets TLS with its name (SNI), and HTTP/1.1 alone is offered."""
    asked: list[tuple[str | None, str | None]] = []

    def heard(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        asked.append((name, connection.version()))

    assert secure.tls is not None
    secure.tls.sni_callback = heard
    secure.will_answer(json_answer({"a": 1}), event_stream([b"data: 1\n\n"]))
    proxied = start(url=f"https://localhost:{secure.port}", tls=client_context(authority.ca_file))
    for body in (b'{"a": 1}', b"data: 1\n\n"):
        got = proxied.exchange(request(b"POST", b"/x", body=bytes(100_000)))
        assert (got.body, got.complete) == (body, True)
    assert [name for name, _ in asked] == ["localhost"]
    assert secure.received[1].body == bytes(100_000)


@pytest.mark.parametrize(("host", "trusted"), [("127.0.0.1", True), ("localhost", False)])
def test_a_certificate_that_does_not_verify_gets_nothing(
    start: Start, secure: ScriptedUpstream, authority: Authority, host: str, trusted: bool
) -> None:
    """Neither another's name nor an unknown authority is accepted, and no byte of the request is sent."""
    tls = client_context(authority.ca_file) if trusted else None
    got = start(url=f"https://{host}:{secure.port}", tls=tls).exchange(request(b"POST", b"/x", body=b"secret"))
    assert is_fault(got, "upstream_tls_failed")
    assert secure.received == []


def test_an_upstream_without_tls_gets_nothing(start: Start) -> None:
    """A server that answers the handshake in the clear is not spoken to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxied = start(url=f"https://127.0.0.1:{listener.getsockname()[1]}")
        with proxied.connect() as client:
            client.send(request(b"GET", b"/x"))
            connection, _ = listener.accept()
            with connection:
                assert connection.recv(5)[0] == 0x16  # a TLS handshake, and no request
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                assert is_fault(client.answer(), "upstream_tls_failed")


def test_a_stream_over_tls_is_relayed_as_it_comes(start: Start, secure: ScriptedUpstream, authority: Authority) -> None:
    """TLS holds nothing back, and a client that leaves is noticed through it."""
    gate = Gate()
    secure.will_answer(event_stream([b"data: 1\n\n", gate, b"data: 2\n\n", UNTIL_CLOSED]))
    proxied = start(url=f"https://localhost:{secure.port}", tls=client_context(authority.ca_file))
    with proxied.connect() as client:
        client.send(request(b"POST", b"/x", body=b"{}"))
        client.until(b"data: 1\n\n")
        gate.open()
        client.until(b"data: 2\n\n")
    secure.received[0].wait_closed()


def truncate(connection: socket.socket) -> None:
    """End the connection as an attacker would, without TLS's own end."""
    connection.shutdown(socket.SHUT_WR)


def test_an_end_that_tls_announces_is_believed(start: Start, secure: ScriptedUpstream, authority: Authority) -> None:
    """A body that is delimited by the connection's end is whole when TLS says that this was the end."""
    secure.will_answer(script(head(200), b"all", END))
    proxied = start(url=f"https://localhost:{secure.port}", tls=client_context(authority.ca_file))
    got = proxied.exchange(request(b"GET", b"/x"))
    assert (got.body, got.complete) == (b"all", True)


def test_an_end_that_tls_does_not_announce_is_a_cut(
    start: Start, secure: ScriptedUpstream, authority: Authority
) -> None:
    """Without TLS's own end anybody on the way may have cut the answer (RFC 9112, 9.8)."""
    secure.will_answer(script(head(200), b"so far", truncate, END))
    proxied = start(url=f"https://localhost:{secure.port}", tls=client_context(authority.ca_file))
    got = proxied.exchange(request(b"GET", b"/x"))
    assert (got.body, got.complete) == (b"so far", False)


@directly
def test_a_unix_socket_is_an_upstream(start: Start, tmp_path: Path) -> None:
    """Upstream may listen on a Unix socket, with or without a base path."""
    path = str(tmp_path / "upstream.sock")
    with ScriptedUpstream(family=socket.AF_UNIX, path=path) as upstream:
        upstream.will_answer(answer(200, b"here"))
        proxied = start(url=f"http://unix:{path}", path=":/v2")
        assert proxied.exchange(request(b"GET", b"/v1/x")).body == b"here"
        assert (upstream.received[0].target, upstream.received[0].values(b"host")) == (b"/v2/x", [b"localhost"])


@directly
def test_a_unix_socket_that_is_not_there_is_unreachable(start: Start, tmp_path: Path) -> None:
    """A missing socket is a connection that cannot be made."""
    assert is_fault(start(url=f"http://unix:{tmp_path}/none").exchange(request(b"GET", b"/x")), "upstream_unreachable")


Addresses = list[tuple[int, tuple[Any, ...]]]


def at(port: int) -> tuple[int, tuple[Any, ...]]:
    """An address of this machine."""
    return socket.AF_INET, ("127.0.0.1", port)


def run_with(monkeypatch: pytest.MonkeyPatch, addresses: Addresses, connect: float = 5.0) -> bytes:
    """The answer of the upstream that a name with `addresses` leads to."""

    async def getaddrinfo(*_: object, **__: object) -> list[tuple[int, int, int, str, tuple[Any, ...]]]:
        return [(family, socket.SOCK_STREAM, 6, "", address) for family, address in addresses]

    async def main() -> bytes:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        client = Http1Client(base_url("http://several.test"), Deadlines(connect=connect))
        try:
            return await whole(client)
        finally:
            await client.close()

    return asyncio.run(main())


def closed_port() -> int:
    """A port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_an_address_that_refuses_is_passed_over(upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of which one address is down is reached through the next, without waiting."""
    upstream.will_answer(answer(200, b"here"))
    monkeypatch.setattr(dialing, "HEAD_START", 3600.0)
    refused, good = at(closed_port()), at(upstream.port)
    assert run_with(monkeypatch, [refused, refused, good]) == b"here"


def test_an_address_that_is_silent_does_not_hold_up_the_others(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, deaf: str
) -> None:
    """The next address is tried while the first still does not answer; what comes late is closed."""
    upstream.will_answer(answer(200, b"here"))
    silent, good = at(base_url(deaf).port), at(upstream.port)
    monkeypatch.setattr(dialing, "HEAD_START", 0.01)
    assert run_with(monkeypatch, [silent, good, good]) == b"here"


def test_addresses_that_answer_together_leave_one_connection(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several addresses that answer in the same moment one is taken, and the others are closed."""
    upstream.will_answer(answer(200, b"here"))
    attempt, connected, all_there = dialing._attempt, [], asyncio.Event()

    async def together(family: int, address: tuple[Any, ...]) -> socket.socket:
        connected.append(await attempt(family, address))
        own = connected[-1]
        if len(connected) == 5:
            all_there.set()
        await all_there.wait()
        return own

    monkeypatch.setattr(dialing, "_attempt", together)
    monkeypatch.setattr(dialing, "HEAD_START", 0.0)
    assert run_with(monkeypatch, [at(upstream.port)] * 5) == b"here"


def test_a_name_none_of_whose_addresses_answers_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """All refuse: one fault."""
    refused = at(closed_port())
    for addresses in ([refused], [refused, refused]):
        with pytest.raises(Fault) as caught:
            run_with(monkeypatch, addresses)
        assert caught.value.code == "upstream_unreachable"


def test_a_name_all_of_whose_addresses_are_silent_is_given_up_in_time(
    monkeypatch: pytest.MonkeyPatch, deaf: str
) -> None:
    """The connect deadline covers all attempts together."""
    silent = at(base_url(deaf).port)
    with pytest.raises(Fault) as caught:
        run_with(monkeypatch, [silent, silent], connect=0.4)
    assert caught.value.code == "upstream_connect_timeout"


def test_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses are tried in the resolver's order, but with the families alternating (RFC 8305, 4)."""
    six = [(socket.AF_INET6, (f"::{number}", 1, 0, 0)) for number in range(3)]
    four = [(socket.AF_INET, ("127.0.0.1", number)) for number in range(1)]

    async def getaddrinfo(*_: object, **__: object) -> list[tuple[int, int, int, str, tuple[Any, ...]]]:
        return [(family, socket.SOCK_STREAM, 6, "", address) for family, address in [*six, *four]]

    async def main() -> Addresses:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        return await dialing._addresses("a.test", 1)

    assert asyncio.run(main()) == [six[0], four[0], six[1], six[2]]
