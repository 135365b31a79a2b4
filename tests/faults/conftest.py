"""The whole product as a process of its own, in front of an upstream that misbehaves: one process for many tests.

After each test the process still answers, with the answer that was meant, and every script has been played.
"""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from proxy.http.faults import HOP
from tests.support.process import Process, running
from tests.support.raw_client import RawAnswer, RawClient, exchange, request
from tests.support.scripts import Script, answer
from tests.support.upstream_server import Received, ScriptedUpstream

USER = {"role": "user", "content": "hello"}
SAID = {"type": "message", "role": "assistant", "id": "msg_1", "content": "hi"}
BARE = {"type": "reasoning", "id": "rs_1", "summary": []}


def conversation(*items: object) -> bytes:
    """A request of the Responses API with these items, or with a few that have ids; each has a key of its own."""
    body = json.dumps({"model": "gpt-5", "input": items or (USER, BARE, SAID, USER)}).encode()
    key = (b"Authorization", b"Bearer " + secrets.token_hex(8).encode())
    return request(b"POST", b"/v1/responses", [(b"Content-Type", b"application/json"), key], body)


CONVERSATION = conversation()
UPLOAD = request(b"POST", b"/v1/files", [(b"Content-Type", b"application/json")], b'{"a": 1}')
GET = request(b"GET", b"/v1/models")
KINDS = {"rewritten": CONVERSATION, "relayed": UPLOAD, "without a body": GET}


def is_fault(got: RawAnswer, code: str) -> bool:
    """Whether an answer is the fault called `code`: its row, in OpenAI's shape, whole, and with our id."""
    row = HOP[code]
    error = {"message": row.message, "type": row.kind, "param": None, "code": code}
    ids = got.values(b"x-unpinned-request-id")
    fields = [(name, value) for name, value in got.fields if (name, value) in row.fields]
    shape = (got.status, json.loads(got.body), fields) == (row.status, {"error": error}, list(row.fields))
    return shape and got.complete and ids == got.values(b"x-request-id") and ids[0].startswith(b"req-")


@dataclass
class Product:
    """A running proxy and its upstream."""

    process: Process
    upstream: ScriptedUpstream
    seen: int = 0

    @property
    def attempts(self) -> list[Received]:
        """The requests that reached upstream since the test began."""
        return self.upstream.received[self.seen :]

    def answered(self) -> list[str]:
        """The lines that say that a request is over."""
        told = [line["message"] for line in self.process.log if isinstance(line, dict)]
        return [line for line in told if line.startswith(("GET ", "POST "))]

    def connect(self) -> RawClient:
        """A connection of one's own."""
        return RawClient(self.process.port)

    def ask(self, raw: bytes, *scripts: Script) -> RawAnswer:
        """One request, answered by these scripts."""
        self.upstream.will_answer(*scripts)
        return exchange(self.process.port, raw)

    def assert_sound(self) -> None:
        """Nothing is left over of what went wrong: whoever asks now gets the answer that is meant for them."""
        assert not self.upstream._scripts, "fewer requests were sent than expected"
        mine = secrets.token_hex(8).encode()
        got = self.ask(GET, answer(200, mine))
        while got.status == 504:  # where a proxy waits for a moment only, that may be too short
            got = self.ask(GET, answer(200, mine))
        assert got.body == mine

    @contextmanager
    def one_test(self) -> Iterator["Product"]:
        """The product for one test, and sound after it."""
        self.seen = len(self.upstream.received)
        yield self
        self.assert_sound()


@contextmanager
def product(*arguments: str) -> Iterator[Product]:
    """A process in front of an upstream of its own."""
    with ScriptedUpstream() as upstream, running("--upstream", upstream.url, *arguments) as process:
        yield Product(process, upstream)


@pytest.fixture(scope="session")
def _patient() -> Iterator[Product]:
    with product() as made:
        yield made


@pytest.fixture(scope="session")
def _hasty() -> Iterator[Product]:
    with product("--first-byte-timeout", "0.4") as made:
        yield made


@pytest.fixture(scope="session")
def _restless() -> Iterator[Product]:
    with product("--idle-timeout", "0.4") as made:
        yield made


@pytest.fixture(scope="session")
def _recovering() -> Iterator[Product]:
    with product("--mode", "recover") as made:
        yield made


@pytest.fixture
def patient(_patient: Product) -> Iterator[Product]:
    """A proxy with every setting at its default."""
    with _patient.one_test() as made:
        yield made


@pytest.fixture
def hasty(_hasty: Product) -> Iterator[Product]:
    """A proxy that waits less than half a second for the head of an answer."""
    with _hasty.one_test() as made:
        yield made


@pytest.fixture
def restless(_restless: Product) -> Iterator[Product]:
    """A proxy that bears no pause of half a second within an answer."""
    with _restless.one_test() as made:
        yield made


@pytest.fixture
def recovering(_recovering: Product) -> Iterator[Product]:
    """A proxy that sends conversations as they came, and repairs what is refused."""
    with _recovering.one_test() as made:
        yield made
