"""The seam of the hop to upstream: one method that sends one request and returns one answer.

No I/O here. Whoever implements `Client` promises: header fields and body bytes exactly as given and as they came, no
redirect followed, no cookie kept, nothing added; a request is sent once; what goes wrong is raised as a `Fault`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple, Protocol

from proxy.http.headers import Fields


class Deadlines(NamedTuple):
    """How long to wait for upstream, in seconds."""

    connect: float = 5.0
    """For a free connection, and for a new one with its TLS handshake."""
    first_byte: float = 3600.0
    """From the last byte of the request to the end of the answer's head."""
    idle: float = 3600.0
    """For the next bytes of an answer, and for upstream to take the next bytes of a request."""


class Limits(NamedTuple):
    """How many connections to upstream there may be, and how long an idle one is kept, in seconds."""

    connections: int = 5000
    keepalive_expiry: float = 30.0


class Occupancy(NamedTuple):
    """What the connections to upstream do now, and how many requests wait for one."""

    in_use: int = 0
    idle: int = 0
    waiting: int = 0


DEADLINES = Deadlines()
LIMITS = Limits()


class Request(NamedTuple):
    """A request as it goes upstream: `target` is the raw path with its query, `fields` have Host and framing already.

    `body` is all of it, or its chunks as the client sends them. Their iterator raises when the client leaves amid its
    body: then the request must not look complete.
    """

    method: bytes
    target: bytes
    fields: Fields
    body: bytes | AsyncIterator[bytes]


Give = Callable[[bytes, bool], Awaitable[None]]
"""Takes a piece of a body, and whether there are more to come."""


class Answer(Protocol):
    """An answer whose head has come, and whose body is read while it comes."""

    status: int
    fields: Fields

    async def read(self) -> tuple[bytes, bool]:
        """All bytes that have come since the last call, or else the next; and whether there are more to come.

        Raises a Fault where upstream broke off or fell silent: a body that is cut short never ends like a whole one.
        """

    async def relay(self, give: Give) -> None:
        """Give the body on as it comes, each piece when the one before it was taken, as `read` would return it."""
        more = True
        while more:
            chunk, more = await self.read()
            await give(chunk, more)

    async def close(self) -> None:
        """Let go of the answer; its connection is closed unless the answer was read to its end."""


class Client(Protocol):
    """Somebody who sends requests to the one upstream it was made for."""

    async def send(self, request: Request) -> Answer:
        """Send `request` once, and return when the head of its final answer has come."""

    def occupancy(self) -> Occupancy:
        """What the connections do now."""

    async def close(self) -> None:
        """Close all connections."""
