"""The client of upstream: HTTP/1.1 on asyncio's transports and httptools' parser, exact on the wire.

A request is written once. It goes to another connection only as long as none of its bytes was handed to a socket.
"""

import asyncio
import re
import ssl
from typing import TYPE_CHECKING, cast

from proxy.http import wire
from proxy.http.base_url import BaseUrl, OutboundProxy
from proxy.http.faults import hop_fault
from proxy.http.metadata import Metadata
from proxy.upstream.answer import IncomingAnswer
from proxy.upstream.connection import BUFFER, Connection
from proxy.upstream.dialing import Route, connect
from proxy.upstream.interface import (
    DEADLINES,
    HANDSHAKE_TIMEOUT,
    LIMITS,
    Answer,
    Deadlines,
    Limits,
    Occupancy,
    Request,
    Tunnel,
)
from proxy.upstream.pool import Pool
from proxy.upstream.tls import client_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TARGET = re.compile(rb"[\x21-\x7e\x80-\xff]+")
CONTINUE_TIMEOUT = (
    1.0  # seconds; RFC 9110, 10.1.1: "SHOULD NOT wait for an indefinite period before sending the content"
)


class Http1Client:
    """A client of `upstream`, reached through `proxy` where there is one.

    `tls` verifies the certificates of both (the system's trust store where it is not given).
    """

    def __init__(
        self,
        upstream: BaseUrl,
        deadlines: Deadlines = DEADLINES,
        limits: Limits = LIMITS,
        *,
        tls: ssl.SSLContext | None = None,
        proxy: OutboundProxy | None = None,
    ) -> None:
        needs_tls = "https" in (upstream.scheme, proxy and proxy.scheme)
        self._route = Route(upstream, (tls or client_context()) if needs_tls else None, proxy)
        self._deadlines = deadlines
        self._buffer = memoryview(bytearray(BUFFER))
        self.pool = Pool(self._new_connection, limits, deadlines.connect)

    async def send(self, request: Request) -> Answer:
        """Send `request` once; see `interface.Client`."""
        opening = head(request)
        metadata = Metadata(request.fields)
        length = None if metadata.is_chunked else metadata.length or 0
        whole = isinstance(request.body, bytes)
        pieces = [opening, *framed(request.body, length)] if isinstance(request.body, bytes) else [opening]
        connection = await self.pool.connection()
        answer = connection.begin(pieces, head_request=request.method == b"HEAD", sent=whole)
        try:
            if not isinstance(request.body, bytes):
                answer.upload = asyncio.create_task(_upload(connection, answer, request, length))
            await answer.begun()
        except BaseException:
            answer.drop()
            raise
        return answer

    async def open(self, request: Request) -> Answer | Tunnel:
        """Send a request that asks for another protocol; see `interface.Client`."""
        opening = head(request)
        connection = await self._dial(self._deadlines._replace(first_byte=HANDSHAKE_TIMEOUT))
        connection.freed = Connection.abandon
        answer = connection.begin([opening], head_request=False, sent=True, may_switch=True)
        try:
            await answer.begun()
            if answer.status != 101:
                return answer
            return Tunnel(answer.fields, connection.stream())
        except BaseException:
            connection.abandon()
            raise

    def occupancy(self) -> Occupancy:
        """The connections by state."""
        return self.pool.occupancy()

    async def close(self) -> None:
        """Close all connections."""
        self.pool.close()

    async def _new_connection(self) -> Connection:
        return await self._dial(self._deadlines)

    async def _dial(self, deadlines: Deadlines) -> Connection:
        _, connection = await connect(self._route, lambda: Connection(self._buffer, deadlines), deadlines.connect)
        return connection


def head(request: Request) -> bytes:
    """The head of `request`; raises a Fault where a field or the target would break its lines (request smuggling)."""
    try:
        raw = wire.head(b"%b %b HTTP/1.1" % (request.method, request.target), request.fields)
    except wire.BrokenHeadError:
        raise hop_fault("invalid_fields") from None
    if not TARGET.fullmatch(request.target):
        raise hop_fault("invalid_fields")
    return raw


def framed(body: bytes, length: int | None) -> list[bytes]:
    """A whole body as it is written: `length` bytes as announced, or one chunk where there is no length."""
    if length is None:
        return [*wire.chunk(body), wire.LAST_CHUNK]
    if length != len(body):
        raise hop_fault("incomplete_body")
    return [body] if body else []


async def _upload(connection: Connection, answer: IncomingAnswer, request: Request, length: int | None) -> None:
    """Send a body while the client sends it; an error of the body becomes the failure of the answer."""
    try:
        if Metadata(request.fields).expects and await answer.refused_within(CONTINUE_TIMEOUT):
            return
        sent = 0
        async for piece in cast("AsyncIterator[bytes]", request.body):
            sent += len(piece)
            if length is not None and sent > length:
                raise hop_fault("incomplete_body")  # noqa: TRY301 - all failures take one way out
            if not await connection.write(wire.chunk(piece) if length is None else [piece]):
                return
        if length is None:
            await connection.write([wire.LAST_CHUNK])
        elif sent < length:
            raise hop_fault("incomplete_body")  # noqa: TRY301 - as above
        connection.sent()
    except Exception as reason:  # noqa: BLE001 - it is raised where the answer is awaited
        answer.fail(reason)
        connection.abandon()
