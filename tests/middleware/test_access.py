"""One fact for each request that is over."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from proxy.events import Answered, SocketClosed
from proxy.http.context import Socket, answer_fault, context_of
from proxy.http.faults import hop_fault
from proxy.middleware.access import AccessMiddleware
from proxy.report import Report
from proxy.streams.offer import START
from tests.support.asgi import OK, answer, answering, http, receive


class Witness:
    """An observer and a clock: each look at the clock is half a second after the last one."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.now = 0.0

    def notice(self, request_id: str, event: Any) -> None:
        """Keep what happened."""
        self.told.append((request_id, event))

    def clock(self) -> float:
        """The time."""
        self.now += 0.5
        return self.now

    def around(self, app: Any) -> AccessMiddleware:
        """The middleware around `app`."""
        return AccessMiddleware(app, self, self.clock)


@pytest.fixture
def witness() -> Witness:
    """A witness of one's own."""
    return Witness()


def test_an_answer_is_told(witness: Witness) -> None:
    """An answered request is told with what was done to it, and its answer is not touched."""
    report = Report("rewritten", "lossless", attempts=2)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        context_of(scope).report = report
        await answering()(scope, receive, send)

    scope = http(method="POST", raw_path=b"/openai/v1/responses")
    context_of(scope).request_id = "req-1"
    assert answer(witness.around(app), scope) == list(OK)
    expected = Answered(
        "POST", "responses", "/openai/v1/responses", 200, 1.0, complete=True, report=report, first_byte=0.5
    )
    assert witness.told == [("req-1", expected)]


def test_a_request_that_went_no_further(witness: Witness) -> None:
    """Where nothing was sent upstream, the report says so; a path without its raw form is told as well."""
    scope = http(path="/caf\u00e9")
    del scope["raw_path"]
    answer(witness.around(answering()), scope)
    ((request_id, answered),) = witness.told
    assert (request_id, answered.route, answered.report.attempts) == ("", "other", 0)
    assert answered.path.encode("latin-1").decode() == "/caf\u00e9"


def test_a_client_that_left(witness: Witness) -> None:
    """A client that left before the answer began is status 0; one that left or was cut off amid it is incomplete."""

    async def gone(_scope: Scope, _receive: Receive, _send: Send) -> None:
        return

    answer(witness.around(gone))
    answer(witness.around(answering(*OK[:2])))
    answer(witness.around(answering(*OK[:1])))
    assert [(event.status, event.complete) for _, event in witness.told] == [(0, False), (200, False), (200, False)]


def test_a_mistake_is_told(witness: Witness) -> None:
    """A request that ends in an exception is over as well."""

    async def mistaken(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        answer(witness.around(mistaken))
    assert [event.complete for _, event in witness.told] == [False]


class Hours:
    """A clock that moves when somebody says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def test_whose_time_it_was(witness: Witness) -> None:
    """Of the time to the first byte, the client's and upstream's share are told apart; what is left was added here."""
    hours = Hours()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        hours.now += 3
        context = context_of(scope)
        context.client_wait += 8
        hours.now += 8
        context.upstream_wait += 16
        hours.now += 16
        hours.now += 4
        await answering()(scope, receive, send)
        hours.now += 32

    async def send(_: Message) -> None:
        assert access.relaying == 1

    access = AccessMiddleware(app, witness, hours)
    asyncio.run(access(http(), receive, send))
    ((_, answered),) = witness.told
    assert (answered.client, answered.upstream, answered.first_byte, answered.seconds) == (8, 16, 31, 63)
    assert answered.overhead == 7
    assert access.relaying == 0


def test_no_answer_has_no_first_byte(witness: Witness) -> None:
    """Where the client left before it was answered, nothing is told of when the answer began."""

    async def gone(_scope: Scope, _receive: Receive, _send: Send) -> None:
        return

    answer(witness.around(gone))
    ((_, answered),) = witness.told
    assert (answered.first_byte, answered.overhead) == (None, None)


def test_a_fault_is_told(witness: Witness) -> None:
    """Of an answer that is a fault of ours the code is told."""

    async def failing(scope: Scope, _receive: Receive, send: Send) -> None:
        await answer_fault(hop_fault("invalid_path"), scope, send)

    answer(witness.around(failing))
    ((_, answered),) = witness.told
    assert (answered.status, answered.fault) == (400, "invalid_path")


def test_other_scopes_pass(witness: Witness) -> None:
    """What is no request is not told."""
    assert answer(witness.around(answering()), {"type": "lifespan"}) == list(OK)
    assert witness.told == []


def test_a_socket_is_told_when_it_is_over(witness: Witness) -> None:
    """A WebSocket that was opened is one fact of its own, with what its driver counted; it is no answered request."""

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        socket = context_of(scope).socket = Socket("session")
        await send({"type": START, "headers": []})
        socket.client_bytes, socket.upstream_bytes, socket.close_code = 1, 2, 1000

    access = witness.around(app)
    scope = http(raw_path=b"/v1/responses")
    context_of(scope).request_id = "req-1"
    assert answer(access, scope) == [{"type": START, "headers": []}]
    assert witness.told == [("req-1", SocketClosed("/v1/responses", "session", 0.5, 1, 2, 1000))]
    assert access.relaying == 0


@pytest.mark.parametrize(
    ("fields", "id_"),
    [
        ([(b"x-request-id", b"req_0a1b"), (b"apim-request-id", b"other")], "req_0a1b"),
        ([(b"apim-request-id", b"0a1b-2c3d")], "0a1b-2c3d"),
        ([(b"x-request-id", b"<b>")], ""),
        ([(b"x-request-id", b"a" * 65)], ""),
        ([], ""),
    ],
)
def test_upstreams_id_is_told(witness: Witness, fields: list[tuple[bytes, bytes]], id_: str) -> None:
    """Where it is shown, the id that upstream gave the request is told, if it is a plain one; else it is not read."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body"})

    answer(AccessMiddleware(app, witness, witness.clock, reads_ids=True))
    answer(witness.around(app))
    assert [event.upstream_id for _, event in witness.told] == [id_, ""]
