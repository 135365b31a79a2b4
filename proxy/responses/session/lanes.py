"""Turns, and the lanes in which they follow each other.

A lane answers its turns in order. Of a turn that is *decided* every event passes: its first event that commits was
given to the client, or its refusal. One turn of a lane at a time is on its way to that; those behind it wait in their
bytes. An event belongs to the oldest turn of its lane that has not ended.

| state | what holds |
|---|---|
| waiting | upstream has not seen it; a turn before it is not decided |
| preparing | its next attempt is being made; what its last one was answered with is held |
| sent | upstream has an attempt, whose events are held until one of them decides |
| decided | its events pass; it ends with the last |
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from proxy.report import Report
from proxy.responses.session.reading import Create, UpstreamEvent

if TYPE_CHECKING:
    from proxy.responses.exchange import Exchange, Steps

_OWN: Final = 1024
"""Responses that are known to be of the connection."""
_NAMES: Final = 1024
"""Names of lanes that have a number of their own; upstream knows 32."""
_LONGEST: Final = 256
"""Letters of an id that is remembered: upstream's have 64 at most."""
MOST: Final = 1024
"""Turns that have not ended: upstream works on 16 at a time."""

State = Literal["waiting", "preparing", "sent", "decided"]


class Held(NamedTuple):
    """An event that the client has not seen, and its message, frames and all."""

    event: UpstreamEvent
    message: bytes

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        return len(self.event.payload) + len(self.message)


class Turn:
    """One `response.create` of a client, or a response that upstream began by itself."""

    __slots__ = (
        "attempts",
        "exchange",
        "fault",
        "first",
        "first_status",
        "has_created",
        "held",
        "holds_blobs",
        "is_answering",
        "is_asking",
        "is_plain",
        "lane",
        "message",
        "model",
        "number",
        "parent",
        "payload",
        "report",
        "seconds",
        "stale",
        "state",
        "status",
        "steps",
    )

    def __init__(self, number: int, lane: "Lane", create: Create | None, message: bytes) -> None:
        self.number = number
        self.lane = lane
        self.message = message
        """What the client sent, frames and all."""
        self.payload = create.payload if create is not None else b""
        self.parent = create.parent if create is not None else None
        self.model = create.model if create is not None else ""
        self.state: State = "waiting" if create is not None else "decided"
        self.attempts = 0
        self.exchange: Exchange | None = None
        self.steps: Steps | None = None
        self.is_asking = False
        """A step of its exchange is being performed: nothing else may touch that."""
        self.held: list[Held] = []
        """Upstream's answer to the last attempt, so far."""
        self.first: list[Held] | None = None
        """What refused the first one."""
        self.first_status = 0
        self.status = 0
        """200, or that of the refusal that the client gets; 0: it gets none yet."""
        self.fault = ""
        """The code of ours that it was answered with."""
        self.seconds = 0.0
        """Of processor time, for its forms."""
        self.is_answering = False
        """The client has been given an event of its answer."""
        self.has_created = False
        """Upstream has begun a response, as it said."""
        self.stale: set[str] = set()
        """Ids of responses that were refused: what is said of them later concerns no other attempt."""
        self.is_plain = False
        """It went as it came because the exchange's body would have been too long."""
        self.holds_blobs = False
        self.report = Report()

    @property
    def is_undecided(self) -> bool:
        """Whether it is not yet known which answer the client gets."""
        return self.state in ("waiting", "preparing", "sent")

    @property
    def is_judged(self) -> bool:
        """Whether upstream has had an attempt, and it is undecided: its events are held."""
        return self.attempts > 0 and self.is_undecided

    @property
    def held_size(self) -> int:
        """Bytes of events that are held."""
        return sum(held.size for held in (*self.held, *(self.first or ())))

    @property
    def size(self) -> int:
        """Bytes that are held for it."""
        return len(self.message) + len(self.payload) + self.held_size


class Lane:
    """The turns of one lane that have not ended, the oldest first."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.turns: deque[Turn] = deque()
        self.steered = 0
        """The number of the last turn when a response of the lane was steered: those up to the next may be mistaken."""

    @property
    def front(self) -> Turn | None:
        """The turn to which events belong."""
        return self.turns[0] if self.turns else None

    @property
    def next_waiting(self) -> Turn | None:
        """The turn that may be sent now; None where there is none, or one before it is undecided."""
        for turn in self.turns:
            if turn.state == "waiting":
                return turn
            if turn.is_undecided:
                return None
        return None


class Lanes:
    """All lanes of a session, and the ids of the responses that upstream created in them."""

    def __init__(self) -> None:
        self._lanes: dict[str, Lane] = {}
        self._own: OrderedDict[str, str] = OrderedDict()
        self._numbers: dict[str, int] = {}

    def __iter__(self) -> Iterator[Turn]:
        """All turns that have not ended."""
        for lane in self._lanes.values():
            yield from lane.turns

    @property
    def are_full(self) -> bool:
        """Whether there are more turns, or lanes, than any upstream has."""
        return len(self._lanes) >= MOST or sum(len(lane.turns) for lane in self._lanes.values()) >= MOST

    def get(self, name: str) -> Lane | None:
        """The lane of that name, if something is in it."""
        return self._lanes.get(name)

    def lane(self, name: str) -> Lane:
        """The lane of that name."""
        found = self._lanes.get(name)
        if found is None:
            number = self._numbers.setdefault(name, len(self._numbers))
            if number >= _NAMES:
                del self._numbers[name]
            found = self._lanes[name] = Lane(name, number)
        return found

    def leave(self, turn: Turn) -> None:
        """Take a turn out of its lane: it has ended."""
        lane = turn.lane
        lane.turns.remove(turn)
        if turn.number > lane.steered:
            lane.steered = 0
        if not lane.turns and not lane.steered:
            del self._lanes[lane.name]

    def own(self, response_id: str, lane: str) -> None:
        """Remember a response that upstream created."""
        if len(response_id) > _LONGEST:
            return
        self._own[response_id] = lane
        self._own.move_to_end(response_id)
        if len(self._own) > _OWN:
            self._own.popitem(last=False)

    def lane_of(self, response_id: str | None) -> str | None:
        """The lane in which a response was created; None where it is none of this connection."""
        return self._own.get(response_id) if response_id is not None else None
