"""WebSockets: which handshakes are forwarded, how many sockets there may be, and how many there are.

A socket may last an hour and costs no answer of ours, so it does not count as a request in progress.
"""

from collections import Counter
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.http import websocket
from proxy.http.context import Socket, answer_fault, context_of
from proxy.http.faults import LAST, NOTHING_SENT, Fault, hop_fault
from proxy.responses.routes import socket_kind
from proxy.streams.offer import Offer, offer_in

if TYPE_CHECKING:
    from proxy.report import SocketKind

_RETRY_AFTER: Final = (b"retry-after", b"1")
_UNAVAILABLE: Final = (_RETRY_AFTER, NOTHING_SENT, LAST)


class WebSocketMiddleware:
    """Gives WebSocket handshakes to `sockets`, of which at most `most` may be open, and all else to `app`.

    Without `sockets` every handshake is answered 426, on which clients turn to HTTP. A handshake is an offer of the
    server's; where it makes none, `app` refuses.
    """

    def __init__(self, app: ASGIApp, sockets: ASGIApp | None, most: int, *, has_sessions: bool = True) -> None:
        self.app = app
        self.sockets = sockets
        self.most = most
        self.has_sessions = has_sessions
        self.open: Counter[SocketKind] = Counter()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer a request through one of the apps behind, or refuse a handshake."""
        offer = offer_in(scope) if scope["type"] == "http" else None
        return self.app(scope, receive, send) if offer is None else self._open(offer, scope, receive, send)

    async def _open(self, offer: Offer, scope: Scope, receive: Receive, send: Send) -> None:
        if self.sockets is None:
            return await answer_fault(hop_fault("websocket_unsupported"), scope, send)
        fault = self._fault(scope, offer)
        if fault is not None:
            return await answer_fault(fault, scope, send)
        kind = socket_kind(scope["raw_path"]) if self.has_sessions else "tunnel"
        context_of(scope).socket = Socket(kind)
        self.open[kind] += 1
        try:
            return await self.sockets(scope, receive, send)
        finally:
            self.open[kind] -= 1

    def _fault(self, scope: Scope, offer: Offer) -> Fault | None:
        fault = websocket.fault_in(scope["http_version"], scope["headers"])
        if fault is not None:
            return fault
        if offer.draining.is_set():
            message = "Unpinned is shutting down; connect again."
            return Fault(503, "draining", message, kind="server_error", fields=_UNAVAILABLE)
        if self.open.total() >= self.most:
            message = f"{self.most} WebSockets are open, which is as many as UNPINNED_MAX_WEBSOCKETS allows."
            return Fault(503, "overloaded", message, kind="server_error", fields=_UNAVAILABLE)
        return None
