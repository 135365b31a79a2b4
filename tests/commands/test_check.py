"""`unpinned check`: what can be known of the settings before anything depends on them."""

import datetime as dt
import re
import socket
import threading
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from proxy.cli import main
from tests.support.certificates import Authority
from tests.support.connect_proxy import ConnectProxy
from tests.support.scripts import answer
from tests.support.upstream_server import ScriptedUpstream


def _date(seconds: float = 0.0) -> list[tuple[bytes, bytes]]:
    moment = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds)
    return [(b"date", format_datetime(moment, usegmt=True).encode())]


def _checked(capsys: Any, *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(["check", "--max-requests", "10", "--max-connections", "10", *arguments])
    return int(ended.value.code or 0), capsys.readouterr().out


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_all_is_well(capsys: Any) -> None:
    """A plain upstream gets one HEAD without a key; its clock and the limits are reported."""
    with ScriptedUpstream() as upstream:
        upstream.will_answer(answer(421, b"", _date(2)))
        code, said = _checked(capsys, "--upstream", f"{upstream.url}/v1")
        (request,) = upstream.received
    assert code == 0
    assert (request.method, request.target) == (b"HEAD", b"/v1")
    assert {name for name, _ in request.fields} == {b"host", b"user-agent"}
    assert "BAD" not in said
    assert "is answered 421 in" in said
    assert "seconds ahead of upstream's" in said
    assert "descriptors for 10 requests and 10 connections" in said


def test_a_store(capsys: Any, tmp_path: Path) -> None:
    """A store that is set is looked at as well, and one that is not ready is bad."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with ScriptedUpstream() as upstream:
        upstream.will_always_answer(answer(421))
        missing = _checked(capsys, "--upstream", f"{upstream.url}/v1", "--store", url)
        with pytest.raises(SystemExit):
            main(["store", "init", "--store", url])
        ready = _checked(capsys, "--upstream", f"{upstream.url}/v1", "--store", url)
    assert (missing[0], "BAD  the store" in missing[1], "unpinned store init" in missing[1]) == (1, True, True)
    assert (ready[0], "ok   the store" in ready[1]) == (0, True)


def test_tls(capsys: Any, tmp_path: Path) -> None:
    """The version of TLS, the trust store and the certificate's remaining days are reported."""
    authority = Authority(tmp_path)
    with ScriptedUpstream(tls=authority.server_context("127.0.0.1")) as upstream:
        upstream.will_always_answer(answer(404))
        code, said = _checked(capsys, "--upstream", upstream.url, "--ca-file", authority.ca_file)
    assert code == 0
    assert f"TLSv1.3, certificate verified by the authorities in {authority.ca_file}; it expires in" in said


def test_the_listeners_certificate(capsys: Any, tmp_path: Path) -> None:
    """A certificate of the listener's own is looked at; files that cannot be used are bad."""
    authority = Authority(tmp_path)
    files = ("--tls-cert", str(authority.issue("localhost")), "--tls-client-ca", authority.ca_file)
    with ScriptedUpstream() as upstream:
        upstream.will_always_answer(answer(404))
        code, said = _checked(capsys, "--upstream", upstream.url, *files)
        bad, complaint = _checked(capsys, "--upstream", upstream.url, *files, "--tls-key", authority.ca_file)
    assert (code, "ok   the listener's certificate fits its key, and clients need one" in said) == (0, True)
    assert bad == 1
    assert f"BAD  --tls-key: {authority.ca_file} holds no private key in PEM format\n" in complaint


def test_tls_that_does_not_verify(capsys: Any, tmp_path: Path) -> None:
    """A certificate that the trust store does not know is bad, and ends the check."""
    with ScriptedUpstream(tls=Authority(tmp_path).server_context("127.0.0.1")) as upstream:
        code, said = _checked(capsys, "--upstream", upstream.url)
        assert upstream.received == []
    assert code == 1
    assert "BAD  certificate of 127.0.0.1 not verified by the system's trust store: " in said
    assert said.endswith("; UNPINNED_CA_FILE names authorities to trust\n")


@pytest.mark.parametrize(
    ("name", "until", "reason"),
    [("127.0.0.1", "200101", "certificate has expired"), ("127.0.0.2", "", "IP address mismatch, certificate is not")],
)
def test_a_certificate_that_is_not_right(capsys: Any, tmp_path: Path, name: str, until: str, reason: str) -> None:
    """A certificate that has expired, or is another host's, is said as such; other authorities would not help."""
    authority = Authority(tmp_path)
    tls = authority.server_context(name, until=until) if until else authority.server_context(name)
    with ScriptedUpstream(tls=tls) as upstream:
        code, said = _checked(capsys, "--upstream", upstream.url, "--ca-file", authority.ca_file)
    assert code == 1
    assert f"not verified by the authorities in {authority.ca_file}: {reason}" in said
    assert "UNPINNED_CA_FILE" not in said


def test_a_certificate_that_expires_soon(capsys: Any, tmp_path: Path) -> None:
    """A certificate with a few days left works, and is bad news."""
    authority = Authority(tmp_path)
    until = (dt.datetime.now(dt.UTC) + dt.timedelta(days=3)).strftime("%y%m%d")
    with ScriptedUpstream(tls=authority.server_context("127.0.0.1", until=until)) as upstream:
        upstream.will_always_answer(answer(404))
        code, said = _checked(capsys, "--upstream", upstream.url, "--ca-file", authority.ca_file)
    assert code == 1
    assert "BAD  TLSv1.3" in said


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_nothing_listens(capsys: Any, scheme: str) -> None:
    """A refused connection is said as such, with the place; nothing is sent."""
    port = _closed_port()
    code, said = _checked(capsys, "--upstream", f"{scheme}://127.0.0.1:{port}")
    assert code == 1
    assert said.endswith(f"BAD  connection refused: 127.0.0.1:{port}\n")


def test_no_socket_there(capsys: Any, tmp_path: Path) -> None:
    """A Unix socket that does not exist is named by its path."""
    code, said = _checked(capsys, "--upstream", f"http://unix:{tmp_path}/s")
    assert (code, f"BAD  no such file or directory: {tmp_path}/s\n" in said) == (1, True)


def test_a_connection_that_is_closed(capsys: Any) -> None:
    """A server that closes within the handshake is said to have closed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def hang_up() -> None:
            listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        code, said = _checked(capsys, "--upstream", f"https://127.0.0.1:{port}")
        thread.join()
    assert code == 1
    assert re.search(rf"BAD  (connection closed by|connection reset by peer:) 127\.0\.0\.1:{port}\n", said)


def test_no_tls_there(capsys: Any) -> None:
    """A plain HTTP server where TLS is expected is bad."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        port = listener.getsockname()[1]

        def talk() -> None:
            with listener.accept()[0] as connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=talk)
        thread.start()
        code, said = _checked(capsys, "--upstream", f"https://127.0.0.1:{port}")
        thread.join()
    assert code == 1
    assert f"BAD  no TLS at 127.0.0.1:{port}: what answers there does not speak TLS" in said


