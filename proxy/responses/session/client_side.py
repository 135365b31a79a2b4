"""A session's client: its messages, which of them are turns, and what passes unread."""

from functools import partial
from typing import Final

from proxy.responses.frames import CLOSE, frame
from proxy.responses.session.messages import MessageReader, Part, close_code_of
from proxy.responses.session.outbox import Outbox
from proxy.responses.session.reading import DEFAULT_LANE, Create, Steer, client_message
from proxy.responses.session.sending import Failure
from proxy.responses.session.turns import Turns
from proxy.responses.steps import INLINE, Compute

PARTS: Final = 128
"""Parts that are read in one call."""
WAITING: Final = 32
"""Turns that wait; beyond them the client is not read."""
_OF_A_TURN: Final = 16
"""How many parts a turn counts for."""
_FRAGMENT: Final = 160
"""What it costs to look at a frame of a message, in bytes of `INLINE`."""

OUT_OF_MEMORY: Final = Failure(
    503,
    "out_of_memory",
    "The requests in progress hold as many bytes as UNPINNED_MAX_MEMORY allows; nothing was sent.",
    "server_error",
)


class ClientSide:
    """What the client sends. Beyond `most` bytes a message passes unread; with `strict` it is refused."""

    def __init__(self, turns: Turns, out: Outbox, *, most: int, strict: bool) -> None:
        self._turns = turns
        self._out = out
        self._most = most
        self._strict = strict
        self._reader = MessageReader(from_client=True, most=most)
        self._discards = False
        """The rest of a message is on its way that was refused."""
        self.looks = False
        """A message is looked at in another thread: those behind it wait."""
        self.is_garbled = False
        """What arrives is no WebSocket, or has to be read by an extension."""
        self.is_draining = False
        """No further turn begins."""

    def feed(self, data: bytes, *, has_room: bool) -> None:
        """Take bytes; `has_room` says that a message may be held of which more is to come."""
        self._reader.feed(data)
        self._reader.has_room = has_room

    @property
    def rest(self) -> bytes:
        """What was taken, and neither read nor passed on."""
        return self._reader.rest

    @property
    def size(self) -> int:
        """Bytes that are held of a message that has not arrived whole."""
        return self._reader.size

    @property
    def is_full(self) -> bool:
        """Whether so much waits that nothing more is to be fed."""
        waiting = self._turns.undecided
        held = self.size + sum(turn.size for turn in waiting)
        return len(waiting) >= WAITING or bool(waiting and held > self._most) or self._turns.lanes.are_full

    def read(self) -> bool:
        """Read some parts; whether that may not be all."""
        left = PARTS
        while left > 0 and not (self.looks or self.is_garbled):
            part = self._reader.next_part(hold=True)
            if part is None:
                break
            left -= self._take(part)
        return left <= 0

    def _take(self, part: Part) -> int:
        """Take a part; how many it counts for."""
        match part.kind:
            case "control":
                self._out.upstream.control(part.data)
                if part.opcode == CLOSE:
                    self._turns.close(close_code_of(part.data))
                    self._turns.unsent()
            case "passing":
                self._pass(part)
            case "garbage":
                self.is_garbled = True
            case "held":
                self._look(part)
                return _OF_A_TURN
            case "more":
                pass
        return 1

    def leave(self) -> bool:
        """Begin no turn any more; whether one waited, whose client is not there for its answer."""
        self._turns.close()
        return bool(self._turns.unsent())

    def _pass(self, part: Part) -> None:
        if part.is_too_long and self._strict:
            self._discards = True
            self._refuse(self._too_long() if self._reader.has_room else OUT_OF_MEMORY)
        if not self._discards:
            self._out.upstream.part(part.data, ends=part.ends)
        self._discards &= not part.ends

    def _too_long(self) -> Failure:
        message = f"The message is larger than the {self._most} bytes that UNPINNED_MAX_BODY allows."
        return Failure(413, "request_too_large", message)

    def _refuse(self, failure: Failure) -> None:
        self._out.client.message(frame(failure.event(DEFAULT_LANE)))

    def _look(self, part: Part) -> None:
        taking = len(part.data) + _FRAGMENT * part.frames
        if taking <= INLINE:
            self._seen(*_look_at(part.data))
            return
        self.looks = True
        self._out.ask(Compute(partial(_look_at, part.data), taking), self._looked)

    def _looked(self, result: tuple[bytes, Create | Steer | None] | Failure, _: float) -> None:
        self.looks = False
        if isinstance(result, Failure):
            self._refuse(result)
        else:
            self._seen(*result)

    def _seen(self, message: bytes, found: Create | Steer | None) -> None:
        match found:
            case Create():
                if not (self.is_draining or self._turns.sender.is_closed):
                    self._turns.arrive(found, message)
                return
            case Steer():
                self._turns.steer(found.parent)
        self._out.upstream.message(message)


def _look_at(data: bytes | bytearray) -> tuple[bytes, Create | Steer | None]:
    message = bytes(data)
    return message, client_message(message)
