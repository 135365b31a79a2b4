"""The id of a request: on its scope, on its answer."""

import re
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from proxy.http.context import answer_fault, context_of
from proxy.http.faults import Fault
from proxy.middleware.request_id import RequestIdMiddleware
from proxy.streams.offer import START
from tests.support.asgi import OK, answer, answering, http


def ids(messages: list[Message]) -> list[str]:
    """The request ids that an answer's fields say."""
    return [value.decode() for name, value in messages[0]["headers"] if name == b"x-unpinned-request-id"]


def test_each_answer_has_an_id() -> None:
    """Every answer says the id under which the log speaks of its request; nothing else is added, nothing changed."""
    app = RequestIdMiddleware(answering())
    scope = http()
    first, second = answer(app, scope), answer(app)
    (request_id,) = ids(first)
    assert re.fullmatch("req-[0-9a-f]{12}", request_id)
    assert context_of(scope).request_id == request_id
    assert ids(second) != [request_id]
    assert first[0] == {**OK[0], "headers": [(b"x", b"y"), (b"x-unpinned-request-id", request_id.encode())]}
    assert first[1:] == list(OK[1:])
    assert OK[0]["headers"] == [(b"x", b"y")]


def test_a_101_has_an_id() -> None:
    """The head that ends HTTP on a connection says it as any other."""
    (opened,) = answer(RequestIdMiddleware(answering({"type": START, "headers": [(b"a", b"b")]})))
    assert opened["headers"][0] == (b"a", b"b")
    assert len(ids([opened])) == 1


def test_what_the_server_keeps_in_the_state_stays() -> None:
    """The context joins what is in the state already."""
    scope = http(state={"shared": 1})
    answer(RequestIdMiddleware(answering()), scope)
    assert scope["state"] == {"shared": 1, "unpinned": context_of(scope)}


def test_without_report_only_faults_say_it() -> None:
    """With the report switched off, an answer of upstream's gets no field; a fault of ours has it twice in any case."""
    assert answer(RequestIdMiddleware(answering(), report=False)) == list(OK)

    async def failing(scope: Scope, _receive: Receive, send: Send) -> None:
        await answer_fault(Fault(502, "upstream_cut", "…"), scope, send)

    for report in (True, False):
        messages = answer(RequestIdMiddleware(failing, report=report))
        (request_id,) = ids(messages)
        assert (b"x-request-id", request_id.encode()) in messages[0]["headers"]


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
def test_other_scopes_pass(kind: str) -> None:
    """What is no request has no id."""
    seen: list[Any] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope)

    answer(RequestIdMiddleware(app), {"type": kind})
    assert seen == [{"type": kind}]
