"""An exception or a cancellation before the answer is answered in OpenAI's shape, as all faults are, and raised on."""

from asyncio import CancelledError

from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.http.context import answer_fault, context_of
from proxy.http.faults import Fault, hop_fault
from proxy.http.passing import passing


class ServerErrorsMiddleware:
    """Answers where the app behind raises, or is cancelled, before it began to answer; raises on in any case."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request through the app behind."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        answer = passing(send)
        try:
            return await self.app(scope, receive, answer.send)
        except (Exception, CancelledError) as reason:
            if not answer.has_begun:
                await answer_fault(_fault(reason, is_sent=context_of(scope).is_forwarded), scope, send)
            raise


def _fault(reason: BaseException, *, is_sent: bool) -> Fault:
    if isinstance(reason, MemoryError):
        # The machine had less than the budget says. Where upstream has seen nothing, the client may try again.
        message = "Unpinned ran out of memory before the response began."
        return Fault(503, "out_of_memory", message, kind="server_error") if is_sent else hop_fault("out_of_memory")
    if isinstance(reason, CancelledError):
        return Fault(503, "draining", "Unpinned is shutting down; the request was not completed.", kind="server_error")
    return Fault(500, "internal_error", "Internal error in Unpinned; see its log.", kind="server_error")
