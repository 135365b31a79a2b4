"""A scripted upstream: a real server on 127.0.0.1 that answers in order and remembers exactly what it received.

    with ScriptedUpstream() as upstream:                                   # or the fixture `upstream`
        upstream.will_answer(refusal(404, {...}), json_answer({...}))      # for two requests; tests/scripts.py
        ...                                                                # talk to upstream.url
        assert upstream.received[1].json()["input"] == [...]               # .body .fields .target .method .head .wire

Requests beyond the last script are answered 500 with `script is over`. Every wait ends after PATIENCE seconds with an
error, which leaving the `with` block raises in the test.
"""

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Self

from tests.scripts import PATIENCE, Act, Fields, Gate, Script, Step, answer


@dataclass
class Received:
    """One request as it came: `head` and `wire` are its raw bytes, `body` is what they mean."""

    head: bytes
    method: bytes
    target: bytes
    fields: Fields
    connection: int
    wire: bytes = b""
    body: bytes = b""
    whole: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def values(self, name: bytes) -> list[bytes]:
        """The values of the fields called `name` (lower case), in order."""
        return [value for key, value in self.fields if key.lower() == name]


class _Source:
    """The bytes of one connection, read as far as asked."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.buffer = b""

    def more(self) -> None:
        piece = self.connection.recv(65536)
        if not piece:
            raise ConnectionError("closed by the other side")
        self.buffer += piece

    def until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            self.more()
        taken, _, self.buffer = self.buffer.partition(mark)
        return taken + mark

    def exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self.more()
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken


def _request(source: _Source, connection: int) -> Received:
    raw = source.until(b"\r\n\r\n")
    line, *lines = raw[:-4].split(b"\r\n")
    method, target, _ = line.split(b" ")
    pairs = (text.partition(b":") for text in lines)
    return Received(raw, method, target, [(name, value.strip()) for name, _, value in pairs], connection)


def _read_body(source: _Source, request: Received) -> None:
    if request.values(b"transfer-encoding"):
        size = -1
        while size:
            line = source.until(b"\r\n")
            request.wire += line
            size = int(line, 16)
            piece = source.exactly(size + 2)
            request.wire += piece
            request.body += piece[:-2]
    else:
        for length in request.values(b"content-length"):
            request.wire = request.body = source.exactly(int(length))
    request.whole.set()


class ScriptedUpstream:
    """The server; `tls` makes it speak TLS, `family` may be `socket.AF_INET6`, or `socket.AF_UNIX` with `path`."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, family: int = socket.AF_INET, path: str = "") -> None:
        self.received: list[Received] = []
        self.connections = 0
        self._tls = tls
        self._scripts: deque[Script] = deque()
        self._news = threading.Condition()
        self._failures: list[BaseException] = []
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        address: tuple[str, int] | str = path or ("::1" if family == socket.AF_INET6 else "127.0.0.1", 0)
        self._listener.bind(address)
        self._listener.listen(1024)
        name = self._listener.getsockname()
        self.port: int = name[1] if isinstance(name, tuple) else 0

    @property
    def url(self) -> str:
        """The base URL, without a path."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def will_answer(self, *scripts: Script) -> None:
        """Answer the next requests with `scripts`, one each."""
        self._scripts.extend(scripts)

    def wait_received(self, count: int = 1) -> Received:
        """Wait until the heads of `count` requests have come, and return the last of them."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.received) >= count, PATIENCE), "the request never came"
            return self.received[count - 1]

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        failures = [failure for failure in self._failures if isinstance(failure, AssertionError)]
        if failures:
            raise failures[0]

    def close(self) -> None:
        """Stop listening, close all connections, and wait for every thread."""
        _shut(self._listener)
        for connection in list(self._open):
            _shut(connection)
        for thread in self._threads:
            thread.join(PATIENCE)

    def _spawn(self, work: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(connection)
            self.connections += 1
            self._spawn(self._converse, connection, self.connections)

    def _converse(self, connection: socket.socket, number: int) -> None:
        try:
            connection.settimeout(PATIENCE)
            connection = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
            self._open.add(connection)
            source = _Source(connection)
            while self._answer_one(source, number):
                pass
        except (OSError, AssertionError) as failure:
            self._failures.append(failure)
        finally:
            self._open.discard(connection)
            connection.close()

    def _answer_one(self, source: _Source, number: int) -> bool:
        request = _request(source, number)
        with self._news:
            self.received.append(request)
            steps = self._scripts.popleft() if self._scripts else answer(500, b"script is over")
            self._news.notify_all()
        try:
            return all(_performed(step, source, request) for step in steps)
        except ConnectionError:
            request.closed.set()
            raise


def _performed(step: Step, source: _Source, request: Received) -> bool:
    """Perform one step; false when the connection is over."""
    connection = source.connection
    match step:
        case bytes():
            connection.sendall(step)
        case Gate():
            step.pass_through()
        case Act.READ_BODY:
            _read_body(source, request)
        case Act.UNTIL_CLOSED:
            while connection.recv(65536):
                pass
            request.closed.set()
            return False
        case Act.RESET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        case Act.END:
            return False
    return True


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
