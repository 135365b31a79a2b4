"""An answer, read for the store as it passes: each piece is looked at, and none is changed.

Whatever cannot be read is no reason to break off: the answer passes on, and is not remembered.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from proxy.drivers.recorder import Recorder
from proxy.http import content_coding
from proxy.http.headers import Fields
from proxy.http.metadata import Metadata
from proxy.responses.history.answers import LARGEST, EventStream, WholeAnswer
from proxy.responses.history.recording import Made, made
from proxy.responses.steps import INLINE, Compute


class Hearing:
    """One answer for `recorder`; `ask` makes the record of the request."""

    def __init__(
        self,
        recorder: Recorder,
        fields: Fields,
        ask: Compute | None,
        hears: Callable[[Made], None] | None = None,
    ) -> None:
        self._recorder = recorder
        metadata = Metadata(fields)
        self._coding = metadata.coding
        self._answer: EventStream | WholeAnswer | None = None
        self.streams = False
        """It is an event stream that is read."""
        if recorder.begin(ask, hears) and content_coding.is_known(self._coding):
            self.streams = metadata.is_event_stream
            self._answer = recorder.events() if self.streams and not self._coding else WholeAnswer()

    def concerns(self, piece: bytes) -> bool:
        """Whether there is something to be taken from a piece that is not the last."""
        return self._answer is not None and self._answer.concerns(piece)

    async def hear(self, piece: bytes, *, last: bool = False) -> None:
        """Take a piece; at the end of the response it is given to the store."""
        answer = self._answer
        if answer is None:
            return
        try:
            cost = answer.cost(piece, last=last)
            if cost and self._coding:
                cost += INLINE  # how much it decodes to is not known before
            found = await self._recorder.perform(cost, partial(self._heard, answer, piece, last=last))
            if found is not None:
                await self._recorder.tell(found, cost)
        except Exception:  # noqa: BLE001 -- the answer goes on, even if it cannot be read
            self._answer = None
            self._recorder.failed()

    def _heard(self, answer: EventStream | WholeAnswer, piece: bytes, *, last: bool) -> Made | None:
        found = answer.feed(piece)
        return (self._end(answer) or found) if last else found

    def _end(self, answer: EventStream | WholeAnswer) -> Made | None:
        if not self._coding or not isinstance(answer, WholeAnswer):
            return answer.end()
        with suppress(content_coding.CorruptError, content_coding.TooLargeError):
            body = content_coding.decode(self._coding, answer.body, LARGEST)
            return self._recorder.events().feed(body) if self.streams else made(body)
        return None
