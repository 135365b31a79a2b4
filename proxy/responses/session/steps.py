"""What a session asks its driver to do, as values, in the order in which it is to be done."""

from dataclasses import dataclass
from typing import NamedTuple

from proxy.events import Event
from proxy.report import Report
from proxy.responses.steps import Compute, Recall


class ToUpstream(NamedTuple):
    """Write `data` to upstream."""

    data: bytes


class ToClient(NamedTuple):
    """Write `data` to the client."""

    data: bytes


class Ask(NamedTuple):
    """Perform `step`, and give its result to `Session.resume` with the ticket: a `Failure` where there is none."""

    ticket: int
    step: Compute | Recall
    turn: int = 0
    """For which turn; 0: for none."""


class Wait(NamedTuple):
    """Call `Session.resume` with the ticket, `seconds` from now."""

    ticket: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Began:
    """A turn has arrived, or upstream has begun a response by itself."""

    turn: int


@dataclass(frozen=True, slots=True)
class Noted:
    """Facts about a turn, for the observers."""

    turn: int
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Spent:
    """An attempt after the first was refused: it counts against the caller's budget."""


@dataclass(frozen=True, slots=True)
class Settled:
    """It is decided which answer a turn gets. `record` makes what a store remembers of it."""

    turn: int
    record: Compute | None


@dataclass(frozen=True, slots=True)
class Heard:
    """An event of a turn was given to the client that a store has to see: its JSON."""

    turn: int
    event: bytes


@dataclass(frozen=True, slots=True)
class Answering:
    """The first event of a turn's answer was given to the client."""

    turn: int


@dataclass(frozen=True, slots=True)
class TurnOver:
    """A turn has ended; `is_complete` says that its last event was given to the client."""

    turn: int
    lane: int
    status: int
    """200, or that of the refusal that it was answered with; 0: it was not answered."""
    report: Report
    is_complete: bool
    fault: str = ""
    """The code of the fault of ours that it was answered with."""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Close:
    """The session has said goodbye to the client: cut both connections in a moment."""


SessionStep = (
    ToUpstream | ToClient | Ask | Wait | Began | Noted | Spent | Settled | Answering | Heard | TurnOver | Close
)
