"""A protocol whose transport reads little at once, so that a peer that sends much cannot make it hold much."""

import asyncio
from typing import Final
from weakref import WeakKeyDictionary

LONGEST: Final = 32_768
"""Bytes of one read, at most."""

_buffers: "WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview]" = WeakKeyDictionary()
"""The memory to read into, one for each loop: what is read is taken before anything else is read."""


class ShortReads(asyncio.BufferedProtocol):
    """The callbacks of `protocol`, for its transport."""

    __slots__ = ("_buffer", "_protocol")

    def __init__(self, protocol: asyncio.Protocol, loop: asyncio.AbstractEventLoop) -> None:
        self._protocol = protocol
        buffer = _buffers.get(loop)
        if buffer is None:
            buffer = _buffers[loop] = memoryview(bytearray(LONGEST))
        self._buffer = buffer

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 -- the protocol's signature
        """The memory to read into."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Give the protocol what has arrived."""
        self._protocol.data_received(bytes(self._buffer[:nbytes]))

    def eof_received(self) -> bool | None:
        """The peer has ended."""
        return self._protocol.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self._protocol.connection_lost(error)

    def pause_writing(self) -> None:
        """The peer reads more slowly than is written."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self._protocol.resume_writing()
