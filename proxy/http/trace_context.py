"""A request's place in a trace (W3C Trace Context), and what is noted for its spans."""

import re
from typing import Any, Final, NamedTuple

_PARENT: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED: Final = 0x01
_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)


class Parent(NamedTuple):
    """The span of the client that a request belongs to."""

    trace_id: bytes
    span_id: bytes
    sampled: bool
    state: bytes = b""
    """`tracestate`, which belongs to vendors and is only passed on."""


def parent_in(fields: list[tuple[bytes, bytes]]) -> Parent | None:
    """The parent that the header fields name; None where there is none, or it is not valid.

    "If the vendor failed to parse traceparent, it MUST NOT attempt to parse tracestate" (3.3.1.1); of two, none counts.
    """
    found: list[bytes] = []
    states: list[bytes] = []
    for name, value in fields:
        if name == b"traceparent":
            found.append(value)
        elif name == b"tracestate":
            states.append(value)
    match = _PARENT.fullmatch(found[0].strip()) if len(found) == 1 else None
    if match is None or match[1] == b"ff" or (match[1] == b"00" and match[5]):
        return None
    trace_id, span_id = bytes.fromhex(match[2].decode()), bytes.fromhex(match[3].decode())
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return Parent(trace_id, span_id, bool(int(match[4], 16) & _SAMPLED), b",".join(states))


class Attempt:
    """One request sent upstream; moments are nanoseconds since 1970."""

    __slots__ = ("began", "ended", "model", "span_id", "status")

    def __init__(self, span_id: bytes, began: int) -> None:
        self.span_id = span_id
        self.began = began
        self.ended = began
        self.status = 0
        """Of the answer; 0 where there was none."""
        self.model = ""

    def field(self, trace_id: bytes) -> tuple[bytes, bytes]:
        """`traceparent` for what is sent."""
        return b"traceparent", f"00-{trace_id.hex()}-{self.span_id.hex()}-01".encode()


class Trace:
    """One request that is traced: its span's identity, its attempts, and the facts stated of it, in order."""

    __slots__ = ("attempts", "began", "events", "parent", "request_id", "span_id", "trace_id")

    def __init__(self, request_id: str, trace_id: bytes, span_id: bytes, parent: Parent | None, began: int) -> None:
        self.request_id = request_id
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent = parent
        self.began = began
        self.attempts: list[Attempt] = []
        self.events: list[Any] = []

    @property
    def spans(self) -> int:
        """How many it has: its own, and one for each attempt."""
        return 1 + len(self.attempts)
