"""How a connection to upstream is made: names resolved, addresses tried, a proxy's tunnel opened, TLS negotiated.

    directly                       socket ----------------------------> [TLS to upstream] -> connection
    through an outbound proxy      socket -> [TLS to proxy] -> CONNECT -> [TLS to upstream] -> connection

Nothing of a request is sent here, so every failure may be retried by the client. One deadline covers all steps; the
fault says which of the two, proxy or upstream, was waited for.
"""

import asyncio
import contextlib
import errno
import itertools
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple, TypeVar, cast

from proxy.http.base_url import BaseUrl, OutboundProxy
from proxy.http.faults import hop_fault
from proxy.streams.sockets import is_out_of_memory
from proxy.upstream.tls import client_context
from proxy.upstream.tunnel import TunnelOpening, connect_request

HEAD_START = 0.25  # seconds; RFC 8305, 5: "Connection Attempt Delay"
_FULL = frozenset({errno.EMFILE, errno.ENFILE})
Address = tuple[Any, ...]
AnyProtocol = TypeVar("AnyProtocol", bound=asyncio.BaseProtocol)


class Route(NamedTuple):
    """The way to `upstream`: directly, or through `proxy`. `tls` verifies either where its scheme is https."""

    upstream: BaseUrl
    tls: ssl.SSLContext | None = None
    proxy: OutboundProxy | None = None

    def context(self, scheme: str) -> ssl.SSLContext | None:
        """What TLS is negotiated with where `scheme` has it."""
        return None if scheme == "http" else self.tls or client_context()


class _Codes(NamedTuple):
    """The faults of one side of the way."""

    timeout: str
    tls: str
    unreachable: str


_UPSTREAM = _Codes("upstream_connect_timeout", "upstream_tls_failed", "upstream_unreachable")
_PROXY = _Codes("upstream_proxy_timeout", "upstream_proxy_tls_failed", "upstream_proxy_unreachable")


async def connect(
    route: Route, make: Callable[[], AnyProtocol], patience: float
) -> tuple[asyncio.Transport, AnyProtocol]:
    """A transport to upstream and its new protocol, ready for a request within `patience` seconds; raises a Fault.

    The cause of the fault is the error of the socket or of TLS.
    """
    until = asyncio.get_running_loop().time() + patience
    if route.proxy is None:
        async with _faults(_UPSTREAM, until):
            return await _connect_directly(route, make)
    async with _faults(_PROXY, until):
        transport, excess = await _open_tunnel(route, route.proxy)
    try:
        async with _faults(_UPSTREAM, until):
            return await _enter_tunnel(route, transport, excess, make())
    except BaseException:
        transport.abort()
        raise


@contextlib.asynccontextmanager
async def _faults(codes: _Codes, until: float) -> AsyncIterator[None]:
    """Translate what goes wrong with one side before `until` into its faults."""
    try:
        async with asyncio.timeout_at(until):
            yield
    except TimeoutError as error:
        raise hop_fault(codes.timeout) from error
    except ssl.SSLError as error:
        raise hop_fault(codes.tls) from error
    except OSError as error:
        if is_out_of_memory(error):
            raise MemoryError from error
        raise hop_fault("out_of_descriptors" if error.errno in _FULL else codes.unreachable) from error


async def _connect_directly(route: Route, make: Callable[[], AnyProtocol]) -> tuple[asyncio.Transport, AnyProtocol]:
    upstream = route.upstream
    if upstream.socket:
        return await asyncio.get_running_loop().create_unix_connection(make, upstream.socket)
    return await _connected(upstream.host, upstream.port, route.context(upstream.scheme), make)


async def _open_tunnel(route: Route, proxy: OutboundProxy) -> tuple[asyncio.Transport, bytes]:
    """A transport to the proxy, paused, whose other end is upstream from now on; and the first bytes of the tunnel."""
    tls = route.context(proxy.scheme)
    transport, opening = await _connected(proxy.host, proxy.port, tls, TunnelOpening)
    try:
        transport.write(connect_request(proxy, route.upstream))
        await opening.opened
    except BaseException:
        transport.abort()
        raise
    return transport, opening.excess


async def _enter_tunnel(
    route: Route, transport: asyncio.Transport, excess: bytes, protocol: AnyProtocol
) -> tuple[asyncio.Transport, AnyProtocol]:
    # Neither a TLS server nor an HTTP server speaks first. What does is no upstream of ours, and its words would be
    # taken for the answer to the first request.
    if excess or transport.is_closing():
        raise ConnectionResetError
    tls = route.context(route.upstream.scheme)
    if tls is None:
        transport.set_protocol(protocol)
        transport.resume_reading()
    else:
        loop = asyncio.get_running_loop()
        secured = await loop.start_tls(transport, protocol, tls, server_hostname=route.upstream.host)
        transport = cast("asyncio.Transport", secured)  # None only where the transport was lost, which raises
    protocol.connection_made(transport)  # neither of the two ways does it
    return transport, protocol


async def _connected(
    host: str, port: int, tls: ssl.SSLContext | None, make: Callable[[], AnyProtocol]
) -> tuple[asyncio.Transport, AnyProtocol]:
    """A connection to `host`, with TLS where there is a context for it."""
    plain = await _first(await _addresses(host, port))
    try:
        name = host if tls is not None else None
        return await asyncio.get_running_loop().create_connection(make, sock=plain, ssl=tls, server_hostname=name)
    except BaseException:
        plain.close()
        raise


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
    """Close a connection that another one has outrun."""
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
