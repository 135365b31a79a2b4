"""What a parent and its worker say to each other: JSON values behind their length, on a pair of sockets.

| message | from | means |
|---|---|---|
| begin | parent | the first one: settings, listener, share of the memory |
| ready | worker | it accepts connections |
| failed | worker | it cannot start: the sentence, which is "" where the log has it, and the exit code |
| store | worker | whether it lacks a store that is required |
| standing | parent, worker | the question and the answer: what has been counted, and the gauges |
| exchange | worker | one exchange, for the live page |
| retire, end | parent | of `DrainingServer`; a second `end` cuts what still runs |

The end of the connection is the other side's: a worker whose parent has died drains and ends.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any, Final, cast

import orjson

_LENGTH: Final = struct.Struct("!I")
_BACKLOG: Final = 1 << 20
"""Bytes that may wait for the other side before what can be left out is."""


def receive_first(end: socket.socket) -> Any:
    """The value of the first message, waiting for it."""
    (size,) = _LENGTH.unpack(_exactly(end, _LENGTH.size))
    return orjson.loads(_exactly(end, size))[1]


def send_last(end: socket.socket, name: str, value: object) -> None:
    """Send a message where no event loop runs."""
    end.sendall(_framed(name, value))


def _exactly(end: socket.socket, size: int) -> bytes:
    received = end.recv(size, socket.MSG_WAITALL)
    if len(received) < size:
        raise ConnectionError("the parent has ended")
    return received


def _framed(name: str, value: object) -> bytes:
    text = orjson.dumps([name, value])
    return _LENGTH.pack(len(text)) + text


class Channel(asyncio.Protocol):
    """One end: `heard` is called with the name and the value of each message, `lost` when the other side has ended."""

    def __init__(self, heard: Callable[[str, Any], None], lost: Callable[[], None]) -> None:
        self._heard = heard
        self._lost = lost
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._closed = asyncio.Event()

    async def open(self, end: socket.socket) -> None:
        """Send and hear by this socket."""
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=end)

    def send(self, name: str, value: object = None) -> None:
        """Send a message, unless the other side has ended."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_framed(name, value))

    def offer(self, name: str, value: object) -> None:
        """Send a message, unless too much waits already."""
        if self._transport is not None and self._transport.get_write_buffer_size() < _BACKLOG:
            self.send(name, value)

    async def close(self) -> None:
        """Send what waits, and close."""
        if self._transport is not None:
            self._transport.close()
            await self._closed.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The channel is open."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- of asyncio.Protocol
        """The other side has ended."""
        self._transport = None
        self._closed.set()
        self._lost()

    def data_received(self, data: bytes) -> None:
        """Take the messages that are whole."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._buffer)[0]
            if len(self._buffer) < end:
                return
            name, value = orjson.loads(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            self._heard(name, value)
