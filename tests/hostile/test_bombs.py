"""Bodies that cost far more to read than to send: bounded time, bounded memory, and nobody else waits for them."""

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard

from tests.hostile.conftest import Front
from tests.support.bombs import BOMBS, MIB, NOTHING, calls, items, member
from tests.support.process import Process, running
from tests.support.raw_client import RawAnswer, RawClient, exchange, request
from tests.support.scripts import READ_BODY, Gate, answer, script
from tests.support.upstream_server import ScriptedUpstream

pytestmark = pytest.mark.alone

SMALL = request(b"POST", b"/v1/responses", [], b'{"input":"x"}')


def post(port: int, body: bytes, *fields: tuple[bytes, bytes]) -> RawAnswer:
    """The answer to a request with this body."""
    return exchange(port, request(b"POST", b"/v1/responses", fields, body))


def memory(process: Process, name: str) -> int:
    """The memory that a process has (VmRSS), or the most that it has had (VmHWM), in bytes."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_answered(front: Front, name: str) -> None:
    """It reaches upstream as one request, made portable or as it came, and the process lives on."""
    got = post(front.port, BOMBS[name])
    assert got.status == 200
    [seen] = front.received()
    assert seen.whole
    assert b'"rs_1"' not in seen.body or got.values(b"x-unpinned-action") == [b"passthrough"]


def test_bombs_take_bounded_memory(front: Front) -> None:
    """After all of them the process has never had more than 600 MiB, ten times the largest body it takes."""
    assert memory(front.process, "VmHWM") < 600 * MIB


def test_nobody_waits_for_somebody_elses_bomb(front: Front) -> None:
    """While a second goes into one body, other requests are answered one after the other."""
    answered = 0
    bomb = Thread(target=post, args=(front.port, calls(20_000)))
    with RawClient(front.port) as client:
        client.send(SMALL)
        assert client.answer().status == 200
        bomb.start()
        while bomb.is_alive():
            client.send(SMALL)
            assert client.answer().status == 200
            answered += 1
    assert answered > 20


def test_bombs_that_wait_for_an_answer(upstream: ScriptedUpstream) -> None:
    """While upstream thinks, only the bytes of what was read stay, not the fifty times as much it was made into."""
    gate = Gate()
    upstream.will_always_answer(script(READ_BODY, gate, *answer(200)[1:]))
    body = calls(5_000)
    with running("--upstream", upstream.url) as process, ExitStack() as stack:
        clients = [stack.enter_context(RawClient(process.port)) for _ in range(12)]
        for number, client in enumerate(clients, 1):
            client.send(request(b"POST", b"/v1/responses", [], body))
            upstream.wait_received(number)
        assert memory(process, "VmRSS") < 200 * MIB
        gate.open()
        assert {client.answer().status for client in clients} == {200}


@pytest.mark.parametrize("mode", ["strip", "recover"])
def test_what_holds_too_much_is_not_read(mode: str) -> None:
    """A body of a million values is refused in `strip` mode; in others, which promise less, it goes on as it came."""
    heavy = [items(b"{}", 6_000_000), items(b"{}", 1_000_000), items(b"1", 1_000_000), member(b"[" * 2_000_000)]
    with ScriptedUpstream() as upstream, running("--upstream", upstream.url, "--mode", mode) as process:
        upstream.will_always_answer(answer(200))
        for body in heavy:
            got = post(process.port, body)
            if mode == "strip":
                assert (got.status, json.loads(got.body)["error"]["code"]) == (413, "request_too_complex")
            else:
                assert (got.status, got.values(b"x-unpinned-action")) == (200, [b"unread"])
        assert memory(process, "VmHWM") < 250 * MIB
    assert [seen.body for seen in upstream.received] == ([] if mode == "strip" else heavy)


def bombs() -> Iterator[tuple[bytes, bytes]]:
    """Codings, and 300 MiB in few bytes of each."""
    deflate = zlib.compressobj(level=1, wbits=31)
    yield b"gzip", b"".join(deflate.compress(bytes(MIB)) for _ in range(300)) + deflate.flush()
    br = brotli.Compressor(quality=1)
    yield b"br", b"".join(br.process(bytes(MIB)) for _ in range(300)) + br.finish()
    zstd = zstandard.ZstdCompressor().compressobj()
    yield b"zstd", b"".join(zstd.compress(bytes(MIB)) for _ in range(300)) + zstd.flush()


def test_compression_bombs(upstream: ScriptedUpstream) -> None:
    """A body that grows beyond the limit is refused after so many bytes, whatever coding it has."""
    with running("--upstream", upstream.url, "--mode", "strip") as process:
        for coding, bomb in bombs():
            assert len(bomb) < 2 * MIB
            got = post(process.port, bomb, (b"Content-Encoding", coding))
            assert (got.status, json.loads(got.body)["error"]["code"]) == (413, "request_too_large")
        assert memory(process, "VmHWM") < 450 * MIB
    assert upstream.received == []


def test_a_large_coded_body_is_read(front: Front) -> None:
    """What is large within the limit is decoded and made portable, as what is small is."""
    body = member(b'"' + b"a" * 4 * MIB + b'"')
    got = post(front.port, zstandard.compress(body), (b"Content-Encoding", b"zstd"))
    assert got.values(b"x-unpinned-removed") == [b"item_id=1"]
    [seen] = front.received()
    assert seen.body == body.replace(b'"id":"msg_1",', b"")


@pytest.mark.parametrize("name", NOTHING)
def test_input_that_decodes_to_nothing(front: Front, name: str) -> None:
    """A coded body that costs work and yields nothing is refused with 400, in a fraction of the time it could take."""
    coding, body = NOTHING[name]
    got = post(front.port, body, (b"Content-Encoding", coding))
    assert (got.status, json.loads(got.body)["error"]["code"]) == (400, "invalid_content_encoding")
    assert front.received() == []


def test_a_few_frames_are_a_body(front: Front) -> None:
    """A body of several frames, as a client that flushes sends it, is read."""
    pieces = [b'{"input":', b'"x"', b"}"]
    got = post(front.port, b"".join(map(gzip.compress, pieces)), (b"Content-Encoding", b"gzip"))
    assert got.status == 200
