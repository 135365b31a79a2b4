"""What a stream sets on its socket: how a vanished peer is found, how the connection breaks off, and why it broke."""

import asyncio
import contextlib
import errno
import socket
import struct
from typing import Final, cast

# Nothing here pings, and silence has no limit: the kernel finds a peer that has vanished, within two minutes.
_KEEP_ALIVE: Final = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
_NO_MEMORY: Final = frozenset({errno.ENOMEM, errno.ENOBUFS, socket.EAI_MEMORY})
_RESET: Final = struct.pack("ii", 1, 0)


def reset(transport: asyncio.BaseTransport) -> None:
    """Close the connection in a way that does not look like an end of what was sent (RST)."""
    with contextlib.suppress(OSError, AttributeError):  # it has no socket any more
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    cast("asyncio.Transport", transport).abort()


def keep_alive(transport: asyncio.Transport) -> None:
    """Probe a peer that is silent for a minute."""
    with contextlib.suppress(OSError):  # a Unix socket, or one that is closed already
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEP_ALIVE:
            if hasattr(socket, name):  # elsewhere than on Linux not all of them
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether memory is missing here, so that the failure says nothing of the other side."""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _NO_MEMORY)
