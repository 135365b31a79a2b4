"""Which requests are traced, and what is noted of them; spans are made of it beside the event loop."""

from typing import Final, NamedTuple, Protocol

from proxy.events import Answered, Event, Refused, Unrecovered
from proxy.http.trace_context import Parent, Trace

_TOLD: Final = (Answered, Refused, Unrecovered)
"""Facts that become attributes."""


class Exporter(Protocol):
    """Takes what was noted of requests that are over, and exports their spans later."""

    def add(self, trace: Trace) -> None:
        """Take one; must not wait."""

    def close(self) -> None:
        """Export what waits; may take a few seconds."""


class Sampling(NamedTuple):
    """Which requests are traced: `ratio` of them, or, where `by_parent`, those whose client traces them."""

    by_parent: bool
    ratio: float


class Tracing:
    """Takes note of requests that are traced; also a listener to their facts."""

    def __init__(self, exporter: Exporter, sampling: Sampling) -> None:
        self._exporter = exporter
        self._sampling = sampling
        self._running: dict[str, Trace] = {}

    def is_sampled(self, parent: Parent | None, trace_id: bytes) -> bool:
        """Whether a request is traced."""
        if parent is not None and self._sampling.by_parent:
            return parent.sampled
        return int.from_bytes(trace_id[8:], "big") < self._sampling.ratio * 2**64

    def begin(self, trace: Trace) -> None:
        """A request begins that is traced."""
        self._running[trace.request_id] = trace

    def notice(self, request_id: str, event: Event) -> None:
        """Note what happened to a request that is traced."""
        if isinstance(event, _TOLD) and (trace := self._running.get(request_id)) is not None:
            trace.events.append(event)

    def finish(self, trace: Trace) -> None:
        """A request is over."""
        del self._running[trace.request_id]
        self._exporter.add(trace)

    def close(self) -> None:
        """Export what waits; may take a few seconds."""
        self._exporter.close()
