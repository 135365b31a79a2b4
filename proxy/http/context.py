"""What the server, the middlewares and the drivers hand to each other about one request.

An ASGI scope is what the client sent; this object is what this process knows besides. It is the only thing of ours in
`scope["state"]`, and every hand-over is an attribute with its writer and its reader:

| attribute | written by | read by |
|---|---|---|
| request_id | RequestIdMiddleware | every fact about the request, faults |
| has_bare_query | the server's protocol | the reverse proxy |
| client_wait, upstream_wait | what reads a body, the reverse proxy | AccessMiddleware |
| is_forwarded | the reverse proxy | what reads a body |
| report | the ASGI driver | AccessMiddleware |
| request_record | the ASGI driver, a conversation's turn | RecordingMiddleware |
| hears | a conversation's turn | RecordingMiddleware |
| socket | WebSocketMiddleware, the reverse proxy, a driver | AccessMiddleware |
| conversation | a driver that reads a tunnel's bytes | the reverse proxy |
| trace | TracingMiddleware | AttemptMiddleware |
| fault | `answer_fault` | RequestIdMiddleware, AccessMiddleware |
| model, upstream_id | the ASGI driver, AccessMiddleware: where the live page shows them | AccessMiddleware |
"""

from collections.abc import Awaitable, MutableMapping
from random import getrandbits
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Scope, Send

    from proxy.http.faults import Fault
    from proxy.http.trace_context import Trace
    from proxy.report import Report, SocketKind
    from proxy.responses.history.recording import Made
    from proxy.responses.steps import Compute
    from proxy.streams.stream import Stream

Sent = Awaitable[None]
"""What `send` returns. Named, because the annotations of a function within a function are evaluated each time."""
_KEY: Final = "unpinned"


class Socket:
    """One WebSocket's facts: how many bytes each side has sent, and if they are read its turns and its end."""

    __slots__ = ("client_bytes", "close_code", "kind", "turns", "upstream_bytes")

    def __init__(self, kind: "SocketKind") -> None:
        self.kind = kind
        self.client_bytes = 0
        self.upstream_bytes = 0
        self.close_code: int | None = None
        self.turns = 0


class RequestContext:
    """One request's facts. Durations are in seconds."""

    __slots__ = (
        "client_wait",
        "conversation",
        "fault",
        "has_bare_query",
        "hears",
        "is_forwarded",
        "model",
        "report",
        "request_id",
        "request_record",
        "socket",
        "trace",
        "upstream_id",
        "upstream_wait",
    )

    def __init__(self) -> None:
        self.request_id = ""
        self.has_bare_query = False
        """The target ends with a `?` and no query, which an ASGI scope cannot express."""
        self.client_wait = 0.0
        """Time spent waiting for the client's body before the request was forwarded.

        A body that is forwarded while it arrives counts as `upstream_wait`: it cannot be known which side was slow.
        """
        self.upstream_wait = 0.0
        self.is_forwarded = False
        """The request is on its way upstream, so that further waiting is no wait for the client."""
        self.report: Report | None = None
        self.request_record: Compute | None = None
        """Makes what a store records of the request, once it is answered."""
        self.hears: Callable[[Made], None] | None = None
        """Is given the response that an answer holds, as far as it has been read."""
        self.socket: Socket | None = None
        """What becomes of the WebSocket that the request asks for."""
        self.conversation: Callable[[Stream, Stream], Awaitable[None]] | None = None
        """What connects the client's and upstream's stream once a tunnel is open, and returns when both are gone.

        None: their bytes pass as they are. Where it is set, an offer of WebSocket extensions is not forwarded, because
        compressed frames cannot be read.
        """
        self.trace: Trace | None = None
        """What is noted for spans, where the request is traced."""
        self.fault = ""
        """The code of the fault of ours that answers the request."""
        self.model = ""
        """The model that the request names."""
        self.upstream_id = ""
        """The id that upstream gave the attempt that was answered."""


def context_of(scope: MutableMapping[str, Any]) -> RequestContext:
    """The context of the request with this scope; a new one where it has none yet."""
    try:
        context: RequestContext = scope["state"][_KEY]
    except KeyError:
        context = scope.setdefault("state", {})[_KEY] = RequestContext()
    return context


def new_request_id() -> str:
    """An id for a request: `req-…`."""
    return f"req-{getrandbits(48):012x}"


async def answer_fault(fault: "Fault", scope: "Scope", send: "Send") -> None:
    """Answer the request with `fault`, and note its code in the request's context."""
    context_of(scope).fault = fault.code
    for message in fault.messages():
        await send(message)
