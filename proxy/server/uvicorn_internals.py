"""The parts of uvicorn that are not its public interface and that this package relies on, in one place.

uvicorn is bounded in `pyproject.toml` for this reason. `tests/server/test_uvicorn_internals.py` looks for each part in
the installed version and names one that is gone; it also names a part that this package uses and that is not listed
here. To raise the ceiling: run it with the new version, then tests/server, tests/ending and tests/hostile, which prove
the behaviour. Names are not enough: from 0.45 to 0.52 every name is there, but `Connection: close` of a request counts
only when the answer begins, and ten tests of tests/hostile fail (2026-11). 0.53 and 0.54 pass.

Why each is used:

- `HttpToolsProtocol`: its parser callbacks are overridden to judge a request's head before anything is started, to put
  deadlines on a head, to drop trailers and to answer errors in OpenAI's shape.
- `RequestResponseCycle`: `receive` is overridden for bodies that are copied once, `send` for an answer whose head and
  body are one write (a head of ten fields is 60 calls and a system call less, measured 2026-11), for HTTP/1.0, for
  connections that stay open until the client has read the last answer, and for a 101 written as upstream sent it
  (uvicorn's own WebSockets serialise the head again, and lose what came behind it). uvicorn constructs the cycle amid
  `on_headers_complete`, so `_start_asgi_task` changes its class to a subclass. That is sound while neither has slots
  and the subclass adds no attribute that `__init__` sets, which the test checks as well. The alternatives: a copy of
  forty lines of uvicorn's, or a wrapper around `send`, which costs a coroutine for each chunk of a stream.
- `Server`: `startup`, `main_loop` and `shutdown` are overridden, to serve on one given socket, to wait for a signal
  without polling, and to drain in the order that `proxy.server.draining` describes. For connections that the kernel
  has accepted when the listener closes, it constructs the protocol as `startup` does, with the state of the lifespan.
- `ServerState`: a subclass of it tells connections that the server drains.
"""

from collections.abc import Mapping
from typing import Final

from uvicorn import Config, Server
from uvicorn.lifespan.off import LifespanOff
from uvicorn.lifespan.on import LifespanOn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

METHODS: Final[Mapping[type, tuple[str, ...]]] = {
    HttpToolsProtocol: (
        "_start_asgi_task",
        "_unset_keepalive_if_required",
        "connection_lost",
        "connection_made",
        "data_received",
        "on_body",
        "on_headers_complete",
        "on_message_begin",
        "on_message_complete",
        "on_response_complete",
    ),
    RequestResponseCycle: ("receive", "send"),
    Server: ("_serve", "main_loop", "on_tick", "shutdown", "startup"),
    FlowControl: ("drain", "resume_reading"),
    LifespanOn: ("shutdown",),
    LifespanOff: ("shutdown",),
}
"""Methods that are called or overridden."""

ATTRIBUTES: Final[Mapping[type, tuple[str, ...]]] = {
    HttpToolsProtocol: ("cycle", "flow", "headers", "loop", "parser", "pipeline", "scope", "transport", "url"),
    RequestResponseCycle: (
        "body",
        "default_headers",
        "disconnected",
        "flow",
        "keep_alive",
        "message_event",
        "more_body",
        "on_response",
        "response_complete",
        "response_started",
        "scope",
        "transport",
        "waiting_for_100_continue",
    ),
    Server: ("config", "force_exit", "lifespan", "server_state", "servers"),
    ServerState: ("connections", "default_headers", "tasks"),
    Config: ("backlog", "http_protocol_class", "timeout_graceful_shutdown"),
    LifespanOn: ("state",),
    LifespanOff: ("state",),
    FlowControl: ("write_paused",),
}
"""Attributes of instances that are read or set."""
