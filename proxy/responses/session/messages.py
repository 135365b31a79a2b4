"""Messages in one direction of a connection, out of frames. Sans-IO.

A control frame comes whole, also from between the fragments of a message. A message is *held*, and comes whole with
the very bytes of all its frames, or it *passes*, in parts as they arrive. What the reader may not hold it lets pass:
binary messages, those of an extension, and those that are too long or in too many fragments.
"""

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from proxy.responses.frames import BINARY, CLOSE, CONTINUATION, PONG, TEXT, Head, Piece, Splitter, masked

FRAGMENTS: Final = 16 * 1024
"""Frames of a message that is held: a reader of each costs some microseconds."""
_CONTROL: Final = 125
"""Bytes of a control frame's payload (RFC 6455, 5.5)."""

Kind = Literal["control", "held", "passing", "garbage", "more"]


class Part(NamedTuple):
    """Some bytes of a connection, and what they are."""

    kind: Kind
    data: bytes | bytearray
    """A message that was held is not copied: it may be long."""
    payload: int = 0
    """Where the payload begins in `data`, if it lies in one frame."""
    opcode: int = TEXT
    begins: bool = False
    """Of a passing message: its first part."""
    ends: bool = True
    """The message, or the frame, is over."""
    frames: int = 1
    is_too_long: bool = False
    """It would have been held: the first part of a message that passes, with all its frames so far."""


_MORE: Final = Part("more", b"")


class MessageReader:
    """One direction. `from_client` says which: clients mask, and servers do not.

    After "garbage", which is no WebSocket any more, there are no further parts: `rest` has the bytes. "more" says that
    something was read, and belongs to a part that has not arrived whole.
    """

    def __init__(self, *, from_client: bool, most: int) -> None:
        self._splitter = Splitter()
        self._from_client = from_client
        self._most = most
        self._held = bytearray()
        self._frames = 0
        self._control = b""
        self.has_room = True
        """Messages may be held on; without, one passes that has not arrived whole."""
        self._state: Literal["between", "held", "passing"] = "between"

    def feed(self, data: bytes) -> None:
        """Take bytes."""
        self._splitter.feed(data)

    @property
    def size(self) -> int:
        """Bytes of a message that are held."""
        return len(self._held)

    @property
    def is_between_messages(self) -> bool:
        """Whether no message has begun that is not over."""
        return self._state == "between" and self._splitter.is_between_frames

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way."""
        return self._state == "between" and self._splitter.is_idle

    @property
    def rest(self) -> bytes:
        """All that was taken and is in no part yet."""
        return bytes(self._held) + self._control + self._splitter.rest

    def next_part(self, *, hold: bool) -> Part | None:
        """The next part; None where more has to be fed first. `hold` a text message that begins now."""
        piece = self._splitter.next_piece()
        if piece is None:
            return None
        if piece.begins and self._is_garbage(piece.head):
            self._held += self._splitter.data[piece.start :]
            self._splitter = Splitter()
            return Part("garbage", b"")
        data = self._splitter.data[piece.start : piece.end]
        return self._control_part(piece, data) if piece.head.is_control else self._data_part(piece, data, hold=hold)

    def _is_garbage(self, head: Head) -> bool:
        """Whether the peer at the other end has to fail the connection, or speaks an extension."""
        if bool(head.mask) != self._from_client:
            return True
        if head.is_control:
            return head.has_extension or not head.is_final or head.length > _CONTROL or not CLOSE <= head.opcode <= PONG
        begins = self._state == "between"
        if head.opcode not in ((TEXT, BINARY) if begins else (CONTINUATION,)):
            return True
        return head.has_extension and not (begins and self._from_client)

    def _control_part(self, piece: Piece, data: bytes) -> Part:
        self._control += data
        if not piece.ends:
            return _MORE
        whole, self._control = self._control, b""
        return Part("control", whole, opcode=piece.head.opcode)

    def _data_part(self, piece: Piece, data: bytes, *, hold: bool) -> Part:
        begins = self._state == "between"
        if begins:
            holds = hold and piece.head.opcode == TEXT and not piece.head.has_extension
            self._state = "held" if holds else "passing"
        ends = piece.ends and piece.head.is_final
        if self._state == "passing":
            self._state = "between" if ends else "passing"
            return Part("passing", data, piece.payload - piece.start, piece.head.opcode, begins, ends)
        if begins and ends and len(data) <= self._most:
            self._state = "between"
            return Part("held", data, piece.payload - piece.start)
        return self._hold(piece, data, ends=ends)

    def _hold(self, piece: Piece, data: bytes, *, ends: bool) -> Part:
        self._held += data
        self._frames += piece.begins
        too_long = len(self._held) > self._most or self._frames > FRAGMENTS
        if not (ends or too_long) and self.has_room:
            return _MORE
        too_long |= not ends
        whole, self._held = self._held, bytearray()
        frames, self._frames = self._frames, 0
        self._state = "between" if ends else "passing"
        kind: Kind = "passing" if too_long else "held"
        return Part(kind, whole, begins=True, ends=ends, frames=frames, is_too_long=too_long)


def payload_of(message: bytes | bytearray) -> bytes:
    """The payload of a whole message, out of all its frames."""
    found = list(_payloads(bytes(message)))
    return found[0] if len(found) == 1 else b"".join(found)


def close_code_of(frame: bytes | bytearray) -> int | None:
    """The code in a close frame; None where it has none."""
    payload = payload_of(frame)
    return int.from_bytes(payload[:2], "big") if len(payload) > 1 else None


def _payloads(message: bytes) -> Iterator[bytes]:
    splitter = Splitter()
    splitter.feed(message)
    while (piece := splitter.next_piece()) is not None:
        yield masked(message[piece.payload : piece.end], piece.head.mask)
