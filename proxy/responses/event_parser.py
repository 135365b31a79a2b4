"""A parser of server-sent events, sans-IO: pieces of a stream in, the data of events out.

As the HTML standard says (9.2.6, "Interpreting an event stream"): lines end in LF, CR or CR LF, a BOM in front is
dropped, a line that begins with a colon is a comment, several `data` lines are one text, a blank line ends an event,
and an event without a `data` line is none. Names of events are not looked at: an event's JSON says its type.
"""

from collections.abc import Iterator
from typing import Final

_BOM: Final = b"\xef\xbb\xbf"
_ENDS: Final = b"\r\n"


class EventParser:
    """One stream; whatever the pieces are, each byte is looked at once, and only where a line ends."""

    def __init__(self) -> None:
        self._line: list[bytes] = []
        """The pieces of the line that has not ended."""
        self._data: list[bytes] = []
        self._is_first = True
        self._after_cr = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The data of each event that `piece` completes, in order. Whoever has seen enough stops, and feeds no more."""
        if self._after_cr and piece:
            self._after_cr = False
            piece = piece.removeprefix(b"\n")
        if b"\n" not in piece and b"\r" not in piece:
            self._line.append(piece)
            return
        lines = b"".join((*self._line, piece)).splitlines(keepends=True)
        self._after_cr = lines[-1].endswith(b"\r")
        self._line = [] if lines[-1].endswith((b"\n", b"\r")) else [lines.pop()]
        if self._is_first:
            self._is_first = False
            lines[0] = lines[0].removeprefix(_BOM)
        for line in lines:
            data = self._take(line.rstrip(_ENDS))
            if data is not None:
                yield data

    def _take(self, line: bytes) -> bytes | None:
        """Take a line; the data of the event that it ends."""
        if line:
            name, _, value = line.partition(b":")
            if name == b"data":
                self._data.append(value.removeprefix(b" "))
            return None
        if not self._data:
            return None
        data, self._data = b"\n".join(self._data), []
        return data
