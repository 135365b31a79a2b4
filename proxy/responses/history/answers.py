"""A parser that reads a response out of its answer while the answer passes: pieces are read, never held or changed.

Pure. Of a stream only a few events are read, found by their names; no event is kept that is larger than `LARGEST`.
"""

import re
from typing import Final

from proxy.responses.body.document import Document, read
from proxy.responses.body.lenient import MalformedError
from proxy.responses.body.size import cost_of
from proxy.responses.history.recording import Made, made
from proxy.responses.steps import INLINE

LARGEST: Final = 16 * 1024 * 1024
"""Bytes of an answer, or of an event, beyond which it is not remembered."""

_ENDS: Final = (b"response.completed", b"response.incomplete")
_ITEM: Final = b"response.output_item.done"
_BEGIN: Final = b"response.created"
_FAILURES: Final = (b"response.failed", b"response.cancelled")
_BOUNDARY: Final = re.compile(rb"\r?\n\r?\n")
_EDGE: Final = 3
_DELTA: Final = b".delta"
"""How the first line of the events ends that a stream mostly consists of, as everybody writes them."""


class WholeAnswer:
    """A JSON answer: kept until its end."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> Made | None:
        """Take the next piece."""
        self._size += len(piece)
        if self._size <= LARGEST:
            self._pieces.append(piece)
        else:
            self._pieces.clear()
        return None

    def end(self) -> Made | None:
        """The response, at the end of its answer."""
        return made(self.body) if self._size <= LARGEST else None

    @property
    def body(self) -> bytes:
        """What was taken."""
        return b"".join(self._pieces)

    def concerns(self, piece: bytes) -> bool:
        """Whether there is something to be taken from a piece."""
        return bool(piece)

    def cost(self, piece: bytes, *, last: bool) -> int:
        """What it costs to take a piece, in bytes that are looked at closely."""
        if not last:
            return 0
        size = self._size + len(piece)
        return size if size > INLINE else cost_of(self.body + piece)


class EventStream:
    """A stream of server-sent events; with `background` its beginning and its failure are reported as well."""

    def __init__(self, *, background: bool = False) -> None:
        self._wanted = (*_ENDS, _ITEM, _BEGIN, *_FAILURES) if background else (*_ENDS, _ITEM)
        self._tail: list[bytes] = []
        self._size = 0
        self._edge = b""
        self._skipping = False
        self._items: list[tuple[int, bytes]] = []
        self._held = 0

    def concerns(self, piece: bytes) -> bool:
        """Whether there is something to be taken from a piece: nine in ten are whole events of another kind."""
        if self._edge or not piece.endswith((b"\n\n", b"\n\r\n")):
            return True
        if piece.count(b"\n\n") == 1 and piece[: piece.find(b"\n")].endswith(_DELTA):
            return False
        return self._is_wanted(piece)

    def cost(self, piece: bytes, *, last: bool) -> int:  # noqa: ARG002 -- its end is an event
        """What it costs to take a piece, in bytes that are looked at closely."""
        return cost_of(piece, self._size + len(piece)) if _BOUNDARY.search(piece) else 0

    def _is_wanted(self, text: bytes) -> bool:
        return any(name in text for name in self._wanted)

    def feed(self, piece: bytes) -> Made | None:
        """The response, when it has come to its end in this piece, or has begun in the background."""
        edge, self._edge = self._edge + piece[:_EDGE], (self._edge + piece)[-_EDGE:]
        self._tail.append(piece)
        self._size += len(piece)
        if not (_BOUNDARY.search(piece) or _BOUNDARY.search(edge)):
            self._limit()
            return None
        text = b"".join(self._tail)
        # Few pieces hold what is wanted, and to split the others would cost more than to relay them.
        events = _BOUNDARY.split(text) if self._is_wanted(text) else [text[_last_boundary(text) :]]
        rest = events.pop()
        first = 1 if self._skipping else 0
        self._skipping = False
        self._tail, self._size = ([rest], len(rest)) if rest else ([], 0)
        self._edge = rest[-_EDGE:]
        found = [one for event in events[first:] if (one := self._take(event)) is not None]
        return found[-1] if found else None

    def end(self) -> Made | None:
        """What breaks off is no end."""
        return None

    def _limit(self) -> None:
        if self._size > LARGEST:
            self._skipping = True
            self._tail, self._size = [self._edge], _EDGE
            self._held = LARGEST + 1

    def _take(self, event: bytes) -> Made | None:
        if not self._is_wanted(event):
            return None
        document = _data(event)
        kind = (document.text("type") or "").encode() if document is not None else b""
        if document is None or kind not in self._wanted:
            return None
        if kind == _ITEM:
            self._keep(document)
            return None
        response = made(document.raw("response") or b"")
        if response is None or response.output or kind == _BEGIN or response.failed:
            return response
        if self._held > LARGEST:
            return None
        return response._replace(output=tuple(item for _, item in sorted(self._items, key=_place)))

    def _keep(self, document: Document) -> None:
        """Keep an item: some streams end without repeating what was made."""
        item = document.raw("item")
        self._held += len(item or b"")
        if item is not None and self._held <= LARGEST:
            place = document.raw("output_index") or b""
            self._items.append((int(place) if place.isdigit() else len(self._items), item))


def _last_boundary(text: bytes) -> int:
    """Where the last whole event of `text` ends."""
    return max(text.rfind(b"\n\n") + 2, text.rfind(b"\n\r\n") + 3)


def _place(one: tuple[int, bytes]) -> int:
    return one[0]


def _data(event: bytes) -> Document | None:
    lines = (line[5:] for line in event.splitlines() if line.startswith(b"data:"))
    try:
        return read(b"\n".join(lines))
    except MalformedError:
        return None
