"""A session without sockets: both sides are played, time is a number, and every step is performed where it is asked."""

import heapq
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from proxy.report import Report
from proxy.responses.frames import Splitter, frame, masked
from proxy.responses.history.recall import Recalled
from proxy.responses.policy import Policy
from proxy.responses.recovery.lessons import Lessons, LessonScope
from proxy.responses.session.sending import Failure
from proxy.responses.session.session import Session
from proxy.responses.session.steps import (
    Answering,
    Ask,
    Close,
    Heard,
    Noted,
    SessionStep,
    Settled,
    Spent,
    ToClient,
    ToUpstream,
    TurnOver,
    Wait,
)
from proxy.responses.steps import Compute, Recall

if TYPE_CHECKING:
    from proxy.events import Event

KEY = b"\x11\x22\x33\x44"
OURS = b"\x55\x66\x77\x88"


def text(value: Any, key: bytes = KEY) -> bytes:
    """A text message of one frame; of a client's, with its key."""
    return frame(value if isinstance(value, bytes) else json.dumps(value).encode(), key)


def create(items: Any = "hi", **members: Any) -> dict[str, Any]:
    """A client's turn."""
    return {"type": "response.create", "model": "m", "input": items, **members}


def event(kind: str, lane: str = "", **members: Any) -> dict[str, Any]:
    """An event of upstream's."""
    return {"type": f"response.{kind}", **({"stream_id": lane} if lane else {}), **members}


def created(response_id: str, lane: str = "") -> dict[str, Any]:
    """Upstream begins a response."""
    return event("created", lane, response={"id": response_id, "status": "in_progress"})


def delta(said: str = "x", lane: str = "") -> dict[str, Any]:
    """A piece of an answer."""
    return event("output_text.delta", lane, delta=said)


def completed(response_id: str, lane: str = "", **response: Any) -> dict[str, Any]:
    """Upstream ends a response."""
    return event("completed", lane, response={"id": response_id, "status": "completed", "output": [], **response})


def error(code: str | None, message: str, lane: str = "", status: int = 400, **members: Any) -> dict[str, Any]:
    """A refusal, as api.openai.com writes it on WebSockets."""
    said = {"type": "invalid_request_error", "code": code, "message": message, "param": None}
    routed = {"stream_id": lane} if lane else {}
    return {"type": "error", "status": status, **routed, "error": said, **members}


def not_found(response_id: str, lane: str = "") -> dict[str, Any]:
    """A previous response is unknown."""
    return error("previous_response_not_found", f"Previous response with id '{response_id}' not found.", lane)


def item_not_found(item_id: str, lane: str = "") -> dict[str, Any]:
    """An item is unknown."""
    message = f"Item with id '{item_id}' not found. Items are not persisted when `store` is set to false."
    return error(None, message, lane)


class Terms:
    """The terms of a caller."""

    credential = "caller"

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.known = Lessons()

    def admit(self) -> Policy:
        """The policy."""
        return self.policy

    def lessons(self) -> LessonScope:
        """Its lessons."""
        return LessonScope(self.known, self.credential, 0.0)


