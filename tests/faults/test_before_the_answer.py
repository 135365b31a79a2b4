"""Upstream fails before its answer's head is whole: one attempt, one fault in OpenAI's shape, and nothing left over."""

import socket
import time

import pytest

from tests.faults.conftest import KINDS, UPLOAD, Product, is_fault
from tests.support.broken_answers import AMBIGUOUS, NO_HTTP
from tests.support.raw_client import PATIENCE
from tests.support.scripts import END, RESET, UNTIL_CLOSED, Act, answer, head, script

BROKEN = {**NO_HTTP, **AMBIGUOUS}

every_kind = pytest.mark.parametrize("raw", KINDS.values(), ids=KINDS)


@every_kind
@pytest.mark.parametrize("began", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", head(100)], ids=["no head", "half", "100"])
@pytest.mark.parametrize("step", [END, RESET])
def test_a_connection_that_breaks_before_the_head_is_whole(
    patient: Product, raw: bytes, began: bytes, step: Act
) -> None:
    """502 at once, and nobody is told to send it again: upstream may have done what was asked."""
    got = patient.ask(raw, script(*[began] * bool(began), step))
    assert is_fault(got, "upstream_disconnected")
    assert got.values(b"x-should-retry") == []
    assert len(patient.attempts) == 1


@pytest.mark.parametrize("wire", BROKEN.values(), ids=BROKEN)
def test_an_answer_that_is_none(patient: Product, wire: bytes) -> None:
    """What is no answer, or two at once, is a 502; its connection is closed before anybody else gets it."""
    got = patient.ask(UPLOAD, script(wire, UNTIL_CLOSED))
    assert is_fault(got, "upstream_invalid_answer")
    assert len(patient.attempts) == 1
    patient.attempts[0].wait_closed()


@every_kind
def test_silence_before_the_answer(hasty: Product, raw: bytes) -> None:
    """An upstream that takes a request and says nothing is given up: 504, after one attempt."""
    got = hasty.ask(raw, script(UNTIL_CLOSED))
    assert is_fault(got, "upstream_first_byte_timeout")
    assert len(hasty.attempts) == 1
    hasty.attempts[0].wait_closed()


def drip(connection: socket.socket) -> None:
    """One byte of a head at a time, for longer than anybody should wait."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        connection.sendall(b"x")
        time.sleep(0.05)


@pytest.mark.parametrize("before", [b"HTTP/1.1 200 OK\r\nX: ", head(100) + b"HTTP/1.1 200 OK\r\nX: "])
def test_a_head_that_drips(hasty: Product, before: bytes) -> None:
    """A head that comes byte by byte is not there in time, however often something comes: 504."""
    got = hasty.ask(UPLOAD, script(before, drip))
    assert is_fault(got, "upstream_first_byte_timeout")
    assert len(hasty.attempts) == 1
    hasty.attempts[0].wait_closed()


def test_a_head_in_many_pieces(patient: Product) -> None:
    """A head that comes in pieces, but comes, is an answer like any other."""
    wire = answer(200, b"mine", [(b"X-A", b"1")])[-1]
    assert isinstance(wire, bytes)
    got = patient.ask(UPLOAD, script(*(wire[n : n + 1] for n in range(len(wire)))))
    assert (got.status, got.body, got.values(b"x-a")) == (200, b"mine", [b"1"])


def test_interim_answers_without_end(hasty: Product) -> None:
    """A hundred 100s are no answer."""

    def hundred(connection: socket.socket) -> None:
        for _ in range(100):
            connection.sendall(head(100))

    assert is_fault(hasty.ask(UPLOAD, script(hundred, UNTIL_CLOSED)), "upstream_first_byte_timeout")
    assert len(hasty.attempts) == 1
