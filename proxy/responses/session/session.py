"""One WebSocket on `…/responses`: bytes of either side in, steps out. Pure: it waits for nothing and knows no clock.

The driver feeds what arrives, performs the steps in order, and comes back with results. What it may rely on:

- A message that is not changed leaves with the bytes that arrived: its mask, its fragments, its form of the length.
  Control frames pass in front of all that waits.
- While no turn is judged (see `turns`), bytes of upstream's pass as they arrive, and only events are read that begin a
  response, end one, or make up a store's record. While one is, events are held until they are whole and looked at.
- A call does a bounded amount of work. What is left is `has_more`: let others run, then call `go_on`.
- `reads_client` and `reads_upstream` say when to feed no more for now, `size` how many bytes are held.
- What is no WebSocket any more, or uses an extension, makes the session a tunnel: what was held is sent as it came, and
  bytes pass from then on.
"""

from collections.abc import Callable
from typing import Any, Final

from proxy.responses.frames import close_frame
from proxy.responses.session.client_side import ClientSide
from proxy.responses.session.outbox import Outbox
from proxy.responses.session.sending import Terms
from proxy.responses.session.steps import Close, SessionStep, ToClient, ToUpstream
from proxy.responses.session.turns import Turns
from proxy.responses.session.upstream_side import UpstreamSide

RESTART: Final = 1012
"""The close code that says: connect anew. The SDK and codex do."""


class Session:
    """One connection.

    `mask` gives an unpredictable key of 4 bytes; `most` are the bytes of a turn that is read, and of turns that wait.
    With `strict` a longer one is refused, without it passes unread. With `records` events are heard for a store.
    """

    def __init__(
        self, terms: Terms, *, mask: Callable[[], bytes], most: int, strict: bool = False, records: bool = False
    ) -> None:
        self._out = Outbox(mask)
        self._turns = Turns(terms, self._out)
        self._client = ClientSide(self._turns, self._out, most=most, strict=strict)
        self._upstream = UpstreamSide(self._turns, self._out, records=records)
        self.has_more = False
        """Not all that was fed has been read."""
        self.is_tunnel = False
        """Nothing is read any more."""
        self._said_goodbye = False

    # What arrives.

    def from_client(self, data: bytes, *, has_room: bool = True) -> list[SessionStep]:
        """Take bytes of the client's; without room a message of which more is to come is not held."""
        if self.is_tunnel:
            return [ToUpstream(data)]
        self._client.feed(data, has_room=has_room)
        return self.go_on()

    def from_upstream(self, data: bytes) -> list[SessionStep]:
        """Take bytes of upstream's."""
        if self.is_tunnel:
            return [ToClient(data)]
        if self._said_goodbye:
            return []  # a client reads nothing behind a close frame
        self._upstream.feed(data)
        return self.go_on()

    def passes_by(self, data: bytes) -> bool:
        """Whether bytes of upstream's may be given to the client without being fed: of no interest, and none wait."""
        return self._upstream.passes_by(data) and not (self.is_tunnel or self._said_goodbye)

    def go_on(self) -> list[SessionStep]:
        """Read on in what was fed."""
        self.has_more = self._client.read() | self._upstream.read()
        if self._is_garbled:
            self._become_tunnel()
        elif self._client.is_draining:
            self._say_goodbye()
        return self._out.take()

    def resume(self, ticket: int, result: Any = None, seconds: float = 0.0) -> list[SessionStep]:
        """Take the result of a step, which took so many seconds of processor time; or the end of a wait."""
        self._out.resume(ticket, result, seconds)
        return self.go_on()

    def drain(self) -> list[SessionStep]:
        """The process ends: no further turn begins, and the client is told to connect anew when there is none left."""
        self._client.is_draining = True
        return self.go_on()

    def client_ended(self) -> list[SessionStep]:
        """The client has left: upstream gets what is left of its bytes, and no turn that waits."""
        if not (self._client.leave() or self.is_tunnel):
            self._out.upstream.control(self._client.rest)
        return self._out.take()

    def upstream_ended(self) -> list[SessionStep]:
        """Upstream has left: the client gets what is held."""
        self._upstream.leave()
        if not self.is_tunnel:
            self._out.client.control(self._upstream.rest)
        return self._out.take()

    def end(self) -> list[SessionStep]:
        """Both have left, and all turns with them."""
        self._turns.end()
        return self._out.take()

    # How much there is.

    @property
    def reads_client(self) -> bool:
        """Whether the client's bytes may be fed."""
        return self.is_tunnel or not (self.has_more or self._is_garbled or self._client.looks or self._client.is_full)

    @property
    def reads_upstream(self) -> bool:
        """Whether upstream's bytes may be fed."""
        return self.is_tunnel or not (self.has_more or self._is_garbled or self._upstream.looks)

    @property
    def is_reading(self) -> bool:
        """Whether something that was fed has not been read."""
        return self.has_more or self._client.looks or self._upstream.looks

    @property
    def is_busy(self) -> bool:
        """Whether something is held, or has to be done."""
        return self.is_reading or self.size > 0

    @property
    def size(self) -> int:
        """Bytes that are held."""
        return self._client.size + self._upstream.size + sum(turn.size for turn in self._turns.undecided)

    @property
    def close_code(self) -> int | None:
        """The code of the first close frame; None where there was none, or it has no code."""
        return self._turns.close_code

    # The ends.

    @property
    def _is_garbled(self) -> bool:
        return self._client.is_garbled or self._upstream.is_garbled

    def _become_tunnel(self) -> None:
        """Send all that is held as it came, and read nothing any more."""
        if self.is_tunnel or self._client.looks or self._upstream.looks:
            return
        self.is_tunnel, self.has_more = True, False
        self._turns.decide_all()
        for message in self._turns.unsent():
            self._out.upstream.message(message)
        self._out.upstream.control(self._client.rest)
        self._out.client.control(self._upstream.rest)

    def _say_goodbye(self) -> None:
        """Tell the client to connect anew, between two messages and when no turn is left."""
        if self._turns.sender.is_closed or self._turns.are_there or not self._upstream.is_between_messages:
            return
        self._said_goodbye = True
        self._turns.close(RESTART)
        self._out.client.control(close_frame(RESTART))
        self._out.add(Close())
