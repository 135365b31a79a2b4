"""How an answer is written to a client's connection, whatever the application does."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from proxy.server.cycle import Cycle
from proxy.server.protocol import ClientProtocol
from tests.support.raw_client import RawClient, request
from tests.support.serving import serving


def start(status: int = 200, *fields: tuple[bytes, bytes]) -> Message:
    """The head of an answer."""
    return {"type": "http.response.start", "status": status, "headers": list(fields)}


def body(piece: bytes, *, more: bool = False) -> Message:
    """A piece of its body."""
    return {"type": "http.response.body", "body": piece, "more_body": more}


TWO = (b"content-length", b"2")
ANSWERS = {
    "/whole": [start(200, TWO), body(b"ab")],
    "/pieces": [start(200, TWO), body(b"a", more=True), body(b"b")],
    "/chunks": [start(), body(b"a", more=True), body(b"", more=True), body(b"b")],
    "/chunk": [start(), body(b"ab")],
    "/nothing": [start(), body(b"")],
    "/204": [start(204), body(b"")],
    "/unknown": [start(299, TWO), body(b"ab")],
    "/last": [start(200, TWO, (b"connection", b"Close")), body(b"ab")],
    "/long": [start(200, TWO), body(b"abc")],
    "/short": [start(200, TWO), body(b"a")],
    "/head alone": [start(200, TWO)],
    "/cut": [start(), body(b"ab", more=True)],
    "/broken": [start(200, (b"x", b"a\r\ny: b"), TWO), body(b"ab")],
    "/twice": [start(200, TWO), body(b"ab"), body(b"ab")],
}


class Recorder:
    """A client's connection that keeps what is written to it, write by write."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.written: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def write(self, data: bytes) -> None:
        """Keep, and write."""
        self.written.append(data)
        self.transport.write(data)


class Recorded(ClientProtocol):
    """The protocol of a client's connection that is recorded."""

    header_timeout = 20.0
    highest_descriptor = 100_000

    def connection_made(self, transport: Any) -> None:
        """Keep the connection."""
        recorder = Recorder(transport)
        recorded.append(recorder)
        super().connection_made(recorder)  # type: ignore[arg-type]

    def _start(self, cycle: Cycle) -> None:
        cycles.append(weakref.ref(cycle))
        super()._start(cycle)


