"""What a driver asks about the first events of a stream, and where the answer is computed."""

from proxy.drivers.work import Work
from proxy.http.faults import Fault
from proxy.responses import early
from proxy.responses.early import EarlyRefusal
from proxy.responses.exchange import Exchange


class FirstEvents:
    """Answers for one request. Where there is no room to compute the answer, the stream is not held."""

    __slots__ = ("_exchange", "_work")

    def __init__(self, exchange: Exchange, work: Work) -> None:
        self._exchange = exchange
        self._work = work

    async def refuse(self, refusal: EarlyRefusal, *, again: bool) -> bool:
        """Whether an error is the exchange's to judge; one that comes `again` always is, as one in a status is."""
        if not self._exchange.judges(refusal.status):
            return False
        if again:
            return True
        try:
            return bool(await self._work.perform(early.recognition(refusal)))
        except Fault:
            return False