class Played:
    """A session, both of its sides, and what became of it."""

    def __init__(
        self,
        mode: Any = "auto",
        *,
        store: Mapping[str, Iterable[Any]] | None = None,
        most: int = 1 << 20,
        performs: bool = True,
        **policy: Any,
    ) -> None:
        self.terms = Terms(replace(Policy(mode=mode, recalls=store is not None), **policy))
        self.session = Session(
            self.terms, mask=lambda: OURS, most=most, strict=mode == "strip", records=store is not None
        )
        self.store = store
        self.performs = performs
        self.asked: list[Ask] = []
        """Steps that are to be performed."""
        self.upstream = b""
        self.client = b""
        self.facts: list[Event] = []
        self.began: list[int] = []
        """Turns whose answer has begun."""
        self.over: list[TurnOver] = []
        self.records: list[Any] = []
        self.heard: list[bytes] = []
        self.spent = 0
        self.goodbyes = 0
        self.now = 0.0
        self._timers: list[tuple[float, int]] = []

    # What the sides do.

    def say(self, *values: Any) -> "Played":
        """The client sends messages, each in a frame."""
        return self.send(b"".join(map(text, values)))

    def send(self, data: bytes) -> "Played":
        """The client sends bytes."""
        return self.perform(self.session.from_client(data))

    def answer(self, *values: Any) -> "Played":
        """Upstream sends messages, each in a frame."""
        return self.reply(b"".join(text(value, b"") for value in values))

    def reply(self, data: bytes) -> "Played":
        """Upstream sends bytes."""
        if self.session.passes_by(data):
            self.client += data
            return self
        return self.perform(self.session.from_upstream(data))

    def later(self, seconds: float) -> "Played":
        """Time passes."""
        until = self.now + seconds
        while self._timers and self._timers[0][0] <= until:
            self.now, ticket = heapq.heappop(self._timers)
            self.perform(self.session.resume(ticket))
        self.now = until
        return self

    def perform(self, steps: list[SessionStep]) -> "Played":
        """Perform steps, as a driver does."""
        for step in steps:
            self._step(step)
        while self.session.has_more:
            self.perform(self.session.go_on())
        while self.performs and self.asked:
            self.do()
        return self

    def do(self, failure: Failure | None = None) -> "Played":
        """Perform the first step that was asked for, or fail to."""
        ask = self.asked.pop(0)
        return self.perform(self.session.resume(ask.ticket, failure or self._result(ask.step)))

    def _result(self, step: Compute | Recall) -> Any:
        if isinstance(step, Compute):
            return step.work()
        known = (self.store or {}).get(step.response_id or "")
        items = None if known is None else tuple(json.dumps(item).encode() for item in known)
        return Recalled(items, {})

    def _step(self, step: SessionStep) -> None:  # noqa: C901 -- a case for each
        match step:
            case ToUpstream(data):
                self.upstream += data
            case ToClient(data):
                self.client += data
            case Ask():
                self.asked.append(step)
            case Wait(ticket, seconds):
                heapq.heappush(self._timers, (self.now + seconds, ticket))
            case Noted(_, events):
                self.facts += events
            case Settled(_, record):
                self.records += [record.work()] if record is not None else []
            case Heard(_, said):
                self.heard.append(said)
            case Answering(turn):
                self.began.append(turn)
            case TurnOver():
                self.over.append(step)
            case Spent():
                self.spent += 1
            case Close():
                self.goodbyes += 1

    # What came of it.

    @property
    def reports(self) -> list[Report]:
        """The reports of the turns that are over, and of those that are decided."""
        turns = [turn.report for turn in self.session._turns.lanes if not turn.is_undecided]
        return [over.report for over in self.over] + turns

    @property
    def sent(self) -> list[Any]:
        """The messages that upstream has got."""
        return messages(self.upstream)

    @property
    def given(self) -> list[Any]:
        """The messages that the client has got."""
        return messages(self.client)


def messages(data: bytes) -> list[Any]:
    """The text messages in bytes, read as JSON where they are."""
    found: list[Any] = []
    parts = b""
    for payload, final, opcode in frames(data):
        if opcode < 8:
            parts += payload
            if final:
                found.append(_json(parts))
                parts = b""
    return found


def _json(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload


def frames(data: bytes) -> list[tuple[bytes, bool, int]]:
    """(payload, is the last of its message, opcode) of every whole frame in bytes."""
    splitter = Splitter()
    splitter.feed(data)
    found = []
    while (piece := splitter.next_piece()) is not None and piece.ends:
        payload = masked(data[piece.payload : piece.end], piece.head.mask)
        found.append((payload, piece.head.is_final, piece.head.opcode))
    return found


def fragmented(payload: bytes, sizes: Iterable[int], between: Callable[[int], bytes] = lambda _: b"") -> bytes:
    """A client's text message in frames of these sizes, and bytes of something else behind each but the last."""
    written = b""
    pieces = []
    for size in sizes:
        pieces.append(payload[:size])
        payload = payload[size:]
    pieces.append(payload)
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        whole = frame(piece, KEY, 0 if number else 1)
        written += whole if last else bytes((whole[0] & 0x7F,)) + whole[1:] + between(number)
    return written
