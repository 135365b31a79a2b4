"""What a driver asks about the first events of a stream, and where the answer is computed."""

from proxy.drivers.work import Work
from proxy.http.faults import Fault
from proxy.responses import early
from proxy.responses.early import EarlyRefusal
from proxy.responses.exchange import Exchange


async def refuses(exchange: Exchange, work: Work, refusal: EarlyRefusal, *, again: bool) -> bool:
    """Whether an error is the exchange's to judge; one that comes `again` always is, as one in a status is.

    Where there is no room to compute that, the stream is not held.
    """
    if not exchange.judges(refusal.status):
        return False
    if again:
        return True
    try:
        return bool(await work.perform(early.recognition(refusal)))
    except Fault:
        return False
