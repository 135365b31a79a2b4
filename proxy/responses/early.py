"""What the first events of an answer say: wait, it goes on, or upstream refuses the request inside its answer.

Relays and bridges send a 200 before upstream has answered, and then a refusal as an event, in several shapes. So the
first events of an answer are held until one of them *commits*. Three types are provisional; an error is a refusal, to
be judged as one that has a status of its own; everything else commits.

Pure, and the same for a stream of server-sent events and for a lane of a WebSocket: how long events are held is the
driver's to measure, by the constants here. Shapes and sources: docs/api-facts.md, "Refusals inside a stream".
"""

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

import msgspec

from proxy.responses.body.document import Document, read
from proxy.responses.body.lenient import MalformedError
from proxy.responses.body.objects import REFUSED
from proxy.responses.event_parser import EventParser
from proxy.responses.recovery.bound import judged
from proxy.responses.recovery.refusals import judging_cost
from proxy.responses.steps import Compute

AFTER_FIRST_EVENT: Final = 0.5
"""Seconds from the first event to the commit. OpenAI's own `response.created` says that the request was accepted; a
relay writes it and the failure in one go."""
WITHOUT_EVENT: Final = 15.0
"""Seconds from the head to the commit, where only comments arrive."""
UNTIL_END: Final = 1.0
"""Seconds from a refusal to the end of the stream, beyond which the connection is cut."""
MOST: Final = 64 * 1024
"""Bytes of a stream that are held."""

PROVISIONAL: Final = frozenset({"response.created", "response.queued", "response.in_progress"})
_REFUSING: Final = frozenset({"error", "response.error", "response.failed"})
_STATUSES: Final = ("status", "status_code", "code")
_DEFAULT: Final = 400
_STATUS_OF_CODE: Final = {
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "server_error": 500,
    "server_is_overloaded": 503,
}
"""Codes with which a stream fails that was accepted, without the status that they have elsewhere."""


class _Event(msgspec.Struct):
    type: str | None = None


_TYPE: Final = msgspec.json.Decoder(_Event)


class EarlyRefusal(NamedTuple):
    """An event that refuses: the status it stands for, and its error object as JSON."""

    status: int
    body: bytes


Verdict = Literal["hold", "commit"] | EarlyRefusal


class EarlyEvents:
    """The beginning of one event stream, piece by piece; with `commits_first` no event is provisional."""

    def __init__(self, *, commits_first: bool = False) -> None:
        self.has_event = False
        """An event has arrived, and not only comments."""
        self._commits_first = commits_first
        self._parser = EventParser()

    def feed(self, piece: bytes) -> Verdict:
        """What the stream says with `piece`."""
        for data in self._parser.feed(piece):
            self.has_event = True
            verdict = verdict_on(data)
            if verdict != "hold":
                return verdict
            if self._commits_first:
                return "commit"
        return "hold"


def verdict_on(data: bytes) -> Verdict:
    """What an event says, by its data: a message of a WebSocket, or the data of a server-sent event."""
    type_ = _quick_type(data)
    if type_ in PROVISIONAL:
        return "hold"
    if type_ is not None and type_ not in _REFUSING:
        return "commit"
    try:
        event = read(data)
    except MalformedError:
        return "commit"
    return "commit" if event is None else verdict_on_event(event)


def _quick_type(data: bytes) -> str | None:
    """The type of an event; None where it has none, or takes a closer look."""
    try:
        return _TYPE.decode(data).type
    except REFUSED:
        return None


def verdict_on_event(event: Document) -> Verdict:
    """What an event says that has been read already."""
    type_ = event.text("type")
    if type_ in PROVISIONAL:
        return "hold"
    if type_ not in _REFUSING and (event.raw("type") is not None or event.raw("error") is None):
        return "commit"
    error = _error(event)
    if error is None:
        return "commit"
    parts = [part for part in (event, _object(error)) if part is not None]
    found = (status for part in parts for status in _statuses(part))
    known = (_STATUS_OF_CODE[code] for part in parts if (code := part.text("code")) in _STATUS_OF_CODE)
    return EarlyRefusal(next(found, next(known, _DEFAULT)), error)


def _error(event: Document) -> bytes | None:
    """The error object: nested, of a failed response, or the event itself; None where a failed response has none."""
    nested = event.raw("error")
    if nested is not None:
        return nested
    response = event.raw("response")
    if response is None:
        return event.body
    failed = _object(response)
    return failed.raw("error") if failed is not None else None


def _object(literal: bytes) -> Document | None:
    return read(literal) if literal.startswith(b"{") else None


def _statuses(part: Document) -> Iterator[int]:
    """The statuses of refusals that a part names, the one that counts first."""
    for literal in filter(None, map(part.raw, _STATUSES)):
        digits = literal.strip(b'"')
        if len(digits) == 3 and digits.isdigit() and 400 <= int(digits) < 600:
            yield int(digits)


def recognition(refusal: EarlyRefusal) -> Compute:
    """Says whether there is something to do, or to say, about a refusal; every other error is the client's at once."""
    return Compute(lambda: judged(*refusal).is_known, judging_cost(refusal.body))