class Timed(Recorded):
    """A protocol that notes for how long its connection lasted after its last answer."""

    def on_response_complete(self) -> None:
        """Note the time."""
        self.answered = self.loop.time()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note how much later this is."""
        idle.append(self.loop.time() - self.answered)
        super().connection_lost(exc)


idle: list[float] = []
cycles: list[weakref.ref[Any]] = []
recorded: list[Recorder] = []


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as the path says."""
    path = scope["path"]
    if path == "/waits":
        await send(start(200, TWO))
        await receive()
        await asyncio.sleep(0.05)
        await send(body(b"ab"))
    elif path == "/raises":
        await send(start(200, TWO))
        raise RuntimeError("on purpose")
    else:
        for message in ANSWERS[path.replace("_", " ")]:
            await send(message)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where the application is served."""
    with serving(app, http=Recorded, lifespan="off") as port:
        yield port


@pytest.fixture
def client(port: int) -> Iterator[RawClient]:
    """A connection to it."""
    with RawClient(port) as client:
        yield client


HEAD = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"content-length: 2\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("path", "writes"),
    [
        (b"/whole", [HEAD + LENGTH + b"\r\nab"]),
        (b"/pieces", [HEAD + LENGTH + b"\r\na", b"b"]),
        (b"/chunk", [CHUNKED + b"2\r\nab\r\n0\r\n\r\n"]),
        (b"/chunks", [CHUNKED + b"1\r\na\r\n", b"1\r\nb\r\n0\r\n\r\n"]),
        (b"/nothing", [CHUNKED + b"0\r\n\r\n"]),
        (b"/204", [b"HTTP/1.1 204 No Content\r\n\r\n"]),
        (b"/unknown", [b"HTTP/1.1 299 \r\n" + LENGTH + b"\r\nab"]),
        (b"/last", [HEAD + LENGTH + b"connection: Close\r\n\r\nab"]),
    ],
)
def test_a_head_and_what_follows_at_once_are_one_write(client: RawClient, path: bytes, writes: list[bytes]) -> None:
    """A head goes with the first piece of its body, and an empty piece with nothing; the connection goes on."""
    for _ in range(1 if path == b"/last" else 2):
        client.send(request(b"GET", path))
        assert client.exactly(sum(map(len, writes))) == b"".join(writes)
        assert recorded[-1].written == writes
        recorded[-1].written.clear()


def test_a_head_waits_for_no_body(client: RawClient) -> None:
    """A head is written when the application waits before it sends the body."""
    client.send(request(b"GET", b"/waits"))
    assert client.answer().body == b"ab"
    assert recorded[-1].written == [HEAD + LENGTH + b"\r\n", b"ab"]


@pytest.mark.parametrize(
    ("path", "wire"),
    [
        (b"/raises", HEAD + LENGTH + b"\r\n"),
        (b"/head_alone", HEAD + LENGTH + b"\r\n"),
        (b"/short", HEAD + LENGTH + b"\r\n"),
        (b"/long", HEAD + LENGTH + b"\r\n"),
        (b"/cut", CHUNKED + b"2\r\nab\r\n"),
        (b"/broken", b""),
    ],
)
def test_an_answer_without_its_end_is_cut(client: RawClient, path: bytes, wire: bytes) -> None:
    """What the application has sent arrives, nothing that looks like an end follows, and the connection is closed."""
    client.send(request(b"GET", path))
    assert client.rest() == wire


def test_an_answer_ends_once(client: RawClient) -> None:
    """What an application sends behind its answer is not written; it could be taken for the next one."""
    client.send(request(b"GET", b"/twice"))
    assert client.answer().body == b"ab"
    assert client.rest() == b""


@pytest.mark.parametrize(
    ("path", "wire"),
    [(b"/whole", HEAD + LENGTH + b"\r\n"), (b"/chunks", HEAD + b"\r\n"), (b"/nothing", HEAD + b"\r\n")],
)
def test_an_answer_to_head_has_no_body(client: RawClient, path: bytes, wire: bytes) -> None:
    """It has the head, without chunks that would never come, and the connection goes on."""
    client.send(request(b"HEAD", path) + request(b"GET", b"/whole"))
    assert client.exactly(len(wire)) == wire
    assert client.answer().body == b"ab"


@pytest.mark.parametrize("path", [b"/whole", b"/pieces", b"/chunk", b"/chunks"])
def test_an_old_client_gets_no_chunks(client: RawClient, path: bytes) -> None:
    """An answer to HTTP/1.0 ends with its length, or with the connection."""
    client.send(b"GET %b HTTP/1.0\r\n\r\n" % path)
    got = client.answer()
    assert (got.body, got.values(b"transfer-encoding"), got.values(b"connection")) == (b"ab", [], [b"close"])
    assert client.rest() == b""


@pytest.mark.parametrize("path", [b"/cut", b"/head_alone", b"/raises"])
def test_an_old_clients_cut_answer_is_reset(client: RawClient, path: bytes) -> None:
    """Where the end of the connection would be the answer's end, the connection breaks off."""
    client.send(b"GET %b HTTP/1.0\r\n\r\n" % path)
    assert client.is_reset()


def test_pipelined_requests_are_answered_in_order(client: RawClient) -> None:
    """No answer begins before the one before it is written."""
    paths = [b"/waits", b"/chunks", b"/whole", b"/204", b"/pieces"]
    client.send(b"".join(request(b"GET", path) for path in paths))
    assert [client.answer().body for _ in paths] == [b"ab", b"ab", b"ab", b"", b"ab"]


def test_an_idle_connection_is_closed() -> None:
    """A connection is closed when it has idled for long enough since its last answer, not since an earlier one."""
    with serving(app, http=Timed, lifespan="off", timeout_keep_alive=1) as port, RawClient(port) as client:
        for path in (b"/whole", b"/waits"):
            client.send(request(b"GET", path))
            assert client.answer().body == b"ab"
        assert client.rest() == b""
    assert idle[0] > 0.99


def test_a_client_that_leaves_between_head_and_body(port: int) -> None:
    """It is no fault: the next client is served."""
    with RawClient(port) as leaving:
        leaving.send(request(b"GET", b"/waits"))
        leaving.until(b"\r\n\r\n")
        leaving.reset()
    with RawClient(port) as client:
        client.send(request(b"GET", b"/waits"))
        assert client.answer().body == b"ab"


@pytest.mark.parametrize("path", [b"/whole", b"/pieces", b"/chunks", b"/waits"])
def test_an_answer_leaves_nothing_for_a_collector(client: RawClient, path: bytes) -> None:
    """Once the connection has its next request, the one before is gone, whatever it held."""
    gc.disable()
    try:
        cycles.clear()
        for _ in range(2):
            client.send(request(b"GET", path))
            assert client.answer().body == b"ab"
        assert [cycle() is None for cycle in cycles] == [True, False]
    finally:
        gc.enable()
