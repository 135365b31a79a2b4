"""A client that sends exactly the bytes it is given, and gives back exactly the bytes that came.

    with RawClient(port) as client:
        client.send(request(b"POST", b"/v1/responses", body=b"{}"))
        answer = client.answer()            # .status .fields .body .wire .complete

`client.until(b"...")` reads as far as a mark, `client.rest()` to the connection's end. Every wait ends after PATIENCE.
"""

import select
import socket
import ssl
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from tests.support.scripts import send_until_stalled

PATIENCE = 20.0
Fields = list[tuple[bytes, bytes]]


@dataclass
class RawAnswer:
    """An answer: `wire` are its raw bytes after the head, `body` what they mean, `complete` whether it had its end."""

    head: bytes
    status: int
    fields: Fields
    wire: bytes = b""
    body: bytes = b""
    complete: bool = False

    def values(self, name: bytes) -> list[bytes]:
        """The values of the fields called `name` (lower case), in order."""
        return [value for key, value in self.fields if key.lower() == name]


def request(
    method: bytes, target: bytes, fields: Iterable[tuple[bytes, bytes]] = (), body: bytes | None = None
) -> bytes:
    """A raw request with Host, then `fields`, then Content-Length where there is a body."""
    framing = [] if body is None else [(b"Content-Length", b"%d" % len(body))]
    lines = [name + b": " + value + b"\r\n" for name, value in [(b"Host", b"proxy.test"), *fields, *framing]]
    return b"%s %s HTTP/1.1\r\n%s\r\n%s" % (method, target, b"".join(lines), body or b"")


class RawClient:
    """One connection to 127.0.0.1, or to another address of this machine; with `tls`, under TLS."""

    def __init__(self, port: int, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self._socket = socket.create_connection((host, port), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        if tls is not None:
            self._socket = tls.wrap_socket(self._socket, server_hostname=host)

    @property
    def peer_certificate(self) -> bytes | None:
        """The certificate of the other side, where there is TLS."""
        return self._socket.getpeercert(binary_form=True) if isinstance(self._socket, ssl.SSLSocket) else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        """Send `data` as it is."""
        self._socket.sendall(data)

    def send_until_stalled(self, data: bytes) -> int:
        """Send `data` until the other side has taken nothing for a while; the number of bytes it took."""
        return send_until_stalled(self._socket, data)

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    def reset(self) -> None:
        """Leave without a word (RST)."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def end(self) -> None:
        """Send the end (FIN), and go on reading."""
        self._socket.shutdown(socket.SHUT_WR)

    def is_reset(self) -> bool:
        """Wait for the other side's end, and say whether it is a reset; what comes before it is dropped."""
        try:
            while self._socket.recv(65536):
                pass
        except ConnectionResetError:
            return True
        return False

    def readable_within(self, seconds: float) -> bool:
        """Whether anything comes, or the connection ends, within so many seconds."""
        return bool(self._buffer or select.select([self._socket], [], [], seconds)[0])

    def until(self, mark: bytes) -> bytes:
        """All bytes up to and with `mark`; raises ConnectionError when the connection ends before."""
        while mark not in self._buffer:
            self._more()
        return self._take(self._buffer.index(mark) + len(mark))

    def exactly(self, size: int) -> bytes:
        """The next `size` bytes; raises ConnectionError when the connection ends before."""
        while len(self._buffer) < size:
            self._more()
        return self._take(size)

    def rest(self) -> bytes:
        """All bytes until the other side closes."""
        try:
            while True:
                self._more()
        except ConnectionError:
            return self._take(len(self._buffer))

    def head(self) -> RawAnswer:
        """The next answer's head; its body can be read with `until` and `rest` while it comes."""
        raw = self.until(b"\r\n\r\n")
        line, *lines = raw[:-4].split(b"\r\n")
        pairs = (text.partition(b":") for text in lines)
        return RawAnswer(raw, int(line.split(b" ")[1]), [(name, value.strip()) for name, _, value in pairs])

    def answer(self, *, bodiless: bool = False) -> RawAnswer:
        """The next answer that is no 1xx, as far as it came; `bodiless` for an answer to HEAD."""
        answer = self.head()
        while answer.status < 200:
            answer = self.head()
        try:
            if not bodiless and answer.status not in (204, 304):
                self._read_body(answer)
            answer.complete = True
        except ConnectionError:
            answer.wire += self._buffer
            answer.body += b"" if answer.values(b"transfer-encoding") else self._buffer
        return answer

    def _read_body(self, answer: RawAnswer) -> None:
        if answer.values(b"transfer-encoding"):
            size = -1
            while size:
                line = self.until(b"\r\n")
                answer.wire += line
                size = int(line.partition(b";")[0], 16)
                piece = self.exactly(size + 2)
                answer.wire += piece
                answer.body += piece[:-2]
        elif lengths := answer.values(b"content-length"):
            answer.wire = answer.body = self.exactly(int(lengths[0]))
        else:
            answer.wire = answer.body = self.rest()

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _more(self) -> None:
        piece = self._socket.recv(65536)
        if not piece:
            raise ConnectionError("closed by the other side")
        self._buffer += piece


def exchange(port: int, raw: bytes, host: str = "127.0.0.1") -> RawAnswer:
    """One request on a connection of its own, and its answer."""
    with RawClient(port, host) as client:
        client.send(raw)
        return client.answer(bodiless=raw.startswith(b"HEAD "))
