"""A call's part in one exchange: performs its steps, reads what is to be judged, and commits to an answer.

It pulls what the ASGI driver is pushed. An answer that is held is read piece by piece until it can be judged, or it is
the client's: then what was read stands in front of the rest, and how it goes on is the client's to wait for.
"""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from proxy.drivers import first_events, loop
from proxy.drivers.attempt import HeldAnswer, HeldStream, attempt_fields, holding
from proxy.report import LeftOut
from proxy.responses import early
from proxy.responses.exchange import Exchange
from proxy.responses.left_out import NOTHING, left_out
from proxy.responses.steps import Forward, Recall
from proxy.transports.interface import Answer, Call, Late

if TYPE_CHECKING:
    from proxy.drivers.hearing import Hearing
    from proxy.responses.history.recall import Recalled


class Performer:
    """Performs the steps of one exchange: `body` is what the application sent, `plain` the same decoded."""

    def __init__(self, call: Call, exchange: Exchange, body: bytes, plain: bytes) -> None:
        self._call = call
        self._exchange = exchange
        self._body = body
        self._plain = plain
        self._count = 0
        self._first: HeldAnswer | None = None
        self._response: Any = None
        self.compute = call.work.perform

    async def run(self) -> Any:
        """The answer that the exchange ends with. Raises TooComplexError, and what the transport within raises."""
        relay = await loop.run(self._exchange.steps(), self)
        if relay is not None and self._first is not None:
            if self._count > 1:
                self._call.spend()
            self._commit_held(self._first, self._first.status)
        return self._response

    async def recall(self, step: Recall) -> "Recalled | None":
        """Ask the store on behalf of the request's caller."""
        stores = self._call.portable.stores
        return await stores.recall(self._call.fields, step, self._call.request_id) if stores is not None else None

    async def forward(self, step: Forward) -> tuple[int, bytes] | None:
        """Send a body upstream; the refusal that is answered, None where the answer is the client's."""
        if self._count > 1:
            self._call.spend()  # the attempt before, which was a recovery, was refused
        self._call.notice(self._exchange.events)
        if step.delay:
            await self._call.io.sleep(step.delay)
        self._count += 1
        answer = await self._call.io.send(self._call.sender, self._outgoing(step.body))
        status = answer.response.status_code
        held, seconds, watches = holding(self._exchange, status, answer.fields, answer)
        if held is None:
            self._commit(answer, None, status, watches=watches)
            return None
        try:
            said = await self._hold(held, answer, seconds)
        except BaseException:
            await answer.close()
            raise
        if said is not None:
            self._commit_held(held, said, watches=watches)
            return None
        await answer.close()
        self._first = self._first or held
        if self._call.work.is_spent:
            self._exchange.exhaust()
        return held.said

    def _outgoing(self, body: bytes) -> Any:
        """The request of an attempt; the first, unless its body is another one, is the application's own."""
        call, changed, first = self._call, body is not self._plain, self._count == 1
        if first and not changed:
            return call.request
        body = body if changed else self._body
        names = {name.lower(): name for name, _ in call.request.headers.raw}
        fields = attempt_fields(call.fields, len(body), changed=changed, first=first)
        return call.family.attempt(call.request, [(names.get(name, name), value) for name, value in fields], body)

    async def _hold(self, held: HeldAnswer, answer: Answer, seconds: float) -> int | None:
        """Read an answer until it can be judged: None. Where it is the client's, the status that it says."""
        until = time.monotonic() + seconds
        while not held.is_too_long:
            try:
                piece = await answer.next(until)
            except Late:
                break
            except Exception:  # noqa: BLE001 -- whatever a transport raises: the client gets what arrived, and then that
                return held.status
            if piece is None:
                held.is_whole = True
                return None if held.is_refusal else held.status
            held.add(piece, piece, more=True)
            if isinstance(held, HeldStream) and not held.is_understood:
                said, until = await self._look_at(held, piece, until)
                if said is not None:
                    return said
        return None if held.is_enough(follows_refusal=self._first is not None) else held.status

    async def _look_at(self, held: HeldStream, piece: bytes, until: float) -> tuple[int | None, float]:
        """What the first events of a stream say: the status, where it is the client's; until when to wait for more."""
        had_event = held.events.has_event
        verdict = held.verdict(piece)
        if verdict == "hold":
            is_first = held.events.has_event and not had_event
            return None, time.monotonic() + early.AFTER_FIRST_EVENT if is_first else until
        if verdict == "commit":
            return held.status, until
        again = self._first is not None
        if not await first_events.refuses(self._exchange, self._call.work, verdict, again=again):
            return verdict.status, until
        held.refusal = verdict
        return None, time.monotonic() + early.UNTIL_END

    def _commit_held(self, held: HeldAnswer, status: int, *, watches: bool = False) -> None:
        """Give the client an answer that was held, in the pieces in which it arrived; `status` is what it says."""
        found = left_out(held.body()) if self._exchange.holds_blobs and not held.is_refusal else NOTHING
        self._commit(held.parts[0], held.parts[1:], status, found, watches=watches and not found)

    def _commit(
        self,
        answer: Answer,
        pieces: Sequence[bytes] | None,
        status: int,
        missing: Mapping[LeftOut, int] = NOTHING,
        *,
        watches: bool = False,
    ) -> None:
        """Give the client an answer; `pieces` were read of it, None: it was not touched."""
        call = self._call
        report = call.portable.settle(self._exchange, status, call.caller, missing)
        call.notice(self._exchange.events)
        hearing = self._hearing(answer)
        if pieces is not None or watches or hearing is not None:
            answer.put(call.family, pieces or (), call.hear if watches else None, hearing)
        self._response = call.reported(answer, report)

    def _hearing(self, answer: Answer) -> "Hearing | None":
        """What has the answer remembered, where there is a store."""
        call = self._call
        if call.portable.stores is None or not 200 <= answer.response.status_code < 300:
            return None
        recorder = call.portable.stores.recorder(call.fields, call.route, call.request_id)
        if recorder is None:
            return None
        from proxy.drivers.hearing import Hearing  # noqa: PLC0415 -- only where there is a store

        return Hearing(recorder, answer.fields, self._exchange.record())
