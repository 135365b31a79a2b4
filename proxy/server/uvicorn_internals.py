"""The parts of uvicorn that are not its public interface and that this package relies on, in one place.

uvicorn is bounded in `pyproject.toml` for this reason. `tests/server/test_uvicorn_internals.py` looks for each part in
the installed version and names one that is gone; it also names a part that this package uses and that is not listed
here. To raise the ceiling: run it with the new version, then tests/server, tests/ending and tests/hostile, which prove
the behaviour. Names are not enough: from 0.45 to 0.52 every name is there, but `Connection: close` of a request counts
only when the answer begins, and ten tests of tests/hostile fail (2026-11). 0.53 and 0.54 pass.

Why each is used:

- `HttpToolsProtocol`: it keeps a connection's facts, begins a scope and collects the fields of a head. Its other parser
  callbacks are overridden: to judge a request's head before anything is started, to put deadlines on a head, to drop
  trailers, to answer errors in OpenAI's shape, and to make cycles of our own. The place of uvicorn's
  `RequestResponseCycle` is taken by `proxy.server.cycle`, for bodies that are copied once, for an answer whose head and
  body are one write (a head of ten fields is 60 calls and a system call less, measured 2026-11), for HTTP/1.0, for
  connections that stay open until the client has read the last answer, and for a 101 written as upstream sent it
  (uvicorn's own WebSockets serialise the head again, and lose what came behind it). What is left of uvicorn's protocol
  reads `response_complete`, `disconnected` and `message_event` of a cycle when the connection is lost.
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
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

METHODS: Final[Mapping[type, tuple[str, ...]]] = {
    HttpToolsProtocol: (
        "connection_lost",
        "connection_made",
        "data_received",
        "on_body",
        "on_headers_complete",
        "on_message_begin",
        "on_message_complete",
        "on_response_complete",
    ),
    Server: ("_serve", "main_loop", "on_tick", "shutdown", "startup"),
    FlowControl: ("drain", "pause_reading", "resume_reading"),
    LifespanOn: ("shutdown",),
    LifespanOff: ("shutdown",),
}
"""Methods that are called or overridden."""

ATTRIBUTES: Final[Mapping[type, tuple[str, ...]]] = {
    HttpToolsProtocol: (
        "app",
        "cycle",
        "expect_100_continue",
        "flow",
        "headers",
        "loop",
        "parser",
        "pipeline",
        "scope",
        "server_state",
        "tasks",
        "timeout_keep_alive",
        "transport",
        "url",
    ),
    Server: ("config", "force_exit", "lifespan", "server_state", "servers"),
    ServerState: ("connections", "default_headers", "tasks"),
    Config: ("backlog", "http_protocol_class", "timeout_graceful_shutdown"),
    LifespanOn: ("state",),
    LifespanOff: ("state",),
    FlowControl: ("write_paused",),
}
"""Attributes of instances that are read or set."""
