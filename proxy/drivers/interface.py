"""The interface between a `Performer` and the ASGI driver around it."""

from collections.abc import Callable
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.drivers.offload import Offload
from proxy.events import Event
from proxy.http.context import RequestContext
from proxy.report import Report
from proxy.store.service import StoreService


class Options(Protocol):
    """What all requests share."""

    offload: Offload

    @property
    def app(self) -> ASGIApp:
        """Answers for upstream."""

    @property
    def service(self) -> StoreService | None:
        """The store, where there is one."""

    @property
    def clock(self) -> Callable[[], float]:
        """Reads a steady clock, in seconds."""


class Call(Protocol):
    """One request of one client, and what is said of it."""

    scope: Scope
    receive: Receive
    send: Send
    context: RequestContext
    credential: str

    @property
    def options(self) -> Options:
        """What all requests share."""

    def notice(self, events: list[Event]) -> None:
        """Tell the observer the facts, and take them out of the list."""

    def spend(self) -> None:
        """Take an attempt that failed out of the budget."""

    def reported(self, start: Message, report: Report) -> Message:
        """The beginning of an answer with the report's fields."""