def test_silence_there(capsys: Any) -> None:
    """A server that accepts and is silent is bad, after CONNECT_TIMEOUT."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code, said = _checked(capsys, "--upstream", f"https://127.0.0.1:{port}", "--connect-timeout", "0.2")
    assert code == 1
    assert f"BAD  timed out: no connection to 127.0.0.1:{port} within 0.2 seconds" in said


def test_a_name_that_does_not_resolve(capsys: Any) -> None:
    """A host without an address is bad, and ends the check."""
    code, said = _checked(capsys, "--upstream", "http://upstream.invalid")
    assert code == 1
    assert "BAD  name not found: upstream.invalid (" in said
    assert "HEAD" not in said


def test_a_name_that_resolves(capsys: Any) -> None:
    """The addresses of a name are listed; an address is not explained by itself."""
    with ScriptedUpstream() as upstream:
        upstream.will_always_answer(answer(404))
        named = _checked(capsys, "--upstream", f"http://localhost:{upstream.port}")[1]
        numeric = _checked(capsys, "--upstream", f"http://127.0.0.1:{upstream.port}")[1]
    assert "ok   localhost is " in named
    assert "127.0.0.1 is" not in numeric


@pytest.mark.parametrize(("seconds", "word"), [(3600, "ahead of"), (-3600, "behind")])
def test_a_wrong_clock(capsys: Any, seconds: float, word: str) -> None:
    """A clock that is an hour off is bad."""
    with ScriptedUpstream() as upstream:
        upstream.will_answer(answer(200, b"", _date(seconds)))
        code, said = _checked(capsys, "--upstream", upstream.url)
    assert code == 1
    assert f"seconds {word} upstream's" in said


@pytest.mark.parametrize("fields", [[], [(b"date", b"yesterday")]])
def test_no_clock(capsys: Any, fields: list[tuple[bytes, bytes]]) -> None:
    """An upstream without a Date leaves the clock unchecked."""
    with ScriptedUpstream() as upstream:
        upstream.will_answer(answer(200, b"", fields))
        code, said = _checked(capsys, "--upstream", upstream.url)
    assert (code, "clock" in said) == (0, False)


def test_an_upstream_in_trouble(capsys: Any) -> None:
    """A 5xx is bad."""
    with ScriptedUpstream() as upstream:
        upstream.will_answer(answer(503))
        assert _checked(capsys, "--upstream", upstream.url)[0] == 1


def test_too_few_descriptors(capsys: Any) -> None:
    """Limits beyond what the system allows are bad, with the number to raise it to."""
    with ScriptedUpstream() as upstream:
        upstream.will_answer(answer(200))
        code, said = _checked(capsys, "--upstream", upstream.url, "--max-requests", "900000000")
    assert code == 1
    assert "raise the limit to 900000138" in said


@pytest.mark.parametrize("secured", [False, True])
def test_an_outbound_proxy(capsys: Any, tmp_path: Path, secured: bool) -> None:
    """Everything goes through the proxy that is set; its host is named, and its credentials are not."""
    authority = Authority(tmp_path)
    tls = authority.server_context("127.0.0.1") if secured else None
    with ScriptedUpstream(tls=tls) as upstream, ConnectProxy(credentials="user:hunter2") as proxy:
        upstream.will_always_answer(answer(421))
        arguments = ("--upstream", upstream.url, "--upstream-proxy", proxy.url, "--ca-file", authority.ca_file)
        code, said = _checked(capsys, *arguments)
        assert set(proxy.targets) == {f"127.0.0.1:{upstream.port}"}
    assert (code, "hunter2" in said, "BAD" in said) == (0, False, False)
    assert f"ok   upstream is reached through the outbound proxy http://127.0.0.1:{proxy.port}\n" in said
    assert "is answered 421" in said
    assert ("it expires in" in said) == secured


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_outbound_proxy_that_refuses(capsys: Any, scheme: str) -> None:
    """A proxy that wants other credentials is bad, with its status."""
    with ConnectProxy(credentials="user:right") as proxy:
        url = proxy.url.replace("right", "hunter2")
        code, said = _checked(capsys, "--upstream", f"{scheme}://upstream.test", "--upstream-proxy", url)
    assert (code, "hunter2" in said) == (1, False)
    assert "The outbound proxy refused the connection to upstream; nothing was sent (status 407)." in said


def test_an_outbound_proxy_that_is_not_there(capsys: Any) -> None:
    """A proxy that cannot be connected to is named with its port, one without an address by its name."""
    port = _closed_port()
    for url, sentence in (
        (f"http://user:hunter2@127.0.0.1:{port}", f"BAD  connection refused: 127.0.0.1:{port}\n"),
        ("http://proxy.invalid", "BAD  name not found: proxy.invalid ("),
    ):
        code, said = _checked(capsys, "--upstream", "https://upstream.test", "--upstream-proxy", url)
        assert (code, sentence in said, "hunter2" in said) == (1, True, False)


def test_an_outbound_proxy_that_does_not_verify(capsys: Any, tmp_path: Path) -> None:
    """A proxy's certificate is looked at like upstream's, under the proxy's name."""
    with ConnectProxy(tls=Authority(tmp_path).server_context("127.0.0.1")) as proxy:
        code, said = _checked(capsys, "--upstream", "https://upstream.test", "--upstream-proxy", proxy.url)
    assert (code, "BAD  certificate of 127.0.0.1 not verified by the system's trust store: " in said) == (1, True)


