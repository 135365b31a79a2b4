"""A session's upstream: its events, which pass, and are held while a turn is judged that they may be about."""

from collections.abc import Callable
from functools import partial
from typing import Final

from proxy.responses.frames import CLOSE, TEXT, text_at
from proxy.responses.session.client_side import PARTS
from proxy.responses.session.messages import MessageReader, Part, close_code_of, payload_of
from proxy.responses.session.outbox import Outbox
from proxy.responses.session.reading import (
    RECORDED,
    WATCHED,
    UpstreamEvent,
    Watch,
    judged_event,
    type_at_front,
    upstream_event,
)
from proxy.responses.session.sending import Failure
from proxy.responses.session.turns import MOST_HELD, Turns
from proxy.responses.steps import INLINE, Compute

_AT_A_GLANCE: Final = 32 * 1024
"""Bytes of events that are looked at in one go: a thousand of them take a millisecond or two."""
_JUDGED: Final = 4
"""What it costs to judge an event, in bytes of `INLINE` for each of its own."""


class UpstreamSide:
    """What upstream sends. With `records` the events are read as well that a store's record is made of."""

    def __init__(self, turns: Turns, out: Outbox, *, records: bool) -> None:
        self._turns = turns
        self._out = out
        self._watched = WATCHED | RECORDED if records else WATCHED
        self._reader = MessageReader(from_client=False, most=MOST_HELD)
        self._watch: Watch | None = None
        self.looks = False
        """An event is looked at in another thread: those behind it wait."""
        self.is_garbled = False
        """What arrives is no WebSocket, or has to be read by an extension."""

    def feed(self, data: bytes) -> None:
        """Take bytes."""
        self._reader.feed(data)

    @property
    def rest(self) -> bytes:
        """What was taken, and neither read nor passed on."""
        return self._reader.rest

    @property
    def size(self) -> int:
        """Bytes that are held of an event that has not arrived whole."""
        return self._reader.size + (self._watch.size if self._watch is not None else 0)

    @property
    def is_between_messages(self) -> bool:
        """Whether a message of ours may be put behind what was passed on."""
        return self._reader.is_between_messages and not self.looks

    def passes_by(self, data: bytes) -> bool:
        """Whether `data` is whole events that are of no interest, as nine in ten are: then it need not be fed."""
        if self._turns.judged or not self._reader.is_idle or self.looks or self.is_garbled or len(data) > _AT_A_GLANCE:
            return False
        position = 0
        while position < len(data):
            payload, position = text_at(data, position)
            if not payload or type_at_front(data, payload) in self._watched:
                return False
        return True

    def read(self) -> bool:
        """Read some parts; whether that may not be all."""
        left = PARTS
        while left > 0 and not (self.looks or self.is_garbled):
            part = self._reader.next_part(hold=bool(self._turns.judged))
            if part is None:
                break
            self._take(part)
            left -= 1
        return left <= 0

    def _take(self, part: Part) -> None:
        match part.kind:
            case "control":
                if part.opcode == CLOSE:
                    self._turns.close(close_code_of(part.data))
                    self._turns.decide_all(is_last=True)
                self._out.client.control(part.data)
            case "passing":
                if part.is_too_long:
                    self._turns.decide_all()
                self._out.client.part(part.data, ends=part.ends)
                self._pass_by(part)
            case "garbage":
                self.is_garbled = True
            case "held":
                message = bytes(part.data)
                work = partial(judged_event, payload_of(message))
                self._look(_JUDGED * len(message), work, partial(self._judge, message))
            case "more":
                pass

    def leave(self) -> None:
        """Give the client what is held: upstream says nothing more."""
        self._turns.close()
        self._turns.decide_all(is_last=True)

    def _judge(self, message: bytes, event: UpstreamEvent) -> None:
        self._turns.event(event, message)

    def _look(self, taking: int, work: Callable[[], UpstreamEvent], then: Callable[[UpstreamEvent], None]) -> None:
        if taking <= INLINE:
            then(work())
            return
        self.looks = True
        self._out.ask(Compute(work, taking), partial(self._looked, then))

    def _looked(self, then: Callable[[UpstreamEvent], None], found: UpstreamEvent | Failure, _: float) -> None:
        self.looks = False
        then(UpstreamEvent(b"") if isinstance(found, Failure) else found)

    def _pass_by(self, part: Part) -> None:
        """Most events are whole, and of no interest: of these a look at their first bytes is all."""
        if part.begins and part.ends and type_at_front(part.data, part.payload) not in self._watched:
            return
        if part.begins:
            self._watch = Watch(self._watched) if part.opcode == TEXT else None
        if self._watch is None:
            return
        self._watch.take(payload_of(part.data) if part.is_too_long else bytes(part.data[part.payload :]))
        if not self._watch.is_wanted:
            self._watch = None
        elif part.ends:
            watch, self._watch = self._watch, None
            self._look(watch.size, partial(upstream_event, watch.payload), self._turns.passed)
