"""A limit on requests in progress: a request over the limit is rejected immediately with 503."""

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.http.context import answer_fault
from proxy.http.faults import Fault

_RETRY_AFTER: Final = (b"retry-after", b"1")
_NOTHING_SENT: Final = (b"x-should-retry", b"true")


class LimitMiddleware:
    """Lets at most `most` requests be in progress."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app = app
        self.most = most
        self.running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request through the app behind, or refuse it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if self.running >= self.most:
            message = f"{self.most} requests are in progress, which is as many as UNPINNED_MAX_REQUESTS allows."
            fault = Fault(503, "overloaded", message, kind="server_error", fields=(_RETRY_AFTER, _NOTHING_SENT))
            return await answer_fault(fault, scope, send)
        self.running += 1
        try:
            return await self.app(scope, receive, send)
        finally:
            self.running -= 1
