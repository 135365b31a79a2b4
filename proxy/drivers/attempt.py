"""What every driver over HTTP needs of an attempt: the fields that go with it, and the answer that is held. Sans-IO."""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from proxy.events import LeftOutByUpstream
from proxy.http import content_coding
from proxy.http.faults import CLIENT, Fault
from proxy.http.headers import Fields
from proxy.http.metadata import Metadata
from proxy.report import LeftOut, Report
from proxy.responses import early
from proxy.responses.body.size import MOST
from proxy.responses.early import EarlyEvents, EarlyRefusal, Verdict
from proxy.responses.exchange import Exchange

HELD: Final = 1024 * 1024
"""Bytes of a refusal that are held, and decoded, to be judged."""
JUDGED: Final = 10.0
"""Seconds from the head of a refusal to its end, beyond which it is not judged."""

_LOOK: Final = 1024
"""Bytes of a stream that are looked at at a time: in a burst of events the first ones say what becomes of all."""

# Fields that state the length, the coding or the digest of a body that is sent in another form.
_OF_THE_BODY: Final = frozenset({b"content-encoding", b"content-md5", b"content-digest", b"digest"})
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
# The recipient that read the body has met the expectation (RFC 9110, 10.1.1).
_MET: Final = frozenset({b"expect"})
_GONE: Final = {False: _MET, True: _MET | _OF_THE_BODY}
"""By whether the body is sent in another form: fields that do not go with it."""
# It stands for one request: with another body it would be refused, or answered with the answer to the first.
_FIRST_ONLY: Final = frozenset({b"idempotency-key"})


def attempt_fields(fields: Fields, length: int, *, changed: bool, first: bool) -> Fields:
    """The request's fields for an attempt with a body of `length` bytes; the length stands where the framing stood.

    `changed` says that the body is not the one that the client sent, `first` that nothing was sent before.
    """
    gone = _GONE[changed] if first else _GONE[changed] | _FIRST_ONLY
    framing = (b"content-length", b"%d" % length)
    kept = [framing if field[0] in _FRAMING else field for field in fields if field[0] not in gone]
    if kept.count(framing) > 1:
        first_place = kept.index(framing)
        kept = [field for place, field in enumerate(kept) if field is not framing or place == first_place]
    return kept


def may_tell(status: int, metadata: Metadata) -> Literal["at the end", "in an event", "nothing"]:
    """Where an answer can say what upstream left out: JSON is held for that, as the report goes in front of it."""
    if not 200 <= status < 300:
        return "nothing"
    if metadata.is_event_stream:
        return "nothing" if metadata.coding else "in an event"
    length = metadata.length
    return "at the end" if metadata.is_json and (length is None or length <= HELD) else "nothing"


def may_refuse_in_event(status: int, metadata: Metadata) -> bool:
    """Whether an answer is a stream whose first events can be read."""
    return status == 200 and metadata.is_event_stream and not metadata.coding


class HeldAnswer:
    """An answer that the client has not seen: what the driver received of it, as it received it, and its size.

    Each part is the driver's own kind of message, to be given on as it is.
    """

    __slots__ = ("_coding", "_pieces", "is_whole", "parts", "size", "status")

    limit = HELD
    """Bytes that are held of it."""

    def __init__(self, status: int, metadata: Metadata, start: Any) -> None:
        self.status = status
        self._coding = metadata.coding
        self.parts = [start]
        self.size = 0
        self.is_whole = False
        """The end has arrived: an answer that broke off is not judged."""
        self._pieces: list[bytes] = []

    def add(self, part: Any, piece: bytes, *, more: bool) -> None:
        """Hold a part, with its piece of the body."""
        self.parts.append(part)
        self._pieces.append(piece)
        self.size += len(piece)
        self.is_whole = not more

    @property
    def is_too_long(self) -> bool:
        """Whether it is longer than such an answer is ever held."""
        return self.size > self.limit

    @property
    def is_refusal(self) -> bool:
        """Whether upstream refuses, as far as it has arrived."""
        return self.status >= 400

    @property
    def is_understood(self) -> bool:
        """Whether it is a refusal that needs no more than what has arrived to be judged."""
        return False

    def is_enough(self, *, follows_refusal: bool) -> bool:
        """Whether what arrived will do: it is a refusal that is understood, or one that follows another."""
        return self.is_understood or (follows_refusal and self.is_refusal)

    @property
    def said(self) -> tuple[int, bytes]:
        """The status and the decoded body of the refusal."""
        return self.status, self.body()

    def body(self) -> bytes:
        """The body, decoded; `b""` where its coding is unknown, broken, or decodes to more than is held."""
        body = b"".join(self._pieces)
        if not content_coding.is_known(self._coding):
            return b""
        try:
            return content_coding.decode(self._coding, body, HELD)
        except (content_coding.CorruptError, content_coding.TooLargeError):
            return b""


