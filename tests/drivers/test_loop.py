"""The loop that performs the steps of an exchange, without a protocol."""

import asyncio
from typing import Any

import pytest

from proxy.drivers import loop
from proxy.responses.exchange import Exchange
from proxy.responses.history.recall import Recalled
from proxy.responses.policy import Policy
from proxy.responses.steps import Compute, Forward, Recall, Relay

BODY = b'{"previous_response_id":"resp_1","input":[{"role":"user","content":"and?"}]}'
MESSAGE = b'{"error":{"message":"Previous response with id \'resp_1\' not found.","param":"previous_response_id"}}'
REFUSAL = (400, MESSAGE)
HISTORY = Recalled((b'{"role":"user","content":"hi"}', b'{"role":"assistant","content":"hello"}'), {})


class Performer:
    """Answers with these refusals, one after the other; what comes after the last is committed."""

    def __init__(self, *refusals: tuple[int, bytes], known: Recalled | None = None, waits: bool = False) -> None:
        self.refusals = list(refusals)
        self.known = known
        self.waits = waits
        self.performed: list[object] = []

    async def compute(self, step: Compute) -> Any:
        """Do it."""
        if self.waits:
            await asyncio.sleep(0)
        return step.work()

    async def recall(self, step: Recall) -> Recalled | None:
        """Take note."""
        self.performed.append(step)
        return self.known

    async def forward(self, step: Forward) -> tuple[int, bytes] | None:
        """Take note."""
        self.performed.append(step.body)
        return self.refusals.pop(0) if self.refusals else None


def test_until_it_is_committed() -> None:
    """The loop ends with nothing where the driver has committed: after a lookup, a refusal and another attempt."""
    performer = Performer(REFUSAL, known=HISTORY)
    exchange = Exchange(BODY, Policy(mode="recover", recalls=True))
    assert loop.finished(loop.run(exchange.steps(), performer)) is None
    first, recall, second = performer.performed
    assert (first, recall) == (BODY, Recall("resp_1", ()))
    assert isinstance(second, bytes)
    assert b"resp_1" not in second


def test_until_nothing_is_left() -> None:
    """The loop ends with Relay where every attempt was refused."""
    performer = Performer(REFUSAL, REFUSAL, REFUSAL, REFUSAL)
    assert loop.finished(loop.run(Exchange(BODY, Policy(mode="recover")).steps(), performer)) == Relay()


def test_on_an_event_loop() -> None:
    """The same loop waits where its performer does."""
    performer = Performer(REFUSAL, waits=True)
    asyncio.run(loop.run(Exchange(BODY, Policy(mode="recover")).steps(), performer))
    assert len(performer.performed) == 2


def test_without_an_event_loop_nothing_may_wait() -> None:
    """A performer that waits where there is no event loop is an error, and no hang."""
    with pytest.raises(RuntimeError, match="no event loop"):
        loop.finished(loop.run(Exchange(BODY).steps(), Performer(waits=True)))
