"""TLS on the listener: the certificate, its renewal, certificates of clients, and what is no TLS."""

import shutil
import signal
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import openai
import pytest

from tests.support.certificates import Authority
from tests.support.process import COMMAND, ROOT, Process, environment, running
from tests.support.raw_client import RawClient, request
from tests.support.scripts import Gate, answer, event_stream, json_answer
from tests.support.upstream_server import ScriptedUpstream

GET = request(b"GET", b"/v1/models")
FIRST, LAST = b"data: first\n\n", b"data: last\n\n"
FEW = ("sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *COMMAND)


class Site:
    """A server's files, and the client that trusts them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        self.certificate, self.key = folder / "tls.crt", folder / "tls.key"
        self.tls = self.authority.client_context()
        self.renew()

    def renew(self, *, key: bool = True) -> None:
        """Replace the certificate, and its key."""
        new = self.authority.issue("127.0.0.1", "localhost").read_text()
        parts = new.partition("-----BEGIN CERTIFICATE-----")
        self._replace(self.certificate, "".join(parts[1:]))
        self.latest_key = parts[0]
        if key:
            self.renew_key()

    def renew_key(self) -> None:
        """Replace the key with that of the newest certificate."""
        self._replace(self.key, self.latest_key)

    def _replace(self, path: Path, text: str) -> None:
        new = path.with_suffix(".new")
        new.write_text(text)
        new.replace(path)

    def other_client(self) -> ssl.SSLContext:
        """A client with a certificate of an authority that the server does not know."""
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir()
        return self.authority.client_context(Authority(elsewhere).issue("client"))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A certificate in files of its own."""
    return Site(tmp_path)


@contextmanager
def secured(site: Site, upstream: ScriptedUpstream, *arguments: str) -> Iterator[Process]:
    """The proxy with the site's certificate."""
    files = ("--tls-cert", str(site.certificate), "--tls-key", str(site.key))
    with running("--upstream", upstream.url, *files, *arguments) as process:
        yield process


def get(client: RawClient) -> int:
    """The status of a request."""
    client.send(GET)
    return client.answer().status


def test_clients_connect_by_tls(site: Site, upstream: ScriptedUpstream) -> None:
    """The listener speaks TLS, the start line says so, and the admin listener answers in the clear."""
    upstream.will_always_answer(answer(200, b"yes"))
    with secured(site, upstream) as process, RawClient(process.port, tls=site.tls) as client:
        assert [get(client), get(client)] == [200, 200]
        assert process.log[0]["listen"].startswith("https://127.0.0.1:")
        assert process.log[0]["admin_listen"].startswith("http://127.0.0.1:")


def test_a_stream_passes_event_by_event(site: Site, upstream: ScriptedUpstream) -> None:
    """An event reaches the client when upstream sends it, and SIGTERM waits for the last one."""
    gate = Gate()
    upstream.will_answer(event_stream([FIRST, gate, LAST]))
    with secured(site, upstream) as process, RawClient(process.port, tls=site.tls) as client:
        client.send(GET)
        client.until(FIRST)
        process.send_signal(signal.SIGTERM)
        process.wait_message("Shutting down")
        gate.open()
        assert client.rest().endswith(LAST + b"\r\n0\r\n\r\n")
        assert process.wait() == 0


def test_the_sdk_connects_by_tls(site: Site, upstream: ScriptedUpstream) -> None:
    """The official SDK has a conversation through it, with a base URL of https://."""
    upstream.will_answer(json_answer({"id": "resp_1", "object": "response", "output": []}))
    with secured(site, upstream) as process, httpx2.Client(verify=site.tls) as transport:
        base_url = f"https://localhost:{process.port}/v1"
        with openai.OpenAI(base_url=base_url, api_key="sk-test", http_client=transport) as client:
            assert client.responses.create(model="gpt-5", input="Hello").id == "resp_1"


def test_a_key_may_stand_with_its_certificate(site: Site, upstream: ScriptedUpstream) -> None:
    """One file may hold both."""
    upstream.will_answer(answer(200))
    both = site.authority.issue("127.0.0.1")
    command = ("--upstream", upstream.url, "--tls-cert", str(both))
    with running(*command) as process, RawClient(process.port, tls=site.tls) as client:
        assert get(client) == 200


def test_a_renewed_certificate_is_in_use_at_once(site: Site, upstream: ScriptedUpstream) -> None:
    """The next connection gets the new certificate; one that is open goes on under the old one."""
    upstream.will_always_answer(answer(200))
    with secured(site, upstream) as process, RawClient(process.port, tls=site.tls) as old:
        assert get(old) == 200
        site.renew()
        with RawClient(process.port, tls=site.tls) as new:
            assert get(new) == get(old) == 200
            assert new.peer_certificate != old.peer_certificate
        process.wait_message("The certificate's files have changed, and are in use")


def test_half_a_renewal_changes_nothing(site: Site, upstream: ScriptedUpstream) -> None:
    """A certificate whose key has not arrived is not used, which is said once; with the key, it is."""
    upstream.will_always_answer(answer(200))
    with secured(site, upstream) as process, RawClient(process.port, tls=site.tls) as old:
        site.renew(key=False)
        for _ in range(2):
            with RawClient(process.port, tls=site.tls) as client:
                assert get(client) == 200
                assert client.peer_certificate == old.peer_certificate
        line = process.wait_message("The certificate's files have changed")["message"]
        assert line.endswith(f"the key in {site.key} does not fit the certificate in {site.certificate}.")
        site.renew_key()
        with RawClient(process.port, tls=site.tls) as client:
            assert get(client) == 200
            assert client.peer_certificate != old.peer_certificate
        process.wait_message("The certificate's files have changed, and are in use")
        assert sum("files have changed" in str(line) for line in process.log) == 2


def test_a_certificate_that_is_gone_stays_in_use(site: Site, upstream: ScriptedUpstream) -> None:
    """What cannot be read any more does not end what runs."""
    upstream.will_always_answer(answer(200))
    with secured(site, upstream) as process:
        port = process.port
        site.certificate.unlink()
        with RawClient(port, tls=site.tls) as client:
            assert get(client) == 200
        assert "cannot be read" in process.wait_message("The certificate's files have changed")["message"]


def test_clients_need_a_certificate(site: Site, upstream: ScriptedUpstream) -> None:
    """With authorities for clients, one without a certificate of theirs is refused before it can ask."""
    upstream.will_always_answer(answer(200))
    known = site.authority.client_context(site.authority.issue("client"))
    with secured(site, upstream, "--tls-client-ca", site.authority.ca_file) as process:
        for tls in (site.tls, site.other_client()):
            with pytest.raises((ssl.SSLError, OSError)), RawClient(process.port, tls=tls) as client:
                get(client)
        with RawClient(process.port, tls=known) as client:
            assert get(client) == 200
        process.wait_message("A client was refused: tls_handshake (PEER_DID_NOT_RETURN_A_CERTIFICATE)")
        process.wait_message("A client was refused: tls_handshake (CERTIFICATE_VERIFY_FAILED)")
    assert len(upstream.received) == 1


def test_a_request_in_the_clear_is_refused(site: Site, upstream: ScriptedUpstream) -> None:
    """HTTP without TLS is closed without an answer, and the log says what it was."""
    with secured(site, upstream) as process, RawClient(process.port) as client:
        client.send(GET)
        assert b"HTTP/" not in client.rest()
        process.wait_message("A client was refused: tls_handshake (HTTP_REQUEST)")


def test_a_probe_of_the_port_is_no_news(site: Site, upstream: ScriptedUpstream) -> None:
    """A load balancer that connects and leaves is not logged."""
    upstream.will_answer(answer(200))
    with secured(site, upstream) as process:
        RawClient(process.port).close()
        with RawClient(process.port, tls=site.tls) as client:
            assert get(client) == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    assert "refused" not in process.text


def test_a_silent_client_is_closed(site: Site, upstream: ScriptedUpstream) -> None:
    """A handshake has as long as a request's head."""
    with secured(site, upstream, "--header-timeout", "0.3") as process, RawClient(process.port) as client:
        assert client.rest() == b""


def test_silent_clients_leave_descriptors(site: Site, upstream: ScriptedUpstream) -> None:
    """Connections without a handshake count: those beyond the limit are closed, and upstream can still be reached."""
    upstream.will_always_answer(answer(200))
    files = ("--tls-cert", str(site.certificate), "--tls-key", str(site.key))
    with running("--upstream", upstream.url, *files, command=FEW) as process, ExitStack() as stack:
        client = stack.enter_context(RawClient(process.port, tls=site.tls))
        silent = [stack.enter_context(RawClient(process.port)) for _ in range(60)]
        process.wait_message("A client was refused: out_of_descriptors")
        assert get(client) == 200
        assert sum(each.readable_within(0) for each in silent) > 0


def no_file(site: Site) -> None:
    """The certificate is missing."""
    site.certificate.unlink()


def no_certificate(site: Site) -> None:
    """The file is another one."""
    site.certificate.write_text("hello")


def no_key(site: Site) -> None:
    """The key's file holds the certificate."""
    shutil.copy(site.certificate, site.key)


def another_key(site: Site) -> None:
    """The key is that of another certificate."""
    site.renew(key=False)


def broken(site: Site) -> None:
    """The certificate is damaged."""
    site.certificate.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


def locked_key(site: Site) -> None:
    """The key is encrypted."""
    command = ["openssl", "ec", "-in", str(site.key), "-aes256", "-passout", "pass:secret", "-out", str(site.key)]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (no_file, "--tls-cert: CERT cannot be read: No such file or directory."),
        (no_certificate, "--tls-cert: CERT holds no certificate in PEM format."),
        (no_key, "--tls-key: KEY holds no private key in PEM format."),
        (another_key, "--tls-cert, --tls-key: the key in KEY does not fit the certificate in CERT."),
        (broken, "--tls-cert, --tls-key: CERT and KEY cannot be used ("),
        (locked_key, "--tls-cert, --tls-key: the key in KEY has a passphrase, for which Unpinned cannot ask."),
    ],
)
def test_files_that_cannot_be_used(site: Site, spoil: Callable[[Site], None], sentence: str) -> None:
    """At start, one sentence says which file cannot be used, and why; the exit code is 2."""
    if spoil is locked_key and shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    spoil(site)
    assert complaint(site).startswith(
        "unpinned: " + sentence.replace("CERT", str(site.certificate)).replace("KEY", str(site.key))
    )


def test_authorities_that_cannot_be_used(site: Site) -> None:
    """So it is with the authorities of clients."""
    site.folder.joinpath("ca").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for name, fault in (("ca", "cannot be used ("), ("tls.key", "holds no certificate"), ("gone", "cannot be read: ")):
        path = site.folder / name
        assert complaint(site, "--tls-client-ca", str(path)).startswith(f"unpinned: --tls-client-ca: {path} {fault}")


def complaint(site: Site, *arguments: str) -> str:
    """The one line with which the start is refused, with code 2."""
    files = ("--tls-cert", str(site.certificate), "--tls-key", str(site.key))
    command = [*COMMAND, "--listen", "127.0.0.1:0", "--admin-listen", "off", *files, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    return line
