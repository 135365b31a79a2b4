"""A client in WebSocket mode, as small as one can be: it sends a turn, and gives the event with which the turn ends."""

import base64
import json
import os
import socket
from typing import Any, Final, Self
from urllib.parse import urlsplit

from proxy.responses import frames

_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed", "error"})
_PATIENCE: Final = 30.0
_MASK: Final = 4
_HANDSHAKE: Final = (
    "GET {path}/responses HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nConnection: Upgrade\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {nonce}\r\n\r\n"
)


class SocketClient:
    """One connection to the API at `base`."""

    def __init__(self, base: str, key: str) -> None:
        url = urlsplit(base)
        self._socket = socket.create_connection((url.hostname or "", url.port or 80), _PATIENCE)
        self._splitter = frames.Splitter()
        nonce = base64.b64encode(os.urandom(16)).decode()
        head = _HANDSHAKE.format(path=url.path, host=url.netloc, key=key, nonce=nonce)
        self._socket.sendall(head.encode())
        self._splitter.feed(self._behind_the_head())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.sendall(frames.close_frame(1000, mask=os.urandom(_MASK)))
        self._socket.close()

    def turn(self, request: dict[str, Any]) -> dict[str, Any]:
        """The last event of the answer to a request."""
        message = json.dumps({"type": "response.create", **request}).encode()
        self._socket.sendall(frames.frame(message, os.urandom(_MASK)))
        while True:
            event: dict[str, Any] = json.loads(self._message())
            if event.get("type") in _ENDS:
                return event

    def _message(self) -> bytes:
        """The next message; the servers of the demonstration send each in one frame."""
        payload = bytearray()
        while True:
            piece = self._splitter.next_piece()
            if piece is None:
                self._splitter.feed(self._more())
                continue
            payload += self._splitter.data[piece.payload : piece.end]
            if piece.ends and piece.head.opcode == frames.TEXT:
                return bytes(payload)
            if piece.ends and piece.head.opcode == frames.CLOSE:
                raise ConnectionError("the server closed the connection")

    def _behind_the_head(self) -> bytes:
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._more()
        head, _, behind = received.partition(b"\r\n\r\n")
        status = head.split(b" ")[1]
        if status != b"101":
            raise ConnectionError(f"the handshake was answered with {status.decode()}")
        return behind

    def _more(self) -> bytes:
        received = self._socket.recv(65536)
        if not received:
            raise ConnectionError("the server closed the connection")
        return received
