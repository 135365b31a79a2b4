"""Clients that send or read slowly: each meets a deadline, or takes little memory, and the others do not wait."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.process import Process, running
from tests.support.raw_client import RawClient, exchange, request
from tests.support.scripts import READ_BODY, UNTIL_CLOSED, Flood, answer, chunk, head, script
from tests.support.upstream_server import ScriptedUpstream

MIB = 1024 * 1024
GET = request(b"GET", b"/v1/models")
ASKED = request(b"POST", b"/v1/responses", [], b'{"input":"x"}')
SILENT_HEAD = GET[:-2]
SILENT_BODY = request(b"POST", b"/v1/files", [(b"Content-Length", b"100")]) + b"a"
SILENT_QUESTION = request(b"POST", b"/v1/responses", [(b"Content-Length", b"100")]) + b"{"
SILENT_CHUNKS = request(b"POST", b"/v1/files", [(b"Transfer-Encoding", b"chunked")]) + b"5\r\nab"


@pytest.fixture
def impatient(upstream: ScriptedUpstream) -> Iterator[Process]:
    """A proxy that waits for a moment only."""
    upstream.will_always_answer(answer(200))
    with running("--upstream", upstream.url, "--header-timeout", "0.5", "--upload-idle-timeout", "0.5") as process:
        yield process


def code(client: RawClient) -> tuple[int, str]:
    """The status and the code of the refusal that comes, after which the connection ends."""
    got = client.answer()
    assert client.rest() == b""
    return got.status, json.loads(got.body)["error"]["code"]


@pytest.mark.parametrize(
    ("sent", "drop"), [(SILENT_HEAD, b"X: a\r\n"), (b"GET /v1/", b"a"), (SILENT_HEAD + b"X: ", b"a")]
)
def test_a_head_that_drips(impatient: Process, upstream: ScriptedUpstream, sent: bytes, drop: bytes) -> None:
    """A head has one deadline, however often a little more of it comes."""
    with RawClient(impatient.port) as client:
        client.send(sent)
        while not client.readable_within(0.05):
            client.send(drop)
        assert code(client) == (408, "header_timeout")
    assert upstream.received == []


def test_empty_lines_are_no_head(impatient: Process, upstream: ScriptedUpstream) -> None:
    """Who sends nothing but what may stand before a request is left without a word, as one who sends nothing."""
    with RawClient(impatient.port) as client:
        while not client.readable_within(0.05):
            client.send(b"\r\n")
        assert client.rest() == b""
    assert upstream.received == []


@pytest.mark.parametrize("sent", [SILENT_BODY, SILENT_QUESTION, SILENT_CHUNKS])
def test_a_body_that_stops(impatient: Process, upstream: ScriptedUpstream, sent: bytes) -> None:
    """Who falls silent amid a body is answered 408, and upstream never gets a whole request of it."""
    with RawClient(impatient.port) as client:
        client.send(sent)
        assert code(client) == (408, "client_upload_timeout")
    assert not [seen for seen in upstream.received if seen.whole]


@pytest.mark.parametrize("sent", [b"0\r\nX: a", b"5;x=", b"5\r\nabcde\r\n000"])
def test_no_progress_is_silence(impatient: Process, upstream: ScriptedUpstream, sent: bytes) -> None:
    """What comes amid a body and is none, such as trailers, extensions and zeros, puts no deadline off."""
    with RawClient(impatient.port) as client:
        client.send(request(b"POST", b"/v1/files", [(b"Transfer-Encoding", b"chunked")]) + sent)
        while not client.readable_within(0.05):
            client.send(b"0")
        assert code(client) == (408, "client_upload_timeout")
    assert not [seen for seen in upstream.received if seen.whole]


@pytest.mark.parametrize("quick", [b"", b" " * 50_000], ids=["from the start", "after a quick beginning"])
@pytest.mark.parametrize("sent", [SILENT_BODY, SILENT_QUESTION])
def test_a_body_that_drips(impatient: Process, upstream: ScriptedUpstream, sent: bytes, quick: bytes) -> None:
    """A body that never pauses for long, but arrives a byte now and then, is answered 408, and its slot is free."""
    with RawClient(impatient.port) as client:
        client.send(sent.replace(b": 100", b": 100000") + quick)
        while not client.readable_within(0.05):
            client.send(b" ")
        assert code(client) == (408, "client_upload_too_slow")
    assert not [seen for seen in upstream.received if seen.whole]


def test_a_body_that_is_slow_but_steady(impatient: Process, upstream: ScriptedUpstream) -> None:
    """A body of several times the allowed silence arrives whole, as long as it keeps up the lowest rate."""
    body = b'{"input": "%s"}' % (b"x" * 1000)
    with RawClient(impatient.port) as client:
        client.send(request(b"POST", b"/v1/responses", [(b"Content-Length", b"%d" % len(body))]))
        for at in range(0, len(body), 50):
            assert not client.readable_within(0.05)
            client.send(body[at : at + 50])
        assert client.answer().status == 200
    assert upstream.received[0].body == body


@pytest.mark.alone
def test_fifteen_hundred_slow_clients(upstream: ScriptedUpstream) -> None:
    """While so many hold a head, a body or a question back, every request of the others is answered."""
    upstream.will_always_answer(answer(200))
    with running("--upstream", upstream.url) as process, ExitStack() as stack:
        for number in range(1500):
            slow = stack.enter_context(RawClient(process.port))
            slow.send((SILENT_HEAD, SILENT_BODY, SILENT_QUESTION, SILENT_CHUNKS, b"")[number % 5])
        client = stack.enter_context(RawClient(process.port))
        for _ in range(200):
            client.send(ASKED)
            assert client.answer().status == 200
        assert [exchange(process.port, GET).status for _ in range(50)] == [200] * 50
        assert peak(process) < 150 * MIB


def peak(process: Process) -> int:
    """The most memory that a process has had, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def test_slow_readers(upstream: ScriptedUpstream) -> None:
    """Who does not read holds upstream back, and a little memory; others are answered meanwhile."""
    floods = [Flood(32 * MIB) for _ in range(8)]
    big = head(200, [(b"Content-Length", b"%d" % (32 * MIB))])
    with running("--upstream", upstream.url) as process, ExitStack() as stack:
        upstream.will_answer(answer(200))
        assert exchange(process.port, ASKED).status == 200
        before = peak(process)
        readers = [stack.enter_context(RawClient(process.port)) for _ in floods]
        for reader, flood in zip(readers, floods, strict=True):
            upstream.will_answer(script(big, flood))
            reader.send(ASKED)
            reader.head()
        for flood in floods:
            assert flood.wait_stalled() < 16 * MIB
        assert peak(process) - before < 24 * MIB
        upstream.will_always_answer(answer(200))
        assert exchange(process.port, ASKED).status == 200
        assert readers[0].exactly(32 * MIB) == bytes(32 * MIB)


@pytest.mark.parametrize("waiting", [1, 5])
def test_a_pipelining_client_that_leaves(upstream: ScriptedUpstream, waiting: int) -> None:
    """Who leaves while requests of his wait behind the one that is answered is missed, and none of these is sent."""
    upstream.will_answer(script(READ_BODY, head(200, [(b"Transfer-Encoding", b"chunked")]), chunk(b"x"), UNTIL_CLOSED))
    upstream.will_always_answer(answer(200))
    with running("--upstream", upstream.url) as process:
        with RawClient(process.port) as client:
            client.send(request(b"GET", b"/stream"))
            client.until(b"x\r\n")
            assert not client.readable_within(0.2)
            for _ in range(waiting):
                client.send(GET)
        upstream.received[0].wait_closed()
        assert exchange(process.port, GET).status == 200
    assert [seen.target for seen in upstream.received] == [b"/stream", b"/v1/models"]
