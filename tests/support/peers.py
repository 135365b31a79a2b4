"""Connections whose near end is a stream of the product's, and whose far end is a socket of the test's.

async with the loop running:
    client = await peer(b"came behind the head")        # client.stream, client.socket
    await client.send(b"more"); await client.take(4)
"""

import asyncio
import socket
import struct
from collections.abc import Callable

import pytest

from proxy.streams.stream import Stream


class Peer:
    """The far end of a stream: a socket of the test's."""

    def __init__(self, far: socket.socket, near: Stream) -> None:
        far.setblocking(False)
        self.socket = far
        self.stream = near
        self.loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        await self.loop.sock_sendall(self.socket, data)

    async def take(self, size: int) -> bytes:
        """So many bytes, or as many as come before the end."""
        taken = bytearray()
        while len(taken) < size and (piece := await self.loop.sock_recv(self.socket, min(size - len(taken), 65536))):
            taken += piece
        return bytes(taken)

    async def sees_a_reset(self) -> None:
        """Read, which fails; and let go of the socket."""
        with self.socket, pytest.raises(ConnectionResetError):
            await self.take(1)

    def end(self) -> None:
        """Send a FIN, and go on reading."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Leave without a word (RST)."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


async def peer(behind: bytes = b"", lost: Callable[[Exception | None], None] | None = None) -> Peer:
    """A connection whose near end is a stream."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname())
        near, _ = listener.accept()
    transport, _ = await asyncio.get_running_loop().connect_accepted_socket(asyncio.Protocol, near)
    return Peer(far, Stream(transport, behind, lost))
