"""Spans from what happened: one for each request, and one for each of its attempts. Never content.

Names and attributes are those of OpenTelemetry's semantic conventions for HTTP and for generative AI (1.45, 2026-11),
and ours under `unpinned.`: what the report says, which refusals there were, and what was sent after each.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from proxy.events import Answered, Event, Refused, Unrecovered
from proxy.http.trace_context import Attempt, Parent, Trace
from proxy.observers.otlp import CLIENT, SERVER, Value, sort, span, text_attribute
from proxy.observers.redaction import masked, printable
from proxy.report import Route

_METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE", "QUERY"})
_ROUTES: Final = {"responses": "/responses", "input_tokens": "/responses/input_tokens", "compact": "/responses/compact"}
_TOLD: Final = (Answered, Refused, Unrecovered)
"""Facts that become attributes."""
_REQUEST_ID: Final = text_attribute("unpinned.request_id", len("req-0123456789ab"))


class Exporter(Protocol):
    """Takes encoded spans, and sends them later."""

    def add(self, spans: list[bytes]) -> None:
        """Take spans; must not wait."""

    def close(self) -> None:
        """Export what waits; may take a few seconds."""


class Upstream(NamedTuple):
    """Where attempts go."""

    provider: str
    host: str
    port: int


class Sampling(NamedTuple):
    """Which requests are traced: `ratio` of them, or, where `by_parent`, those whose client traces them."""

    by_parent: bool
    ratio: float


class Tracing:
    """Makes spans of requests that are traced; also a listener to their facts."""

    def __init__(self, exporter: Exporter, upstream: Upstream, sampling: Sampling) -> None:
        self._exporter = exporter
        self._upstream = upstream
        self._sampling = sampling
        self._running: dict[str, Trace] = {}

    def is_sampled(self, parent: Parent | None, trace_id: bytes) -> bool:
        """Whether a request is traced."""
        if parent is not None and self._sampling.by_parent:
            return parent.sampled
        return int.from_bytes(trace_id[8:], "big") < self._sampling.ratio * 2**64

    def begin(self, request_id: str, trace: Trace) -> None:
        """A request begins that is traced."""
        self._running[request_id] = trace

    def notice(self, request_id: str, event: Event) -> None:
        """Note what happened to a request that is traced."""
        if isinstance(event, _TOLD) and (trace := self._running.get(request_id)) is not None:
            trace.events.append(event)

    def finish(self, request_id: str) -> None:
        """Make spans of a request that is over."""
        trace = self._running.pop(request_id)
        *refusals, answered = trace.events or [None]
        if not isinstance(answered, Answered):
            return
        trace_id, own, parent, state = trace.trace_id, trace.span_id, b"", b""
        if trace.parent is not None:
            parent, state = trace.parent.span_id, trace.parent.state
        spans = []
        for number, attempt in enumerate(trace.attempts):
            outcome = _outcome(answered, refusals, number, attempt)
            kind = _attempt_sort(self._upstream, answered.method, answered.route, outcome)
            spans.append(span((trace_id, attempt.span_id, own, state), attempt.began, attempt.ended, kind))
        ended = trace.began + int(answered.seconds * 1e9)
        identified = _REQUEST_ID + request_id.encode()
        sort_ = _sort_of(answered, refusals)
        spans.append(span((trace_id, own, parent, state), trace.began, ended, sort_, identified))
        self._exporter.add(spans)

    def close(self) -> None:
        """Export what waits; may take a few seconds."""
        self._exporter.close()


class Outcome(NamedTuple):
    """What distinguishes one attempt from others; "" and 0 where there is none."""

    number: int
    model: str
    status: int
    remedy: str
    refusal: str
    fault: str


def _outcome(answered: Answered, refusals: list[Refused | Unrecovered], number: int, attempt: Attempt) -> Outcome:
    """Of an attempt: what it was sent as, after which refusal, and how it was refused itself."""
    before = refusals[number - 1] if 0 < number <= len(refusals) else None
    refusal = refusals[number].refusal if number < len(refusals) else ""
    remedy = before.remedy if isinstance(before, Refused) else ""
    fault = "" if attempt.status else answered.fault or "no_answer"
    return Outcome(number, attempt.model, attempt.status, remedy, refusal, fault)


@lru_cache(maxsize=1024)
def _attempt_sort(upstream: Upstream, method: str, route: Route, outcome: Outcome) -> bytes:
    """The sort of an attempt's span."""
    name = _method(method)
    attributes: dict[str, Value] = {
        "http.request.method": name,
        "server.address": upstream.host,
        "server.port": upstream.port,
    }
    if route == "responses":
        model = printable(outcome.model)
        name = f"chat {model}".rstrip()
        attributes |= {"gen_ai.operation.name": "chat", "gen_ai.provider.name": upstream.provider}
        attributes |= {"gen_ai.request.model": model} if model else {}
    failed = not 0 < outcome.status < 400
    attributes |= {
        "http.response.status_code": outcome.status,
        "http.request.resend_count": outcome.number,
        "unpinned.remedy": outcome.remedy,
        "unpinned.refusal": outcome.refusal,
        "error.type": (outcome.fault or str(outcome.status)) if failed else "",
    }
    return sort(name, CLIENT, _present(attributes), failed=failed)


def _sort_of(answered: Answered, refusals: list[Refused | Unrecovered]) -> bytes:
    """The sort of a request's span."""
    report = answered.report
    counts = tuple(report.removed.items()), tuple(report.repaired.items())
    words = report.action, report.fidelity, report.attempts, report.store or "", str(report.hint or "")
    kinds = tuple([event.refusal for event in refusals])
    failure = answered.fault or ("" if answered.complete else "incomplete")
    request = answered.method, masked(answered.path), answered.route, answered.status, failure
    return _request_sort(request, words, counts, kinds)


@lru_cache(maxsize=1024)
def _request_sort(
    request: tuple[str, str, Route, int, str],
    words: tuple[str, str, int, str, str],
    counts: tuple[tuple[tuple[str, int], ...], tuple[tuple[str, int], ...]],
    refusals: tuple[str, ...],
) -> bytes:
    """What became of a request, by the words of its report."""
    method, path, route, status, failure = request
    name, pattern = _method(method), _ROUTES.get(route, "")
    failed = status >= 500 or bool(failure)
    action, fidelity, attempts, store, hint = words
    removed, repaired = counts
    attributes: dict[str, Value] = {
        "http.request.method": name,
        "url.path": path,
        "http.route": pattern,
        "http.response.status_code": status,
        "error.type": (failure or str(status)) if failed else "",
        "unpinned.action": action,
        "unpinned.fidelity": fidelity,
        "unpinned.store": store,
        "unpinned.hint": hint,
        "unpinned.refusals": refusals,
        **{f"unpinned.removed.{kind}": count for kind, count in removed},
        **{f"unpinned.repaired.{kind}": count for kind, count in repaired},
    }
    shown = [*_present(attributes), ("unpinned.attempts", attempts)]
    return sort(f"{name} {pattern}".rstrip(), SERVER, shown, failed=failed)


def _present(attributes: Mapping[str, Value]) -> list[tuple[str, Value]]:
    """Those that say something."""
    return [(key, value) for key, value in attributes.items() if value]


def _method(method: str) -> str:
    return method if method in _METHODS else "_OTHER"
