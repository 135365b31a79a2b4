"""Scripts for the scripted upstream: what one request is answered with, a list of steps performed in order.

    bytes           go out as they are, in one piece
    Gate            the script waits there until the test opens it; `gate.wait_reached()` until it has come there
    READ_BODY       reads the request's body now (without it: first of all)
    END / RESET     the connection is closed (FIN / RST); without either it stays open for the next request
    UNTIL_CLOSED    waits until the other side has closed; then `received[n].closed` is set
    Flood           sends many zeros; `flood.wait_stalled()` tells how many the other side took before it took no more
    any callable    is called with the connection

Makers: `json_answer`, `refusal`, `event_stream`, `answer` (any status, fields, body), `cut_after`, and `script` for
exact steps; `head`, `chunk` and `event` make bytes for it. Nothing here sleeps.
"""

import json
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto
from typing import Any

PATIENCE = 20.0
Fields = list[tuple[bytes, bytes]]


class Gate:
    """A place in a script where it waits for the test."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._opened = threading.Event()

    def open(self) -> None:
        """Let the script go on."""
        self._opened.set()

    def wait_reached(self) -> None:
        """Wait until the script stands at this gate."""
        assert self.reached.wait(PATIENCE), "the script never came to this gate"

    def pass_through(self) -> None:
        """Wait for the test, in the script's thread."""
        self.reached.set()
        assert self._opened.wait(PATIENCE), "the gate was never opened"


class Flood:
    """So many zeros that the other side stops taking them while nobody reads them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.sent = 0
        self._stalled = threading.Event()

    def wait_stalled(self) -> int:
        """Wait until nothing more is taken, and return how many bytes went out."""
        assert self._stalled.wait(PATIENCE), "the other side took everything"
        return self.sent

    def __call__(self, connection: socket.socket) -> None:
        """Send all, and note when that comes to a halt."""
        self.sent = send_until_stalled(connection, bytes(self.size))
        self._stalled.set()
        connection.sendall(bytes(self.size - self.sent))


def send_until_stalled(connection: socket.socket, data: bytes) -> int:
    """Send `data` until the other side has taken nothing for a while; the number of bytes it took."""
    rest = memoryview(data)
    connection.settimeout(0.3)
    try:
        while rest:
            rest = rest[connection.send(rest[:65536]) :]
    except TimeoutError:
        pass
    finally:
        connection.settimeout(PATIENCE)
    return len(data) - len(rest)


class Act(Enum):
    """Steps that are no bytes."""

    READ_BODY = auto()
    END = auto()
    RESET = auto()
    UNTIL_CLOSED = auto()


READ_BODY, END, RESET, UNTIL_CLOSED = Act
Step = bytes | Gate | Act | Callable[[socket.socket], None]
Script = list[Step]


def script(*steps: Step) -> Script:
    """Exactly these steps, after the request's body was read unless they say when to."""
    return list(steps) if READ_BODY in steps else [READ_BODY, *steps]


def head(status: int, fields: Iterable[tuple[bytes, bytes]] = (), reason: bytes = b"Reason") -> bytes:
    """A raw answer head, its field names and order as given."""
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
    return b"HTTP/1.1 %d %s\r\n%s\r\n" % (status, reason, lines)


def answer(status: int = 200, body: bytes = b"", fields: Iterable[tuple[bytes, bytes]] = ()) -> Script:
    """An answer with Content-Length, in one piece."""
    return script(head(status, [*fields, (b"Content-Length", b"%d" % len(body))]) + body)


def json_answer(payload: Any, status: int = 200, fields: Iterable[tuple[bytes, bytes]] = ()) -> Script:
    """A JSON answer; `payload` is bytes, or anything that `json.dumps` takes."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return answer(status, body, [(b"Content-Type", b"application/json"), *fields])


def refusal(status: int, error: Any, fields: Iterable[tuple[bytes, bytes]] = ()) -> Script:
    """OpenAI's refusal: `error` is the object (or the message) inside `{"error": …}`."""
    kind = {"type": "invalid_request_error", "param": None, "code": None}
    return json_answer({"error": {**kind, **({"message": error} if isinstance(error, str) else error)}}, status, fields)


def chunk(piece: bytes) -> bytes:
    """One chunk of a chunked body; of nothing, the last."""
    return b"%x\r\n%s\r\n" % (len(piece), piece)


def event(payload: Any) -> bytes:
    """One server-sent event: bytes as they are, anything else as OpenAI writes it."""
    if isinstance(payload, bytes):
        return payload
    return b"event: %s\ndata: %s\n\n" % (str(payload["type"]).encode(), json.dumps(payload).encode())


def event_stream(events: Sequence[Any], fields: Iterable[tuple[bytes, bytes]] = ()) -> Script:
    """A chunked event stream, each event a chunk of its own; a Gate or another step among them is performed there."""
    start = head(
        200, [(b"Content-Type", b"text/event-stream; charset=utf-8"), *fields, (b"Transfer-Encoding", b"chunked")]
    )
    steps = [step if isinstance(step, Gate | Act) or callable(step) else chunk(event(step)) for step in events]
    return script(start, *steps, chunk(b""))


def cut_after(whole: Script, step: Act = END) -> Script:
    """`whole` without its last byte, and the connection closed there."""
    last = whole[-1]
    assert isinstance(last, bytes)
    return [*whole[:-1], last[:-1], step]
