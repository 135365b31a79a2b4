"""The real process in front of a scripted upstream, for one WebSocket after the other."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.handshakes import handshake
from tests.support.process import Process, running
from tests.support.raw_client import RawClient
from tests.support.scripts import Script
from tests.support.upstream_server import ScriptedUpstream


class Front:
    """The process, and what is behind it."""

    def __init__(self, process: Process, upstream: ScriptedUpstream) -> None:
        self.process = process
        self.upstream = upstream

    @contextmanager
    def opened(self, script: Script, sent: bytes | None = None) -> Iterator[RawClient]:
        """A client that has read the head of its 101, while upstream performs `script`."""
        self.upstream.will_answer(script)
        with RawClient(self.process.port) as client:
            client.send(handshake() if sent is None else sent)
            assert client.head().status == 101
            yield client


@pytest.fixture(scope="module")
def process_and_upstream() -> Iterator[Front]:
    """One process for all cases of a module."""
    with ScriptedUpstream() as upstream, running("--upstream", upstream.url) as process:
        yield Front(process, upstream)


@pytest.fixture
def front(process_and_upstream: Front) -> Front:
    """The module's process; what upstream has received before is forgotten."""
    process_and_upstream.upstream.received.clear()
    return process_and_upstream