def test_a_proxy_of_the_environment(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment is used with `env`; otherwise a warning names the variable, and the code stays 0."""
    with ScriptedUpstream() as upstream, ConnectProxy(credentials="user:hunter2") as proxy:
        upstream.will_always_answer(answer(421))
        monkeypatch.setenv("http_proxy", proxy.url)
        code, said = _checked(capsys, "--upstream", upstream.url)
        assert (code, proxy.targets) == (0, [])
        assert "WARN http_proxy is set, but not used: UNPINNED_UPSTREAM_PROXY=env would use it\n" in said
        code, said = _checked(capsys, "--upstream", upstream.url, "--upstream-proxy", "env")
        assert (code, set(proxy.targets), "hunter2" in said) == (0, {f"127.0.0.1:{upstream.port}"}, False)


def test_a_unix_socket(capsys: Any, tmp_path: Path) -> None:
    """An upstream on a Unix socket is checked there."""
    path = str(tmp_path / "s")
    with ScriptedUpstream(family=socket.AF_UNIX, path=path) as upstream:
        upstream.will_answer(answer(200))
        code, said = _checked(capsys, "--upstream", f"http://unix:{path}")
    assert (code, "is answered 200" in said) == (0, True)


def test_variables_that_are_none(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that looks like a setting and is none is bad, with the name that was meant."""
    monkeypatch.setenv("UNPINNED_UPSTREM", "http://a.test")
    with ScriptedUpstream() as upstream:
        upstream.will_answer(answer(200))
        code, said = _checked(capsys, "--upstream", upstream.url)
    assert code == 1
    assert "BAD  UNPINNED_UPSTREM is no setting of Unpinned's (did you mean UNPINNED_UPSTREAM?); it is not read" in said


def test_a_setting_that_is_gone(capsys: Any) -> None:
    """A setting of an earlier version is bad, with what replaces it."""
    with ScriptedUpstream() as upstream:
        upstream.will_answer(answer(200))
        code, said = _checked(capsys, "--upstream", upstream.url, "--upstream-client", "httpx2")
    assert code == 1
    assert "BAD  --upstream-client is gone and has no effect: " in said
