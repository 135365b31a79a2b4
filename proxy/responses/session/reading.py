"""What a session reads of a message: of a client's whether it is a turn, of upstream's which event it is."""

import re
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from proxy.report import LeftOut
from proxy.responses.body import lenient
from proxy.responses.body.document import read
from proxy.responses.body.lenient import MalformedError
from proxy.responses.body.objects import REFUSED
from proxy.responses.early import PROVISIONAL, Verdict, verdict_on
from proxy.responses.history.answers import LARGEST
from proxy.responses.left_out import left_out
from proxy.responses.session.messages import payload_of

CREATE: Final = "response.create"
STEER: Final = "response.steer"
CREATED: Final = "response.created"
FAILED: Final = "response.failed"
ERRORS: Final = frozenset({"error", "response.error"})
ENDS: Final = frozenset({"response.completed", FAILED, "response.incomplete", "response.cancelled", *ERRORS})
"""Types of the events after which a turn has no other."""
RECORDED: Final = frozenset(
    {"response.created", "response.output_item.done", "response.completed", "response.incomplete"}
)
"""Those out of which a store's record is made."""
WATCHED: Final[frozenset[str | None]] = frozenset({None, CREATED, *ENDS})
"""Types of the events that a session reads as they pass, and of those of which a look does not tell."""
DEFAULT_LANE: Final = ""

_LONGEST: Final = 256
"""Letters of a lane's name; a longer one, which upstream refuses, is told apart by that many. Of a model's as well."""
_TYPE: Final = re.compile(rb'\s*\{\s*"type"\s*:\s*"([a-z_.]+)"')
_LOOK: Final = 96
"""Bytes of an event in which its type is looked for without reading it."""


class _Members(msgspec.Struct):
    """Members of a message that say what it is."""

    type: Raw | UnsetType = UNSET
    stream_id: Raw | UnsetType = UNSET
    previous_response_id: Raw | UnsetType = UNSET
    model: Raw | UnsetType = UNSET
    response: Raw | UnsetType = UNSET
    response_id: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class _Response(msgspec.Struct):
    id: Raw | UnsetType = UNSET


_MEMBERS: Final = msgspec.json.Decoder(_Members)
_RESPONSE: Final = msgspec.json.Decoder(_Response)


class Create(NamedTuple):
    """A turn: a client's `response.create`."""

    payload: bytes
    lane: str
    parent: str | None
    """The response that it continues."""
    model: str = ""


class Steer(NamedTuple):
    """A client changes a response while it is made."""

    parent: str | None


class UpstreamEvent(NamedTuple):
    """An event of upstream's."""

    payload: bytes
    type: str = ""
    lane: str = DEFAULT_LANE
    response_id: str | None = None
    is_error: bool = False
    """It has no more to say than an error, which may be about no lane."""
    left_out: tuple[tuple[LeftOut, int], ...] = ()
    """What upstream did not show the model, as an event says that ends a turn."""
    verdict: Verdict = "commit"
    """Of an event that is judged: whether it decides."""

    @property
    def ends(self) -> bool:
        """Whether its turn has no further event."""
        return self.is_error or self.type in ENDS


def client_message(message: bytes) -> Create | Steer | None:
    """What a client's whole text message is, frames and all; None: nothing that a session is concerned with."""
    payload = payload_of(message)
    members = _members(payload)
    kind = _text(members.type) if members is not None else None
    if members is None or kind not in (CREATE, STEER):
        return None
    parent = _text(members.previous_response_id)
    if kind == STEER:
        return Steer(parent)
    lane = _lane(members.stream_id)
    return None if lane is None else Create(payload, lane, parent, (_text(members.model) or "")[:_LONGEST])


def upstream_event(payload: bytes) -> UpstreamEvent:
    """What upstream's text message is."""
    try:
        members = _MEMBERS.decode(payload)
    except REFUSED:
        return UpstreamEvent(payload)
    type_ = _text(members.type) or ""
    bare = members.type is UNSET and members.error is not UNSET
    lane = _lane(members.stream_id)
    missing = tuple(left_out(payload).items()) if type_ in ENDS else ()
    return UpstreamEvent(payload, type_, lane or DEFAULT_LANE, _response_id(members), bare or type_ in ERRORS, missing)


def judged_event(payload: bytes) -> UpstreamEvent:
    """What upstream's text message is, with the verdict on it."""
    event = upstream_event(payload)
    if event.type in PROVISIONAL:
        return event._replace(verdict="hold")
    return event._replace(verdict=verdict_on(payload)) if event.is_error or event.type == FAILED else event


def type_at_front(data: bytes | bytearray, start: int = 0) -> str | None:
    """The type of the event at `start`, if it comes first, as all known servers write it; None: a look does not tell.

    It is read no further than where it ends, so that a part of an event will do.
    """
    found = _TYPE.match(data, start, start + _LOOK)
    return found[1].decode() if found is not None else None


class Watch:
    """An event that passes in parts, and is kept if its type is one of those that are `wanted`."""

    def __init__(self, wanted: frozenset[str | None]) -> None:
        self._wanted = wanted
        self._pieces: list[bytes] = []
        self._is_known = False
        self.size = 0
        """Bytes that are kept."""
        self.is_wanted = True

    def take(self, piece: bytes) -> None:
        """Take the next piece of its payload."""
        self._pieces.append(piece)
        self.size += len(piece)
        if not self._is_known and self.size <= _LOOK + len(piece):
            type_ = type_at_front(self.payload)
            self._is_known = type_ is not None
            self.is_wanted = type_ in self._wanted
        self.is_wanted &= self.size <= LARGEST

    @property
    def payload(self) -> bytes:
        """What was taken."""
        return b"".join(self._pieces)


def _members(payload: bytes) -> _Members | None:
    """The members of a client's message; None where it is no JSON object, or no text."""
    try:
        if not payload.isascii():
            payload.decode()
        return _MEMBERS.decode(payload)
    except UnicodeDecodeError:
        return None
    except (msgspec.DecodeError, RecursionError):
        return _members_leniently(payload)


def _members_leniently(payload: bytes) -> _Members | None:
    """As `_members`, of JSON that a fast parser refuses."""
    try:
        document = read(payload)
    except MalformedError:
        return None
    if document is None:
        return None
    named = {member.name: document.body[member.value : member.end] for member in document.members}
    known = {name: Raw(named[name]) for name in _Members.__struct_fields__ if name in named}
    return _Members(**known)


def _lane(literal: Raw | UnsetType) -> str | None:
    """The name of a lane; None where it is no string."""
    if literal is UNSET:
        return DEFAULT_LANE
    name = _text(literal)
    return name[: _LONGEST + 1] if name is not None else None


def _text(literal: Raw | UnsetType) -> str | None:
    return None if isinstance(literal, UnsetType) else lenient.text(bytes(literal))


def _response_id(members: _Members) -> str | None:
    if members.response is UNSET:
        return _text(members.response_id)
    try:
        return _text(_RESPONSE.decode(members.response).id)
    except REFUSED:
        return None
