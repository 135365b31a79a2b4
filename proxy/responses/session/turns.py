"""The turns of a session: which goes upstream when, and whose the events are that come back.

One turn of a lane at a time is on its way to being decided; its events are held until one of them decides. So there is
one clean answer in the end, whatever was refused before it, and the order within a lane is the client's.

An event that cannot be told to be a certain turn's is given to the client, and no turn that it may be about is judged
any longer: no refusal is taken for another's, and nothing waits for what will not come.
"""

from functools import partial
from typing import Final

from proxy.events import LeftOutByUpstream
from proxy.responses.early import AFTER_FIRST_EVENT, WITHOUT_EVENT
from proxy.responses.session.lanes import Held, Lanes, Turn
from proxy.responses.session.outbox import Outbox
from proxy.responses.session.reading import CREATED, DEFAULT_LANE, RECORDED, Create, UpstreamEvent
from proxy.responses.session.sending import Sender, Terms
from proxy.responses.session.steps import Answering, Began, Heard, Noted, TurnOver

MOST_HELD: Final = 1024 * 1024
"""Bytes of events that are held for a lane."""


class Turns:
    """All turns of a session."""

    def __init__(self, terms: Terms, outbox: Outbox) -> None:
        self.lanes = Lanes()
        self.judged: dict[Turn, None] = {}
        """Turns of which upstream has had an attempt, and that are undecided: while there are some, events are held."""
        self.sender = Sender(terms, outbox, sent=self._await_answer, settled=self._release)
        self.close_code: int | None = None
        """What the first close frame said."""
        self._terms = terms
        self._out = outbox
        self._count = 0

    @property
    def are_there(self) -> bool:
        """Whether a turn has not ended."""
        return any(True for _ in self.lanes)

    @property
    def undecided(self) -> list[Turn]:
        """Turns of which it is not known which answer the client gets."""
        return [turn for turn in self.lanes if turn.is_undecided]

    # From the client.

    def arrive(self, create: Create, message: bytes) -> None:
        """Take a turn; it is sent when the one before it in its lane is decided."""
        turn = self._new(create.lane, create, message)
        turn.lane.turns.append(turn)
        if turn.lane.next_waiting is turn:
            self._start(turn)

    def _new(self, lane: str, create: Create | None, message: bytes) -> Turn:
        self._count += 1
        self._out.add(Began(self._count))
        return Turn(self._count, self.lanes.lane(lane), create, message)

    def _start(self, turn: Turn) -> None:
        self.sender.start(turn, is_own=self.lanes.lane_of(turn.parent) is not None)

    def steer(self, parent: str | None) -> None:
        """A response is changed while it is made, so that upstream may begin another one by itself, in its lane.

        From then on it cannot be told which of them an event in that lane is about: no turn in it is judged.
        """
        name = self.lanes.lane_of(parent)
        if name is None:
            return
        lane = self.lanes.lane(name)
        lane.steered = self._count
        for turn in [turn for turn in lane.turns if turn.is_judged]:
            self.sender.decide(turn)

    # From upstream.

    def event(self, event: UpstreamEvent, message: bytes) -> None:
        """Take an event that was held: it is given to the client, or it is judged."""
        turn = self._turn_of(event)
        if turn is None or not turn.is_judged:
            self._out.client.message(message)
            self._passed(turn, event)
        elif event.response_id is not None and event.response_id in turn.stale:
            return  # the end of a response that was refused, and replaced
        elif turn.state == "preparing":
            turn.held.append(Held(event, message))
        else:
            self._judge(turn, Held(event, message))

    def passed(self, event: UpstreamEvent) -> None:
        """Take note of an event that was given to the client."""
        self._passed(self._turn_of(event), event)

    def _turn_of(self, event: UpstreamEvent) -> Turn | None:
        """The turn that an event is about."""
        if event.is_error and event.lane == DEFAULT_LANE and self.judged:
            # It is about no lane: which one is meant is plain where only one turn waits for an answer.
            if len(self.judged) == 1:
                return next(iter(self.judged)).lane.front
            self.decide_all()
        lane = self.lanes.get(event.lane)
        turn = lane.front if lane is not None else None
        if turn is not None and turn.has_created and event.type == CREATED:
            self._over(turn)  # a lane begins no response before the one before is over
            return turn.lane.front
        return turn

    def _passed(self, turn: Turn | None, event: UpstreamEvent) -> None:
        if event.type == CREATED:
            turn = self._created(turn, event)
        if turn is None:
            return
        if not (turn.is_answering or turn.is_undecided):
            turn.is_answering = True
            self._out.add(Answering(turn.number))
        if event.type in RECORDED:
            self._out.add(Heard(turn.number, event.payload))
        if event.left_out and turn.holds_blobs:
            self._out.add(Noted(turn.number, (LeftOutByUpstream(self._terms.credential, event.left_out),)))
        if event.ends and not turn.is_undecided:
            self._over(turn)

    def _created(self, turn: Turn | None, event: UpstreamEvent) -> Turn | None:
        """Take note of a response; one of no turn is upstream's own, which succeeds one that was steered."""
        if event.response_id is not None:
            self.lanes.own(event.response_id, event.lane)
        if turn is None or turn.is_undecided:
            if self.lanes.are_full:
                return None
            turn = self._new(event.lane, None, b"")
            turn.lane.turns.appendleft(turn)
        turn.has_created = True
        return turn

    def _judge(self, turn: Turn, held: Held) -> None:
        is_first = not turn.held
        turn.held.append(held)
        verdict = held.event.verdict
        if verdict == "commit" or turn.held_size > MOST_HELD:
            self.sender.settle(turn, 200)
        elif verdict != "hold":
            self.sender.refused(turn, held.event.response_id, verdict.status, verdict.body)
        elif is_first:
            self._decide_after(AFTER_FIRST_EVENT, turn)

    def _await_answer(self, turn: Turn) -> None:
        """A turn has been sent. Upstream has some time to say something about the first one of a lane."""
        self.judged[turn] = None
        if turn.lane.front is turn:
            self._decide_after(WITHOUT_EVENT, turn)

    def _decide_after(self, seconds: float, turn: Turn) -> None:
        self._out.wait(seconds, partial(self._decide_attempt, turn, turn.attempts))

    def _decide_attempt(self, turn: Turn, attempt: int) -> None:
        """The answer to an attempt is the client's, if nothing else has been decided meanwhile."""
        if turn.state == "sent" and turn.attempts == attempt:
            self.sender.settle(turn, 200)

    # What becomes of them.

    def close(self, code: int | None = None) -> None:
        """One side is leaving: nothing more of ours is sent."""
        self.sender.is_closed = True
        self.close_code = self.close_code or code

    def decide_all(self, *, is_last: bool = False) -> None:
        """Judge no turn any longer: the client gets what is held. `is_last`: upstream says nothing more."""
        for turn in list(self.judged):
            self.sender.decide(turn, is_last=is_last)

    def _release(self, turn: Turn) -> None:
        """It is decided: the client gets what is held, and the next turn of the lane may go."""
        self.judged.pop(turn, None)
        held, turn.held, turn.first = turn.held, [], None
        for event, message in held:
            self._out.client.message(message)
            self._passed(turn, event)
        if not turn.attempts:
            self._over(turn)
        following = turn.lane.next_waiting
        if following is not None:
            self._start(following)

    def _over(self, turn: Turn) -> None:
        """A turn has ended, so that events in its lane belong to the one behind it."""
        self._leave(turn, is_complete=True)
        front = turn.lane.front
        if front is not None and front.state == "sent":
            self._decide_after(WITHOUT_EVENT, front)

    def _leave(self, turn: Turn, *, is_complete: bool) -> None:
        self.lanes.leave(turn)
        ended = (turn.number, turn.lane.number, turn.status, turn.report, is_complete)
        self._out.add(TurnOver(*ended, turn.fault, turn.model))

    def unsent(self) -> list[bytes]:
        """Take the messages of all turns of which upstream has seen nothing, in their order; they are forgotten."""
        turns = sorted((turn for turn in self.undecided if not turn.attempts), key=_number)
        messages = [turn.message for turn in turns]
        for turn in turns:
            self._gone(turn)
        return messages

    def end(self) -> None:
        """The connection has ended, and with it all turns."""
        for turn in list(self.lanes):
            self._gone(turn)

    def _gone(self, turn: Turn) -> None:
        turn.state = "decided"
        turn.exchange = turn.steps = None
        self.judged.pop(turn, None)
        self._leave(turn, is_complete=False)


def _number(turn: Turn) -> int:
    return turn.number
