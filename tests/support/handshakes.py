"""WebSocket handshakes as bytes, and what a scripted upstream does after its 101.

client.send(handshake(b"/v1/realtime"))
upstream.will_answer(script(switching(), echo))
"""

import socket
import threading
from collections.abc import Iterable

from tests.support.raw_client import request
from tests.support.scripts import PATIENCE, head

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, 1.3: the two belong together
VERSION = (b"Sec-WebSocket-Version", b"13")
OFFER = [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
FIELDS = [*OFFER, VERSION, (b"Sec-WebSocket-Key", KEY)]
Pairs = Iterable[tuple[bytes, bytes]]


def handshake(target: bytes = b"/v1/realtime", more: Pairs = ()) -> bytes:
    """A handshake with `more` fields behind those it needs."""
    return request(b"GET", target, [*FIELDS, *more])


def switching(more: Pairs = ()) -> bytes:
    """The head of a 101 with `more` fields."""
    return head(101, [*OFFER, (b"Sec-WebSocket-Accept", ACCEPT), *more], b"Switching Protocols")


def echo(connection: socket.socket) -> None:
    """Give back what comes until it ends."""
    while piece := connection.recv(65536):
        connection.sendall(piece)


class Hearing:
    """Reads until the other side ends: `data`, and whether that was a reset."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.was_reset = False
        self._news = threading.Condition()
        self._over = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        """Read all of it."""
        try:
            while piece := connection.recv(65536):
                with self._news:
                    self.data += piece
                    self._news.notify_all()
        except ConnectionResetError:
            self.was_reset = True
        finally:
            self._over.set()

    def wait(self, ending: bytes) -> None:
        """Wait until the bytes so far end in `ending`."""
        with self._news:
            assert self._news.wait_for(lambda: self.data.endswith(ending), PATIENCE), "these bytes never came"

    def wait_over(self) -> None:
        """Wait for the end."""
        assert self._over.wait(PATIENCE), "the other side never ended"
