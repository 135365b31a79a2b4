"""One connection in WebSocket mode: its lanes, what it keeps in memory, and the order in which turns are answered.

As OpenAI's guide to WebSocket mode has it (read 2026-09), where it says so. A connection keeps the most recent response
of each lane, whether it is stored or not; a turn that fails evicts the response that it named. A lane answers its turns
one after the other; lanes run side by side. Knows no frames: `Session` takes texts and gives events.
"""

import asyncio
import json
import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from . import refusals, socket_refusals, steering
from .events import Event, events
from .history import asked
from .refusal_streams import EVENTS, nested
from .responses import Question, created, question
from .routes import busy
from .shapes import named
from .state import Account, Instance, Record
from .steering import NotSteered, Steer

MOST_RUNNING: Final = 16
MOST_LANES: Final = 32
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,256}")
_TYPES: Final = ("response.create", "response.steer")
# Fields of a turn that are none of a request, or mean nothing here: a turn always streams, and never in the background.
_OF_THE_TURN: Final = frozenset({"type", "stream_id", "generate", "stream", "background"})

Turn = dict[str, Any]


@dataclass
class Lane:
    """One lane; `latest` is the response that the connection keeps of it."""

    name: str | None
    latest: Record | None = None
    running: str | None = None
    """The id of the response in progress, `""` before it has one."""
    steers: list[Steer] = field(default_factory=list)
    owed: dict[str, list[Steer]] = field(default_factory=dict)
    """By response: accepted input that waits for the client's results."""
    number: int = 0


