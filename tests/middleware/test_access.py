"""One fact for each request that is over."""

from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from proxy.events import Answered, Report
from proxy.middleware.access import AccessMiddleware
from tests.asgi import OK, answer, answering, http


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
        scope["state"]["report"] = report
        await answering()(scope, receive, send)

    scope = http(method="POST", raw_path=b"/openai/v1/responses", state={"request_id": "req-1"})
    assert answer(witness.around(app), scope) == list(OK)
    assert witness.told == [
        ("req-1", Answered("POST", "responses", "/openai/v1/responses", 200, 0.5, complete=True, report=report))
    ]


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


def test_other_scopes_pass(witness: Witness) -> None:
    """What is no request is not told."""
    assert answer(witness.around(answering()), {"type": "lifespan"}) == list(OK)
    assert witness.told == []
