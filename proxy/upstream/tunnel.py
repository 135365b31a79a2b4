"""A tunnel through an outbound proxy: the CONNECT request, and the head of its answer (RFC 9110, 9.3.6).

The connection has three states, and each is left once:

    asking      CONNECT is sent; bytes are collected until the head of the answer ends
    open        the head said 2xx: reading is paused, so that every byte after the head stays for the tunnel's user
    failed      any other status, no HTTP, a head without an end, or a closed connection: a Fault

The body of a refusal is never read: it is the proxy's, and no client of ours should take it for upstream's.
"""

import asyncio
import re
from typing import cast

from proxy.http.base_url import BaseUrl, OutboundProxy
from proxy.http.faults import Fault, hop_fault

MAX_HEAD = 65_536
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})[ \r]")
_STATUS_SIZE = 13
_END = b"\r\n\r\n"


def connect_request(proxy: OutboundProxy, upstream: BaseUrl) -> bytes:
    """The CONNECT request for a tunnel to `upstream`; its target always has a port."""
    host = f"[{upstream.host}]" if ":" in upstream.host else upstream.host
    authority = f"{host}:{upstream.port}".encode("ascii")
    lines = [b"CONNECT %b HTTP/1.1" % authority, b"Host: %b" % authority]
    if proxy.credentials:
        lines.append(b"Proxy-Authorization: " + proxy.credentials)
    return b"\r\n".join([*lines, b"", b""])


class TunnelOpening(asyncio.Protocol):
    """Reads the proxy's answer to CONNECT; `opened` ends when the tunnel is open, or raises a Fault."""

    def __init__(self) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.excess = b""
        """Bytes that arrived together with the head: the first of the tunnel."""
        self._head = bytearray()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, to pause it."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Collect the head; skip interim answers (1xx)."""
        self._head += data
        while not self.opened.done() and len(self._head) >= _STATUS_SIZE:
            status = _STATUS.match(self._head)
            end = self._head.find(_END)
            if status is None or max(end, len(self._head) if end < 0 else 0) > MAX_HEAD:
                self._fail(hop_fault("upstream_proxy_invalid_answer"))
            elif end < 0:
                return
            else:
                number = int(status[1])
                del self._head[: end + len(_END)]
                self._judge(number)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        """Fail where the proxy closes before it has answered."""
        self._fail(hop_fault("upstream_proxy_invalid_answer"))

    def _judge(self, status: int) -> None:
        if status >= 300:
            self._fail(hop_fault("upstream_proxy_refused", f"status {status}"))
        elif status >= 200:
            self._transport.pause_reading()
            self.excess = bytes(self._head)
            self.opened.set_result(None)

    def _fail(self, fault: Fault) -> None:
        if not self.opened.done():
            self.opened.set_exception(fault)