class Session:
    """The turns of one connection, for one account. `send` takes an event; `ready` waits for a slow client."""

    def __init__(
        self,
        instance: Instance,
        account: Account,
        path: str,
        send: Callable[[Event], None],
        ready: Callable[[], Awaitable[Any]],
    ) -> None:
        self._instance = instance
        self._account = account
        self._path = path
        self._send_event = send
        self._ready = ready
        self._lanes: dict[str | None, Lane] = {}
        self._waiting: deque[tuple[Lane, Turn]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def receive(self, text: str) -> None:
        """Take a message."""
        try:
            message = _parsed(text)
        except refusals.Refusal as refusal:
            self._send_event(nested(refusal))
            return
        if message["type"] == "response.steer":
            self._steer(message)
        else:
            self._create(message)

    def _create(self, turn: Turn) -> None:
        name = turn.get("stream_id")
        is_name = name is None or (isinstance(name, str) and _NAME.fullmatch(name) is not None)
        if not is_name:
            self._send_event(nested(socket_refusals.wrong_lane()))
        elif name not in self._lanes and len(self._lanes) == MOST_LANES:
            self._send(Lane(name), nested(socket_refusals.too_many_lanes(MOST_LANES)))
        else:
            self._waiting.append((self._lanes.setdefault(name, Lane(name)), turn))
            self._advance()

    def close(self) -> None:
        """End with the connection: nothing of it is kept."""
        for task in self._tasks:
            task.cancel()

    def _advance(self) -> None:
        """Begin the turns whose time has come, in the order in which they arrived."""
        for lane, turn in list(self._waiting):
            running = sum(other.running is not None for other in self._lanes.values())
            if running < MOST_RUNNING and lane.running is None:
                self._waiting.remove((lane, turn))
                lane.running = ""
                task = asyncio.ensure_future(self._answer(lane, turn))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _answer(self, lane: Lane, turn: Turn) -> None:
        following: Turn | None = turn
        while following is not None:
            following = await self._respond(lane, following)
        lane.running = None
        self._advance()

    async def _respond(self, lane: Lane, turn: Turn) -> Turn | None:
        """Answer a turn; the turn that follows by itself because the response was steered."""
        lane.number = 0
        try:
            asked_for, record = self._created(lane, turn)
        except (refusals.Refusal, RecursionError) as reason:
            refusal = reason if isinstance(reason, refusals.Refusal) else refusals.unreadable()
            self._evict(turn.get("previous_response_id"))
            shape = self._instance.options.refusals
            for event in [nested(refusal)] if shape == "status" else EVENTS[shape](refusal):
                self._send(lane, event)
            return None
        with busy(asked_for.conversation):
            await self._stream(lane, record)
        lane.latest = record
        return self._steered(lane, turn, record)

    def _created(self, lane: Lane, turn: Turn) -> tuple[Question, Record]:
        scripted = self._instance.scripted(self._path)
        if scripted is not None:
            raise socket_refusals.scripted(scripted.status, scripted.body)
        generate = turn.get("generate", True)
        if not isinstance(generate, bool):
            raise refusals.wrong_type("generate", "a boolean", named(generate))
        body = {name: value for name, value in turn.items() if name not in _OF_THE_TURN}
        steers = lane.owed.pop(body.get("previous_response_id") or "", ())
        if steers:
            body["input"] = [*(item for steer in steers for item in steer.items), *asked(body)]
        kept = {one.latest.response["id"]: one.latest for one in self._lanes.values() if one.latest is not None}
        asked_for = question(self._account, body, nearby=kept)
        return asked_for, created(self._account, asked_for, generate=generate)

    async def _stream(self, lane: Lane, record: Record) -> None:
        lane.running = record.response["id"]
        for event in events(record.response):
            self._send(lane, event)
            await self._ready()
            await asyncio.sleep(self._instance.options.delay)
        lane.running = ""

    def _send(self, lane: Lane, event: Event) -> None:
        """Send an event of a lane, numbered if events of its type are."""
        routed = {} if lane.name is None else {"stream_id": lane.name}
        numbered = {}
        if event.get("type", "error") != "error":
            numbered["sequence_number"] = lane.number
            lane.number += 1
        self._send_event({**event, **numbered, **routed})

    def _evict(self, response_id: Any) -> None:
        for lane in self._lanes.values():
            if lane.latest is not None and lane.latest.response["id"] == response_id:
                lane.latest = None

    # Steering.

    def _steer(self, message: Mapping[str, Any]) -> None:
        running = (lane for lane in self._lanes.values() if lane.running)
        lane = next((one for one in running if one.running == message.get("previous_response_id")), None)
        try:
            steering.check(message)
            if lane is None:
                raise self._not_running(message["previous_response_id"])
        except NotSteered as reason:
            self._send(lane or Lane(None), steering.failed(message, reason))
            return
        steer = Steer(f"steer_{self._account.next_name('steer')[:32]}", str(lane.running), message["input"])
        lane.steers.append(steer)
        self._send(lane, steering.accepted(steer))

    def _not_running(self, response_id: str) -> NotSteered:
        kept = {lane.latest.response["id"] for lane in self._lanes.values() if lane.latest is not None}
        if response_id in kept:
            return NotSteered("response_already_completed", f"Response '{response_id}' has already completed.")
        return NotSteered("response_not_found", f"Response '{response_id}' is not available on this connection.")

    def _steered(self, lane: Lane, turn: Turn, record: Record) -> Turn | None:
        """What follows a response that was steered while it ran."""
        steers, lane.steers = lane.steers, []
        if not steers:
            return None
        stubs = steering.due(record.response["output"])
        if stubs:
            lane.owed[record.response["id"]] = steers
            for steer in steers:
                self._send(lane, steering.pending(steer, stubs))
            return None
        items = [item for steer in steers for item in steer.items]
        return {**turn, "generate": True, "previous_response_id": record.response["id"], "input": items}


def _parsed(text: str) -> Turn:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise refusals.unreadable() from None
    if not isinstance(message, dict):
        raise refusals.wrong_type("message", "an object", named(message))
    if "type" not in message:
        raise refusals.missing("type")
    if message["type"] not in _TYPES:
        raise refusals.wrong_choice("type", message["type"], _TYPES)
    return message