class HeldStream(HeldAnswer):
    """An event stream that the client has not seen: it is held until its first events say whether it is a refusal."""

    __slots__ = ("events", "refusal")

    limit = early.MOST

    def __init__(self, status: int, metadata: Metadata, start: Any, *, commits_first: bool) -> None:
        super().__init__(status, metadata, start)
        self.events = EarlyEvents(commits_first=commits_first)
        self.refusal: EarlyRefusal | None = None
        """What the stream refuses with, once that is known; it is then held to its end."""

    def verdict(self, piece: bytes) -> Verdict:
        """What the stream says with `piece`; what stands behind the event that says it is not looked at."""
        for begin in range(0, len(piece), _LOOK):
            verdict = self.events.feed(piece[begin : begin + _LOOK])
            if verdict != "hold":
                return verdict
        return "hold"

    @property
    def is_refusal(self) -> bool:
        """Whether one of its events refuses."""
        return self.refusal is not None

    is_understood = is_refusal

    @property
    def said(self) -> tuple[int, bytes]:
        """The refusal, as that event says it."""
        return self.refusal or super().said


class Enough(Exception):  # noqa: N818 -- no error: nothing more of this answer is wanted
    """A refusal is too long to be held to its end: a later one, or one that is understood already."""


class Holding(NamedTuple):
    """What becomes of an answer, by its head."""

    held: HeldAnswer | None
    """The answer, where it is held; None: it is the client's from its first byte on."""
    seconds: float = 0.0
    """From its head, for which it is held at most."""
    watches: bool = False
    """An event of it may say what upstream left out."""


_PASSES: Final = Holding(None)


def holding(exchange: Exchange, status: int, fields: Fields, start: Any) -> Holding:
    """Whether an answer is held: to be judged, or because its end says what the report in front of it has to say."""
    metadata = Metadata(fields)
    if exchange.judges(status):
        return Holding(HeldAnswer(status, metadata, start), JUDGED)
    told = may_tell(status, metadata) if exchange.holds_blobs else "nothing"
    watches = told == "in an event"
    if exchange.judges_events and may_refuse_in_event(status, metadata):
        held = HeldStream(status, metadata, start, commits_first=exchange.in_background)
        return Holding(held, early.WITHOUT_EVENT, watches)
    if told == "at the end":
        return Holding(HeldAnswer(status, metadata, start), JUDGED)
    return Holding(None, watches=True) if watches else _PASSES


def settled(exchange: Exchange, status: int, credential: str, missing: Mapping[LeftOut, int]) -> Report:
    """The report of an answer that says `status`, and that upstream left out what is `missing`."""
    report = exchange.settle(status)
    if not missing:
        return report
    exchange.events.append(LeftOutByUpstream(credential, tuple(missing.items())))
    return report._replace(left_out=missing)


def too_complex() -> Fault:
    """The answer to a body that is not read, in the mode in which nothing may leave unread."""
    return Fault(413, "request_too_complex", f"The request body holds more than {MOST} values.", kind=CLIENT)
