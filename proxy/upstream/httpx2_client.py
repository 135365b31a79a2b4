"""A client of upstream on httpx2's transport, for outbound proxies.

On the transport and never on its Client, which adds fields, follows redirects, keeps cookies and decodes bodies.
What it cannot do: relay an answer that comes before the request's body is sent, unless upstream closes as well.
"""

import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any, cast

import anyio
import httpx2

from proxy.http.base_url import BaseUrl
from proxy.http.faults import hop_fault
from proxy.http.headers import is_sound
from proxy.upstream.interface import DEADLINES, LIMITS, Answer, Deadlines, Limits, Occupancy, Request
from proxy.upstream.tls import trusting

if TYPE_CHECKING:
    import httpcore2

    from proxy.http.headers import Fields

CODES: tuple[tuple[type[httpx2.TransportError], str], ...] = (
    (httpx2.PoolTimeout, "upstream_pool_timeout"),
    (httpx2.ConnectTimeout, "upstream_connect_timeout"),
    (httpx2.ConnectError, "upstream_unreachable"),
    (httpx2.ProxyError, "upstream_unreachable"),
    (httpx2.WriteTimeout, "upstream_upload_timeout"),
    (httpx2.LocalProtocolError, "invalid_fields"),
)


class Httpx2Client:
    """A client of `upstream`; `proxy` is the URL of an outbound proxy, `tls` what certificates are checked against."""

    def __init__(
        self,
        upstream: BaseUrl,
        deadlines: Deadlines = DEADLINES,
        limits: Limits = LIMITS,
        *,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
    ) -> None:
        # At DEBUG these two write down every answer's header fields.
        for name in ("httpcore2", "httpx2"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._url = httpx2.URL(scheme=upstream.scheme, host=upstream.host, port=upstream.port, path="/")
        self._deadlines = deadlines
        self._transport = httpx2.AsyncHTTPTransport(
            verify=tls or trusting(),
            uds=upstream.socket or None,
            trust_env=False,
            limits=httpx2.Limits(
                max_connections=limits.connections,
                max_keepalive_connections=limits.connections,
                keepalive_expiry=limits.keepalive_expiry,
            ),
            proxy=proxy,
        )

    async def send(self, request: Request) -> Answer:
        """Send `request` once; see `seam.Client`."""
        deadlines = self._deadlines
        timeout = {"connect": deadlines.connect, "pool": deadlines.connect, "write": deadlines.idle, "read": None}
        with anyio.CancelScope() as head:
            outgoing = httpx2.Request(
                request.method.decode("ascii"),
                self._url,
                headers=request.fields,
                stream=_Body(request.body, head, deadlines.first_byte),
                extensions={"timeout": timeout, "target": request.target},
            )
            try:
                answer = _Httpx2Answer(await self._transport.handle_async_request(outgoing), deadlines.idle)
            except httpx2.TransportError as error:
                raise hop_fault(_code(error)) from None
        if head.cancelled_caught:
            raise hop_fault("upstream_first_byte_timeout")
        if not is_sound(answer.fields):
            await answer.close()
            raise hop_fault("upstream_invalid_answer")
        return answer

    def occupancy(self) -> Occupancy:
        """What the connections do now."""
        # Only the pool's __repr__ tells it in public; tests/upstream/test_occupancy.py fails if these names change.
        pool = cast("Any", self._transport)._pool  # noqa: SLF001 - see above
        idle = sum(connection.is_idle() for connection in pool.connections)
        waiting = sum(request.is_queued() for request in pool._requests)  # noqa: SLF001 - see above
        return Occupancy(len(pool.connections) - idle, idle, waiting)

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.aclose()


class _Body(httpx2.AsyncByteStream):
    """A request's body; `first_byte` seconds after it is sent, `head` is cancelled."""

    def __init__(self, body: bytes | AsyncIterator[bytes], head: anyio.CancelScope, first_byte: float) -> None:
        self._body = body
        self._head = head
        self._first_byte = first_byte

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        try:
            if not isinstance(self._body, bytes):
                async for chunk in self._body:
                    yield chunk
            elif self._body:
                yield self._body
        finally:
            self._head.deadline = anyio.current_time() + self._first_byte


class _Httpx2Answer(Answer):
    """An answer of httpx2, its body as it came on the wire."""

    def __init__(self, response: httpx2.Response, idle: float) -> None:
        self.status = response.status_code
        self.fields: Fields = [(name.lower(), value) for name, value in response.headers.raw]
        self._network: httpcore2.AsyncNetworkStream = response.extensions["network_stream"]
        self._stream = cast("httpx2.AsyncByteStream", response.stream)
        self._chunks = cast("AsyncGenerator[bytes]", self._stream.__aiter__())
        self._idle = idle

    async def read(self) -> tuple[bytes, bool]:
        """The next chunk; see `seam.Answer`."""
        with anyio.CancelScope(deadline=anyio.current_time() + self._idle):
            try:
                return await anext(self._chunks), True
            except StopAsyncIteration:
                return b"", False
            except httpx2.TransportError:
                raise hop_fault("upstream_cut") from None
        raise hop_fault("upstream_idle_timeout")

    async def close(self) -> None:
        """Let go of the connection, which is not kept where something is left over."""
        with anyio.CancelScope(shield=True):
            await self._chunks.aclose()
            if _left_over(self._stream):
                await self._network.aclose()
            await self._stream.aclose()


def _left_over(stream: Any) -> bool:
    # httpcore2 keeps what it read beyond an answer's end, and would take it for the beginning of the next answer. Its
    # public interface does not tell; tests/upstream/test_framing.py fails if these names change.
    connection = stream._httpcore_stream._stream._connection  # noqa: SLF001 - see above
    return bool(connection._h11_state.trailing_data[0])  # noqa: SLF001 - see above


def _code(error: httpx2.TransportError) -> str:
    if isinstance(error, httpx2.RemoteProtocolError) and not str(error).startswith("Server disconnected"):
        return "upstream_invalid_answer"  # one class for an upstream that leaves and for one that talks nonsense
    original = getattr(error.__cause__, "args", ())  # httpcore2 has the first error as an argument of its own
    if isinstance(error, httpx2.ConnectError) and any(isinstance(cause, ssl.SSLError) for cause in original):
        return "upstream_tls_failed"
    return next((code for kind, code in CODES if isinstance(error, kind)), "upstream_disconnected")
