"""The interfaces between a transport, its calls and their performers.

The synchronous transport fulfils `Io` and `Answer` with coroutines that never wait.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from proxy.drivers.work import Elsewhere, Work
from proxy.events import Event
from proxy.http.headers import Fields
from proxy.report import Report, Route
from proxy.transports.families import Family
from proxy.transports.portable import Portable

if TYPE_CHECKING:
    from proxy.drivers.hearing import Hearing


class Late(Exception):  # noqa: N818 -- no error: the time for which an answer is held is over
    """Nothing more of an answer arrived in time."""


class Answer(Protocol):
    """An answer of the transport within, as far as it was read."""

    @property
    def response(self) -> Any:
        """The object that the transport gave."""

    @property
    def fields(self) -> Fields:
        """Its header fields, with names in lower case."""

    async def next(self, until: float) -> bytes | None:
        """The next piece of its body, None at its end. Raises Late, and what breaks; the client then gets that."""

    async def close(self) -> None:
        """Read nothing more of it."""

    def put(
        self,
        family: Family,
        pieces: Sequence[bytes],
        heard: Callable[[bytes], None] | None,
        hearing: "Hearing | None" = None,
    ) -> None:
        """Put `pieces` in front of what was not read, as the response's body.

        Each piece is also `heard`, and read for the store by `hearing`.
        """


class Io(Elsewhere, Protocol):
    """How a call waits, sends and computes."""

    async def send(self, sender: Any, request: Any) -> Answer:
        """The answer of a transport within to a request."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class Call(Protocol):
    """One request of an application, and what is said of it."""

    portable: Portable
    io: Io
    family: Family
    request: Any
    sender: Any
    fields: Fields
    """The request's, with names in lower case."""
    caller: str
    request_id: str
    route: Route
    work: Work

    def reported(self, answer: Answer, report: Report) -> Any:
        """The response of an answer, with the report's fields."""

    def notice(self, events: list[Event]) -> None:
        """Tell the observer the facts, and take them out of the list."""

    def hear(self, piece: bytes) -> None:
        """Say what upstream left out, where an event of its answer says so."""

    def spend(self) -> None:
        """Take an attempt that failed out of the budget."""
