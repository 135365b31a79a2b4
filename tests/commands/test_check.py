"""`unpinned check`: what can be known of the settings before anything depends on them."""

import datetime as dt
import socket
import threading
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from proxy.cli import main
from tests.support.certificates import Authority
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
    """A plain upstream is asked once, with HEAD and no key; its clock and the limits are told."""
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
    """Of TLS the version, who vouches, and the certificate's last day are told."""
    authority = Authority(tmp_path)
    with ScriptedUpstream(tls=authority.server_context("127.0.0.1")) as upstream:
        upstream.will_always_answer(answer(404))
        code, said = _checked(capsys, "--upstream", upstream.url, "--ca-file", authority.ca_file)
    assert code == 0
    assert f"TLSv1.3, vouched for by the certificates in {authority.ca_file}; the certificate expires in" in said


def test_tls_that_nobody_vouches_for(capsys: Any, tmp_path: Path) -> None:
    """A certificate that the trust store does not know is bad, and nothing more is asked."""
    with ScriptedUpstream(tls=Authority(tmp_path).server_context("127.0.0.1")) as upstream:
        code, said = _checked(capsys, "--upstream", upstream.url)
        assert upstream.received == []
    assert code == 1
    assert "BAD  the system's trust store does not vouch for 127.0.0.1: " in said


def test_a_certificate_that_expires_soon(capsys: Any, tmp_path: Path) -> None:
    """A certificate with a few days left works, and is bad news."""
    authority = Authority(tmp_path)
    until = (dt.datetime.now(dt.UTC) + dt.timedelta(days=3)).strftime("%y%m%d")
    with ScriptedUpstream(tls=authority.server_context("127.0.0.1", until=until)) as upstream:
        upstream.will_always_answer(answer(404))
        code, said = _checked(capsys, "--upstream", upstream.url, "--ca-file", authority.ca_file)
    assert code == 1
    assert "BAD  TLSv1.3" in said


@pytest.mark.parametrize(
    ("scheme", "sentence"), [("http", "No connection to upstream"), ("https", "Connection refused")]
)
def test_nobody_there(capsys: Any, scheme: str, sentence: str) -> None:
    """An upstream to which no connection can be made is bad."""
    code, said = _checked(capsys, "--upstream", f"{scheme}://127.0.0.1:{_closed_port()}")
    assert code == 1
    assert sentence in said


def test_no_tls_there(capsys: Any) -> None:
    """Who answers in plain HTTP where TLS is expected is bad."""
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
    assert f"BAD  no TLS connection to 127.0.0.1:{port}: what answers there does not speak TLS" in said


def test_silence_there(capsys: Any) -> None:
    """Who accepts and says nothing is bad, after the time a connection may take."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code, said = _checked(capsys, "--upstream", f"https://127.0.0.1:{port}", "--connect-timeout", "0.2")
    assert code == 1
    assert f"BAD  no TLS connection to 127.0.0.1:{port}: it took too long" in said


def test_a_name_nobody_knows(capsys: Any) -> None:
    """A host without an address is bad, and nothing more is asked."""
    code, said = _checked(capsys, "--upstream", "http://nobody.invalid")
    assert code == 1
    assert "BAD  nobody.invalid is not known" in said
    assert "HEAD" not in said


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
    """An upstream that does not tell the time leaves the clock alone."""
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


def test_an_outbound_proxy_is_not_asked(capsys: Any) -> None:
    """What is reached through somebody else is left alone, and his credentials are not told."""
    code, said = _checked(
        capsys,
        "--upstream-client",
        "httpx2",
        "--upstream-proxy",
        "http://user:secret@127.0.0.1:9",
        "--upstream",
        "http://a.test",
    )
    assert (code, "secret" in said) == (0, False)
    assert "outbound proxy" in said


def test_a_unix_socket(capsys: Any, tmp_path: Path) -> None:
    """An upstream on a Unix socket is asked there."""
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
