"""A mistake of ours is answered in OpenAI's shape, as all faults are; the server still hears of it, and logs it."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.faults import Fault


class LastResortMiddleware:
    """Answers 500 where the app behind raises before it began to answer; raises on in any case."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request through the app behind."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        committed = False

        def noticed(message: Message) -> Awaitable[None]:
            nonlocal committed
            committed = True
            return send(message)

        try:
            return await self.app(scope, receive, noticed)
        except Exception:
            if not committed:
                fault = Fault(
                    500, "internal_error", "Unpinned made a mistake; its log says where.", kind="server_error"
                )
                for message in fault.messages():
                    await send(dict(message))
            raise
