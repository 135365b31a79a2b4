"""Messages out of the frames that a WebSocket client sends, sans-IO: fragments are joined, masks taken off.

Strict, as RFC 6455 has it: what a client must not send ends the connection with the code that the RFC names.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from proxy.responses import frames

LARGEST: Final = 16 * 1024 * 1024
"""Bytes of a message that OpenAI takes; beyond them it closes with 1009 (opencodex#2426, measured 2026-08-24)."""
TOO_BIG: Final = 1009
_LONGEST_CONTROL: Final = 125
_DATA: Final = frozenset({frames.TEXT, frames.BINARY})
_CONTROL: Final = frozenset({frames.CLOSE, frames.PING, frames.PONG})


class Violation(Exception):  # noqa: N818 -- the RFC's word is "fail the connection"
    """What a client must not send: the code and the reason of the close frame that answers it."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Message(NamedTuple):
    """A whole message, or a control frame."""

    opcode: int
    payload: bytes


class MessageReader:
    """Joins one client's frames. After a `Violation` with 1009 only control frames go on; after others nothing does."""

    def __init__(self) -> None:
        self._splitter = frames.Splitter()
        self._frame = bytearray()
        self._message = bytearray()
        self._opcode: int | None = None
        self._discards = False

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that `data` completes. Raises Violation."""
        self._splitter.feed(data)
        while (piece := self._splitter.next_piece()) is not None:
            if self._discards and not piece.head.is_control:
                continue
            if piece.begins:
                self._check(piece.head)
                self._frame.clear()
            self._frame += self._splitter.data[piece.payload : piece.end]
            if piece.ends:
                yield from self._take(piece.head, frames.masked(bytes(self._frame), piece.head.mask))

    def _check(self, head: frames.Head) -> None:
        if head.has_extension or head.opcode not in {frames.CONTINUATION, *_DATA, *_CONTROL} or not head.mask:
            raise Violation(1002, "protocol error")
        if head.is_control and (head.length > _LONGEST_CONTROL or not head.is_final):
            raise Violation(1002, "invalid control frame")
        if not head.is_control and (head.opcode == frames.CONTINUATION) != (self._opcode is not None):
            raise Violation(1002, "unexpected fragment")
        if not head.is_control and len(self._message) + head.length > LARGEST:
            self._discards = True
            raise Violation(TOO_BIG, "message too big")

    def _take(self, head: frames.Head, payload: bytes) -> Iterator[Message]:
        if head.is_control:
            yield Message(head.opcode, payload)
            return
        self._message += payload
        if head.opcode != frames.CONTINUATION:
            self._opcode = head.opcode
        if head.is_final and self._opcode is not None:
            whole, opcode = bytes(self._message), self._opcode
            self._message.clear()
            self._opcode = None
            yield Message(opcode, whole)
