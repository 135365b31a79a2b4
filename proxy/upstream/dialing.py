"""How a connection to upstream is made: names resolved, addresses tried, TLS shaken hands.

Nothing of a request is sent here, so whatever fails may be tried again by the client.
"""

import asyncio
import contextlib
import errno
import itertools
import socket
import ssl
from collections.abc import Callable
from typing import Any

from proxy.http.base_url import BaseUrl
from proxy.http.faults import hop_fault
from proxy.upstream.connection import Connection

HEAD_START = 0.25  # seconds; RFC 8305, 5: "Connection Attempt Delay"
_FULL = frozenset({errno.EMFILE, errno.ENFILE})
Address = tuple[Any, ...]


async def dialed(
    upstream: BaseUrl, make: Callable[[], Connection], tls: ssl.SSLContext | None, patience: float
) -> Connection:
    """A new connection to `upstream`, ready for a request within `patience` seconds."""
    try:
        async with asyncio.timeout(patience):
            return await _connected(upstream, make, tls)
    except TimeoutError:
        raise hop_fault("upstream_connect_timeout") from None
    except ssl.SSLError:
        raise hop_fault("upstream_tls_failed") from None
    except OSError as error:
        raise hop_fault("out_of_descriptors" if error.errno in _FULL else "upstream_unreachable") from None


async def _connected(upstream: BaseUrl, make: Callable[[], Connection], tls: ssl.SSLContext | None) -> Connection:
    loop = asyncio.get_running_loop()
    if upstream.socket:
        _, connection = await loop.create_unix_connection(make, upstream.socket)
        return connection
    plain = await _first(await _addresses(upstream.host, upstream.port))
    try:
        name = upstream.host if tls is not None else None
        _, connection = await loop.create_connection(make, sock=plain, ssl=tls, server_hostname=name)
    except BaseException:
        plain.close()
        raise
    return connection


async def _addresses(host: str, port: int) -> list[tuple[int, Address]]:
    """The addresses of a name, the families in turns (RFC 8305, 4)."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [(family, address) for family, _, _, _, address in found]
    first = [entry for entry in addresses if entry[0] == addresses[0][0]]
    others = [entry for entry in addresses if entry[0] != addresses[0][0]]
    turns = itertools.chain.from_iterable(itertools.zip_longest(first, others))
    return [entry for entry in turns if entry is not None]


async def _first(addresses: list[tuple[int, Address]]) -> socket.socket:
    """A socket connected to the first address that answers, each of them having a head start before the next."""
    if len(addresses) == 1:
        return await _attempt(*addresses[0])
    attempts: list[asyncio.Task[socket.socket]] = []
    winner: asyncio.Task[socket.socket] | None = None
    try:
        for address in addresses:
            attempts.append(asyncio.create_task(_attempt(*address)))
            if winner := await _winner(attempts, HEAD_START):
                break
        else:
            winner = await _winner(attempts, None)
    finally:
        for attempt in attempts:
            if attempt is not winner:
                attempt.cancel()
                attempt.add_done_callback(_discard)
    if winner is None:
        raise attempts[-1].exception() or OSError("no address answers")
    return winner.result()


async def _winner(
    attempts: "list[asyncio.Task[socket.socket]]", seconds: float | None
) -> "asyncio.Task[socket.socket] | None":
    """The first attempt that succeeds within so many seconds; none also where all have failed."""
    pending = {attempt for attempt in attempts if not attempt.done()}
    while pending:
        done, pending = await asyncio.wait(pending, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for attempt in done:
            if attempt.exception() is None:
                return attempt
        if not done:
            break
    return None


def _discard(task: "asyncio.Task[socket.socket]") -> None:
    """Close what came too late."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _attempt(family: int, address: Address) -> socket.socket:
    attempt = socket.socket(family, socket.SOCK_STREAM)
    try:
        attempt.setblocking(False)
        with contextlib.suppress(OSError):
            attempt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(attempt, address)
    except BaseException:
        attempt.close()
        raise
    return attempt
