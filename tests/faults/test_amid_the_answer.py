"""Upstream fails amid its answer: the client gets every event so far, and then an end that looks like none."""

import socket
import time

import pytest

from tests.faults.conftest import GET, KINDS, UPLOAD, Product, product
from tests.support.raw_client import PATIENCE
from tests.support.scripts import END, RESET, UNTIL_CLOSED, Gate, Step, answer, chunk, event, head, script

EVENTS = [event({"type": "response.created"}), event({"type": "response.output_text.delta", "delta": "Hel"})]
SO_FAR = b"".join(EVENTS)
STREAM = (b"Content-Type", b"text/event-stream")
CHUNKED = (b"Transfer-Encoding", b"chunked")

BEGUN = {
    "length": head(200, [STREAM, (b"Content-Length", b"1000")]) + SO_FAR,
    "chunks": head(200, [STREAM, CHUNKED]) + b"".join(map(chunk, EVENTS)),
    "one chunk": head(200, [STREAM, CHUNKED]) + b"fff\r\n" + SO_FAR,
    "until the end": head(200, [STREAM]) + SO_FAR,
}
# An end of the connection is the end of an answer that is delimited by it.
BREAKS = [(framing, step) for framing in BEGUN for step in (END, RESET) if (framing, step) != ("until the end", END)]
BAD_CHUNKS = {
    "no size": b"zz\r\n",
    "an empty size": b"\r\n",
    "a negative size": b"-2\r\nab\r\n",
    "a hexadecimal prefix": b"0x2\r\nab\r\n",
    "a size beyond": b"ffffffffffffffffff\r\nab\r\n",
    "a space": b"2 \r\nab\r\n",
    "a line feed": b"2\nab\n0\n\n",
    "no end of a chunk": b"2\r\nabXX0\r\n\r\n",
    "half of the last chunk": b"0\r\n",
    "trailers without end": b"0\r\nX-T: 1\r\n",
}


def cut_answer(made: Product, raw: bytes, begun: bytes, *breaking: Step) -> bytes:
    """The body that the client gets of an answer which breaks once its beginning has arrived."""
    gate = Gate()
    made.upstream.will_answer(script(begun, gate, *breaking))
    with made.connect() as client:
        client.send(raw)
        got = client.head()
        assert got.status == 200
        wire = client.until(EVENTS[-1])
        gate.open()
        wire += client.rest()
    assert not wire.endswith(b"0\r\n\r\n")
    assert len(made.attempts) == 1
    return wire


@pytest.mark.parametrize("raw", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize(("framing", "step"), BREAKS)
def test_a_connection_that_breaks_amid_the_body(patient: Product, raw: bytes, framing: str, step: Step) -> None:
    """Every event that came is delivered, nothing else is, and the answer has no end."""
    wire = cut_answer(patient, raw, BEGUN[framing], step)
    if framing == "length":
        assert wire == SO_FAR
    else:
        assert [wire.count(each) for each in EVENTS] == [1, 1]


@pytest.mark.parametrize("bad", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
def test_chunks_that_are_none(patient: Product, bad: bytes) -> None:
    """Bad framing amid a body is a break, and its connection is closed."""
    cut_answer(patient, UPLOAD, BEGUN["chunks"], bad, END)
    patient.attempts[0].wait_over()


@pytest.mark.parametrize("framing", BEGUN)
def test_silence_amid_the_answer(restless: Product, framing: str) -> None:
    """An upstream that falls silent within its answer is given up: the answer is cut, and upstream closed."""
    cut_answer(restless, UPLOAD, BEGUN[framing], UNTIL_CLOSED)
    restless.attempts[0].wait_closed()


@pytest.mark.alone
def test_a_pause_below_the_limit_is_none() -> None:
    """A stream may last longer than the limit of silence, as long as no pause does.

    The pauses are measured where they are made: where a machine stands still for a second they prove nothing.
    """
    pauses = [0.0]

    def speak_seldom(connection: socket.socket) -> None:
        for _ in range(10):
            before = time.monotonic()
            time.sleep(0.25)
            connection.sendall(chunk(EVENTS[1]))
            pauses.append(time.monotonic() - before)

    with product("--idle-timeout", "2") as made, made.one_test():
        got = made.ask(UPLOAD, script(BEGUN["chunks"], speak_seldom, chunk(b"")))
        if max(pauses) > 1:
            pytest.skip("this machine stood still for too long")
        assert sum(pauses) > 2
        assert (got.body, got.complete) == (SO_FAR + 10 * EVENTS[1], True)


def test_the_next_request_on_the_same_connection_is_never_answered_by_the_rest(patient: Product) -> None:
    """A client that has sent two requests, the first of which breaks, gets half of the first answer and no second."""
    gate = Gate()
    patient.upstream.will_answer(script(BEGUN["chunks"], gate, END))
    with patient.connect() as client:
        client.send(UPLOAD)
        client.until(EVENTS[-1])
        client.send(UPLOAD)
        gate.open()
        assert b"HTTP/1.1" not in client.rest()


def test_extra_bytes_after_an_answer(patient: Product) -> None:
    """What upstream sends beyond its answer's length reaches nobody; the next answer comes on another connection."""
    whole, evil = answer(200, b"mine")[-1], answer(200, b"evil")[-1]
    assert isinstance(whole, bytes)
    assert isinstance(evil, bytes)
    patient.upstream.will_answer(script(whole + evil, UNTIL_CLOSED), script(whole))
    with patient.connect() as client:
        client.send(UPLOAD)
        assert client.answer().body == b"mine"
        patient.attempts[0].wait_closed()
        client.send(UPLOAD)
        assert client.answer().body == b"mine"
    assert len({attempt.connection for attempt in patient.attempts}) == 2


def test_an_early_answer(patient: Product) -> None:
    """An answer that comes before the whole request is relayed at once, and the rest of the request goes nowhere."""
    early = answer(413, b"too long")[-1]
    patient.upstream.will_answer([early, UNTIL_CLOSED])
    with patient.connect() as client:
        client.send(UPLOAD.replace(b"Content-Length: 8", b"Content-Length: 1000000"))
        got = client.answer()
        assert (got.status, got.body, got.complete) == (413, b"too long", True)
    patient.attempts[0].wait_closed()
    assert not patient.attempts[0].whole


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_an_early_answer_that_is_the_last(patient: Product, version: bytes) -> None:
    """A client that asked for the connection's end may go on sending: no reset overtakes its answer, its last one."""
    patient.upstream.will_answer([answer(413, b"too long")[-1], UNTIL_CLOSED])
    raw = UPLOAD.replace(b"Content-Length: 8", b"Connection: close\r\nContent-Length: 1000000")
    with patient.connect() as client:
        client.send(raw.replace(b"HTTP/1.1", b"HTTP/" + version))
        assert client.readable_within(PATIENCE)  # its answer
        client.send(bytes(1_000_000 - 8) + GET)
        got = client.answer()
        assert (got.body, got.complete) == (b"too long", True)
        assert client.rest() == b""
