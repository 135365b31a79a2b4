"""What a driver asks about the first events of a stream, and where the answers are computed."""

from proxy.drivers.work import Work
from proxy.http.faults import Fault
from proxy.responses import early
from proxy.responses.early import EarlyRefusal
from proxy.responses.exchange import Exchange
from proxy.responses.steps import Compute


class FirstEvents:
    """Answers for one request. Where there is no room to compute an answer, the stream is not held."""

    __slots__ = ("_exchange", "_work")

    def __init__(self, exchange: Exchange, work: Work) -> None:
        self._exchange = exchange
        self._work = work

    async def commit_at_first(self, request: bytes) -> bool:
        """Whether the client wants any first event without delay."""
        return await self._answer(early.background(request), otherwise=True)

    async def refuse(self, refusal: EarlyRefusal, *, again: bool) -> bool:
        """Whether an error is the exchange's to judge; one that comes `again` always is, as one in a status is."""
        if not self._exchange.judges(refusal.status):
            return False
        return again or await self._answer(early.recognition(refusal), otherwise=False)

    async def _answer(self, question: Compute, *, otherwise: bool) -> bool:
        try:
            return bool(await self._work.perform(question))
        except Fault:
            return otherwise
