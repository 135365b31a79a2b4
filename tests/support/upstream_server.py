"""A scripted upstream: a real server on 127.0.0.1 that answers in order and remembers exactly what it received.

    with ScriptedUpstream() as upstream:                                   # or the fixture `upstream`
        upstream.will_answer(refusal(404, {...}), json_answer({...}))      # for two requests; tests/support/scripts.py
        ...                                                                # talk to upstream.url
        assert upstream.received[1].json()["input"] == [...]               # .body .fields .target .method .head .wire

Requests beyond the last script are answered 500 with `script is over`. Every wait ends after PATIENCE seconds with an
error, which leaving the `with` block raises in the test.
"""

import contextlib
import json
import re
import socket
import ssl
import struct
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Self

from tests.support.scripts import PATIENCE, Act, Fields, Gate, Script, Step, answer

_OWN_HOP = re.compile(rb"\r\nvia: 1\.1 unpinned-[0-9a-f]{16}(?=\r\n)")


@dataclass
class Received:
    """One request as it came, and as far as it has come: `head` are its raw bytes, `whole` says that all have come.

    `fields` and `head` are without the Via line that the process under test adds, which is in `hops`.
    """

    head: bytes
    method: bytes
    target: bytes
    fields: Fields
    connection: int
    raw_head: bytes = b""
    _wire: bytearray = field(default_factory=bytearray)
    _body: bytearray = field(default_factory=bytearray)
    whole: bool = False
    closed: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    news: threading.Condition = field(default_factory=threading.Condition)

    @property
    def wire(self) -> bytes:
        """The body as it came, with its framing."""
        return bytes(self._wire)

    @property
    def body(self) -> bytes:
        """The body."""
        return bytes(self._body)

    @property
    def hops(self) -> list[bytes]:
        """The values of all Via fields, as they came."""
        return re.findall(rb"(?i)\r\nvia: ([^\r\n]*)", self.raw_head)

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def grow(self, wire: bytes, body: bytes = b"", *, whole: bool = False) -> None:
        """Note what has come, in the server's thread."""
        with self.news:
            self._wire += wire
            self._body += body
            self.whole = whole
            self.news.notify_all()

    def wait_body(self, ending: bytes) -> None:
        """Wait until the body that has come so far ends in `ending`."""
        with self.news:
            assert self.news.wait_for(lambda: self._body.endswith(ending), PATIENCE), "these bytes never came"

    def wait_closed(self) -> None:
        """Wait until the other side has closed the connection."""
        assert self.closed.wait(PATIENCE), "the connection was never closed"

    def wait_over(self) -> None:
        """Wait until the connection is closed on this side."""
        assert self.over.wait(PATIENCE), "the script goes on"

    def values(self, name: bytes) -> list[bytes]:
        """The values of the fields called `name` (lower case), in order."""
        return [value for key, value in self.fields if key.lower() == name]


class _Source:
    """The bytes of one connection, read as far as asked."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.buffer = bytearray()
        self.wire = bytearray()

    def more(self) -> None:
        piece = self.connection.recv(65536)
        if not piece:
            raise ConnectionError("closed by the other side")
        self.buffer += piece
        self.wire += piece

    def until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            self.more()
        return self.at_most(self.buffer.index(mark) + len(mark))

    def exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self.more()
        return self.at_most(size)

    def at_most(self, size: int) -> bytes:
        if not self.buffer:
            self.more()
        taken = bytes(self.buffer[:size])
        del self.buffer[:size]
        return taken


def _request(source: _Source, connection: int) -> Received:
    raw_head = source.until(b"\r\n\r\n")
    raw = _OWN_HOP.sub(b"", raw_head)
    line, *lines = raw[:-4].split(b"\r\n")
    method, target, _ = line.split(b" ")
    pairs = (text.partition(b":") for text in lines)
    return Received(raw, method, target, [(name, value.strip()) for name, _, value in pairs], connection, raw_head)


def _read_body(source: _Source, request: Received) -> None:
    size = -1
    while request.values(b"transfer-encoding") and size:
        line = source.until(b"\r\n")
        size = int(line, 16)
        piece = source.exactly(size + 2)
        request.grow(line + piece, piece[:-2])
    left = sum(map(int, request.values(b"content-length")))
    while left:
        piece = source.at_most(left)
        left -= len(piece)
        request.grow(piece, piece)
    request.grow(b"", whole=True)


class ScriptedUpstream:
    """The server; `tls` makes it speak TLS, `family` may be `socket.AF_INET6`, or `socket.AF_UNIX` with `path`.

    At `port` there may have been another one before.
    """

    def __init__(
        self, *, tls: ssl.SSLContext | None = None, family: int = socket.AF_INET, path: str = "", port: int = 0
    ) -> None:
        self.received: list[Received] = []
        self.connections = 0
        self.tls = tls
        self._scripts: deque[Script] = deque()
        self._always = answer(500, b"script is over")
        self._news = threading.Condition()
        self._failures: list[BaseException] = []
        self._open: set[socket.socket] = set()
        self._sources: list[_Source] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        address: tuple[str, int] | str = path or ("::1" if family == socket.AF_INET6 else "127.0.0.1", port)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(address)
        self._listener.listen(1024)
        name = self._listener.getsockname()
        self.port: int = name[1] if isinstance(name, tuple) else 0

    @property
    def url(self) -> str:
        """The base URL, without a path."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def wire(self) -> bytes:
        """Every byte that was read, connection by connection, whether or not it became a request."""
        return b"".join(bytes(source.wire) for source in self._sources)

    def will_answer(self, *scripts: Script) -> None:
        """Answer the next requests with `scripts`, one each."""
        self._scripts.extend(scripts)

    def will_always_answer(self, always: Script) -> None:
        """Answer with `always` whatever has no script of its own."""
        self._always = always

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
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = self.tls.wrap_socket(connection, server_side=True) if self.tls else connection
            self._open.add(connection)
            source = _Source(connection)
            self._sources.append(source)
            while self._answer_one(source, number):
                pass
        except (OSError, AssertionError) as failure:
            self._failures.append(failure)
        finally:
            self._open.discard(connection)
            connection.close()
            for request in self.received:
                if request.connection == number:
                    request.over.set()

    def _answer_one(self, source: _Source, number: int) -> bool:
        request = _request(source, number)
        with self._news:
            self.received.append(request)
            steps = self._scripts.popleft() if self._scripts else self._always
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
            if isinstance(connection, ssl.SSLSocket):
                with contextlib.suppress(OSError, ValueError):
                    connection.unwrap()
            return False
        case _:
            step(connection)
    return True


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
