"""The interface of the hop to upstream: a method that sends one request and returns its answer, and one for tunnels.

No I/O here. A `Client` promises: header fields and body bytes are exactly those given and those received, no redirect
is followed, no cookie kept, nothing added; a request is sent once; what goes wrong is raised as a `Fault`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple, Protocol

from proxy.http.headers import Fields
from proxy.http.metadata import Metadata
from proxy.streams.stream import Stream


class Deadlines(NamedTuple):
    """How long to wait for upstream, in seconds."""

    connect: float = 5.0
    """For a free connection; and for a new one with the outbound proxy's answer and all TLS handshakes."""
    first_byte: float = 3600.0
    """From the last byte of the request to the end of the answer's head."""
    idle: float = 3600.0
    """For the next bytes of an answer, and for upstream to take the next bytes of a request."""


class Limits(NamedTuple):
    """How many connections to upstream there may be, and how long an idle one is kept, in seconds."""

    connections: int = 5000
    keepalive_expiry: float = 30.0


class Occupancy(NamedTuple):
    """The connections to upstream by state, and how many requests wait for one."""

    in_use: int = 0
    idle: int = 0
    waiting: int = 0


HANDSHAKE_TIMEOUT = 15.0
"""Seconds from a request for another protocol to its answer; what codex waits for a WebSocket (0.171.0, 2026-11)."""
DEADLINES = Deadlines()
LIMITS = Limits()


class Request(NamedTuple):
    """A request as it goes upstream: `target` is the raw path with its query, `fields` have Host and framing already.

    `body` is all of it, or its chunks as the client sends them. Their iterator raises when the client disconnects
    within its body: then the request must not look complete.
    """

    method: bytes
    target: bytes
    fields: Fields
    body: bytes | AsyncIterator[bytes]


Write = Callable[[bytes, bool], Awaitable[None]]
"""Takes a chunk of a body, and whether there is more; its first step may run outside a task (see eager.py)."""


class Answer(Protocol):
    """An answer with a complete head; its body is read while it arrives."""

    status: int
    fields: Fields
    metadata: Metadata

    async def read(self) -> tuple[bytes, bool]:
        """All bytes that have arrived since the last call, or else the next; and whether there is more.

        Raises a Fault where upstream closes or times out: a body that is cut short never ends like a whole one.
        """

    async def relay(self, write: Write) -> None:
        """Write the body as it arrives, in the chunks that `read` would return, one after the other."""
        more = True
        while more:
            chunk, more = await self.read()
            await write(chunk, more)

    async def close(self) -> None:
        """Release the answer; its connection is closed unless the answer was read to its end."""


class Tunnel(NamedTuple):
    """Upstream's 101: its fields, and the byte stream that follows it."""

    fields: Fields
    stream: Stream


class Client(Protocol):
    """Sends requests to one upstream."""

    async def send(self, request: Request) -> Answer:
        """Send `request` once, and return when the head of its final answer is complete."""

    async def open(self, request: Request) -> Answer | Tunnel:
        """Send a request that asks for another protocol, on a connection of its own; a Tunnel where upstream agrees.

        Its answer has HANDSHAKE_TIMEOUT seconds to begin.
        """

    def occupancy(self) -> Occupancy:
        """The connections by state."""

    async def close(self) -> None:
        """Close all connections."""
