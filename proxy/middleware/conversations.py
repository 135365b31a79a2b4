"""Conversations that live in the store, where UNPINNED_CONVERSATIONS says so: which requests concern them.

What the store does not know belongs to upstream: it passes as it came.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from starlette.types import Receive, Scope, Send

from proxy.drivers.conversation_call import Call, Options
from proxy.drivers.conversation_routes import place_of, serves
from proxy.drivers.memory import Reservation
from proxy.http.context import answer_fault
from proxy.http.faults import NOTHING_SENT, Fault, Fields
from proxy.http.receive import ClientGone
from proxy.responses.history.retrieval import named
from proxy.responses.routes import route_of
from proxy.store.conversation_service import UnavailableError

_WATCHED: Final[dict[tuple[str, bytes], Callable[..., Awaitable[None]]]] = {
    ("GET", b""): Call.watch,
    ("DELETE", b""): Call.forget,
    ("POST", b"/cancel"): Call.forget,
}
"""What is done with requests about a response, by method and what follows its id."""


def unavailable() -> Fault:
    """The store is down: without it the request would lose its history."""
    message = "The store of conversations cannot be reached; nothing was sent."
    fields = (NOTHING_SENT, (b"retry-after", b"1"))
    return Fault(503, "store_unavailable", message, kind="server_error", fields=fields)


class ConversationsMiddleware:
    """Answers requests that concern conversations; `owner_of` tells by its header fields whose a request is."""

    def __init__(self, options: Options, owner_of: Callable[[Fields], str | None]) -> None:
        self.options = options
        self.owner_of = owner_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have the app behind answer it."""
        work = self._concerning(scope) if scope["type"] == "http" else None
        owner = self.owner_of(scope["headers"]) if work is not None else None
        if work is None or owner is None:
            return await self.options.app(scope, receive, send)
        memory = Reservation(self.options.memory)
        try:
            await work(Call(self.options, scope, receive, send, memory, owner))
        except Fault as fault:
            await answer_fault(fault, scope, send)
        except UnavailableError:
            await answer_fault(unavailable(), scope, send)
        except ClientGone:
            return None
        finally:
            memory.release()

    def _concerning(self, scope: Scope) -> Callable[[Call], Awaitable[None]] | None:
        """What is done with a request; None: it passes."""
        method: str = scope["method"]
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        place = place_of(path)
        if place is not None and serves(method, place):
            return partial(Call.answer, place=place)
        if self.options.resolved is not None and route_of(method, path) in ("responses", "input_tokens"):
            return Call.respond
        found = named(path)
        if found is None or (method, found.part) not in _WATCHED:
            return None
        return partial(_WATCHED[method, found.part], response_id=found.response_id)
