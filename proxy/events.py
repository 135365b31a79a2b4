"""What happened, as values: frozen facts, and the protocol of observers.

Pure. The core and the drivers state facts; logs and metrics are listeners that may be absent.
"""

from typing import NamedTuple, Protocol

from proxy.report import LeftOut, Name, RefusalKind, Remedy, RemovedName, Report, Route, SocketKind, StoreFailure

# Named tuples: they are made in a third of a dataclass's time, and defined in a fourth.


class Removal(NamedTuple):
    """One thing taken out: `what` is a name of `x-unpinned-removed`, `id` the id it had (for DEBUG only)."""

    what: RemovedName
    id: str


class Read(NamedTuple):
    """A request of a rewritten route was read: its number of items, and how many ids of upstream's it holds.

    `ids` are these ids; empty unless the policy names ids.
    """

    items: int
    found: int
    ids: tuple[str, ...] = ()


class Removed(NamedTuple):
    """What an attempt is sent without; stated only where the policy names ids."""

    removals: tuple[Removal, ...]


class Refused(NamedTuple):
    """Upstream refused with `status`, and another attempt follows; `remedy` is what the attempt sends."""

    status: int
    refusal: RefusalKind
    remedy: Remedy


class Recovered(NamedTuple):
    """An attempt after a refusal was answered."""

    remedy: Remedy
    attempts: int


class Unrecovered(NamedTuple):
    """Upstream refused for one of our reasons and the refusal was relayed, `attempts` requests having been sent."""

    refusal: RefusalKind
    attempts: int


class LossyAnswer(NamedTuple):
    """The model saw less than the client sent. `credential` is a digest that only limits how often this is said."""

    credential: str
    reasons: tuple[Name, ...]


class StartedFresh(NamedTuple):
    """`strip` took a `previous_response_id` or reference out and the model started without that history."""

    credential: str
    has_store: bool = False
    """There is a store, and it did not know the history, or could not be reached."""


class LeftOutByUpstream(NamedTuple):
    """Upstream answered, and says that the model saw less than it was sent, for these reasons."""

    credential: str
    reasons: tuple[tuple[LeftOut, int], ...]


class BudgetExceeded(NamedTuple):
    """Too many attempts at recovery failed for one credential: `failed` in its last `requests`.

    Until fewer fail, each of its requests gets one attempt after the first.
    """

    failed: int
    requests: int


class StoreFailed(NamedTuple):
    """A lookup or a write failed, writes fell behind, or an answer could not be read or is too large to be stored."""

    doing: StoreFailure
    error: str = ""
    """The name of what was raised."""


class UpstreamFailed(NamedTuple):
    """The hop to upstream failed; `cause` is the code of the fault the client was given (or would have been)."""

    cause: str


class Answered(NamedTuple):
    """One request is over. `status` is 0 where the client left before it was answered, `seconds` the whole time.

    Of `first_byte`, the seconds until the answer began, `upstream` and `client` were spent waiting for them.
    """

    method: str
    route: Route
    path: str
    status: int
    seconds: float
    complete: bool
    report: Report
    first_byte: float | None = None
    upstream: float = 0.0
    client: float = 0.0
    fault: str = ""
    """The code of the fault of ours that it was answered with."""
    model: str = ""
    """The model that it named; as the next, known only where the live page shows it."""
    upstream_id: str = ""
    """The id that upstream gave the last attempt."""

    @property
    def overhead(self) -> float | None:
        """The seconds until the answer began that were spent waiting for neither side: the latency added here."""
        return None if self.first_byte is None else max(0.0, self.first_byte - self.upstream - self.client)


class SocketClosed(NamedTuple):
    """A WebSocket that was open for so many seconds is over: the bytes that each side sent, and the close code.

    The code is None where nobody reads the frames, or neither side sent one.
    """

    path: str
    kind: SocketKind
    seconds: float
    client_bytes: int
    upstream_bytes: int
    close_code: int | None = None
    turns: int = 0


class TurnEnded(NamedTuple):
    """A turn of a WebSocket is over, `seconds` after it arrived. Lanes are numbered: their names are a client's words.

    `status` is 200, or that of the refusal that the client was given; 0 where it was not answered.
    """

    lane: int
    status: int
    seconds: float
    complete: bool
    report: Report
    path: str = ""
    """That of the WebSocket."""
    first_event: float | None = None
    """The seconds until the client was given the first event of its answer."""
    fault: str = ""
    """The code of the fault of ours that it was answered with."""
    model: str = ""
    """The model that it names."""
    upstream_id: str = ""
    """The id that upstream gave the WebSocket; known only where the live page shows it."""


Seldom = (
    Removed
    | Refused
    | Recovered
    | Unrecovered
    | LossyAnswer
    | StartedFresh
    | LeftOutByUpstream
    | BudgetExceeded
    | StoreFailed
    | UpstreamFailed
)
"""What an ordinary request has none of."""
Event = Read | Seldom | Answered | SocketClosed | TurnEnded


class Observer(Protocol):
    """A listener for events."""

    def notice(self, request_id: str, event: Event) -> None:
        """Take note of `event`, which happened to the request `request_id` (`req-…`). Must not raise or wait."""


class Observers:
    """Several observers as one."""

    def __init__(self, listeners: tuple[Observer, ...] = ()) -> None:
        self.listeners = listeners

    def notice(self, request_id: str, event: Event) -> None:
        """Tell every listener, in order."""
        for listener in self.listeners:
            listener.notice(request_id, event)
