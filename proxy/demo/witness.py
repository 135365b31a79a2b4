"""What an instance of the API receives and answers: the requests of one play, as they crossed the wire."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

PLAY: Final = b"x-demo-play"
"""The field by which a request says to which play it belongs."""


@dataclass
class Attempt:
    """One request that reached the instance, and what it answered."""

    body: bytes = b""
    status: int = 0
    answer: bytes = b""


class Witness:
    """An ASGI app in front of an instance; keeps the requests that belong to a play until they are taken."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.state: Any = getattr(
            app, "state", None
        )  # by which the fake API's server finds the instance for its WebSockets
        self._kept: dict[bytes, list[Attempt]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the instance answer."""
        play = next((value for name, value in scope.get("headers", ()) if name == PLAY), None)
        if play is None:
            return await self.app(scope, receive, send)
        attempt = Attempt()
        self._kept.setdefault(play, []).append(attempt)

        async def received() -> Message:
            message = await receive()
            attempt.body += message.get("body", b"")
            return message

        def answered(message: Message) -> Awaitable[None]:
            attempt.status = message.get("status", attempt.status)
            attempt.answer += message.get("body", b"")
            return send(message)

        return await self.app(scope, received, answered)

    def taken(self, play: str) -> list[Attempt]:
        """The requests of a play, in order, which are kept no longer."""
        return self._kept.pop(play.encode(), [])
