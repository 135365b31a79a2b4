"""The real process in front of an upstream that answers everything, for many hostile clients one after the other."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from tests.support.process import Process, running
from tests.support.raw_client import RawAnswer, RawClient, exchange, request
from tests.support.scripts import answer
from tests.support.upstream_server import Received, ScriptedUpstream


@dataclass
class Front:
    """The process and what is behind it. What was there before a case began is forgotten with `begin`."""

    process: Process
    upstream: ScriptedUpstream
    _requests: int = 0
    _bytes: int = 0

    @property
    def port(self) -> int:
        """Where clients connect."""
        return self.process.port

    def begin(self) -> None:
        """A case begins."""
        self._requests, self._bytes = len(self.upstream.received), len(self.upstream.wire)

    def received(self) -> list[Received]:
        """What upstream received in this case, once a request of another client has been answered."""
        assert exchange(self.port, request(b"GET", b"/last")).status == 200
        *seen, last = self.upstream.received[self._requests :]
        assert last.target == b"/last"
        self._bytes += len(last.raw_head)
        return seen

    def count(self) -> int:
        """How many bytes upstream has read in this case, those of that other client left out."""
        return len(self.upstream.wire) - self._bytes

    def talk(self, raw: bytes, *, dripping: bool = False) -> tuple[RawAnswer, bytes]:
        """What a client gets for `raw`, and what follows that until the connection ends, if it ends."""
        with RawClient(self.port) as client:
            with suppress(ConnectionError):  # it may have been answered already, and the connection closed
                for piece in (raw[at : at + 1] for at in range(len(raw))) if dripping else (raw,):
                    client.send(piece)
            got = client.answer(bodiless=raw.startswith(b"HEAD "))
            return got, client.rest() if got.values(b"connection") == [b"close"] else b""


@pytest.fixture(scope="module")
def fronts() -> Iterator[Front]:
    """One process for all cases of a module."""
    with ScriptedUpstream() as upstream:
        upstream.will_always_answer(answer(200, b"ok"))
        with running("--upstream", upstream.url) as process:
            yield Front(process, upstream)


@pytest.fixture
def front(fronts: Front) -> Front:
    """The module's process, as at the beginning of a case."""
    fronts.begin()
    return fronts
