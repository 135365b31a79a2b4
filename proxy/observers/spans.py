"""Spans of requests that are over, as messages of OpenTelemetry's protocol, by its own classes. Never content.

Names and attributes are those of OpenTelemetry's semantic conventions for HTTP and for generative AI (1.45, 2026-11),
and ours under `unpinned.`: what the report says, which refusals there were, and what was sent after each.

Made beside the event loop, a batch at a time. Most of a span is the same for many requests: its *sort*, a message that
is made once, remembered and copied, which takes an eighth of the time (docs/decisions/0020).
"""

import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from proxy import __version__
from proxy.events import Answered, Refused, Unrecovered
from proxy.http.trace_context import Attempt, Trace
from proxy.observers.redaction import masked, printable
from proxy.report import Route

Value = str | int | tuple[str, ...]

_METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE", "QUERY"})
_ROUTES: Final = {"responses": "/responses", "input_tokens": "/responses/input_tokens", "compact": "/responses/compact"}
_SAMPLED: Final = 0x01
_AT_A_TIME: Final = 16
"""Requests whose spans are made in one go: they take a third of a millisecond, in which the loop may have to wait."""
_PAUSE: Final = 0.0001
"""Seconds in which the interpreter's lock is given up for it; in none at all it is taken back too soon."""


class Upstream(NamedTuple):
    """Where attempts go."""

    provider: str
    host: str
    port: int


class Spans:
    """Makes bodies of exports. `facts` are what is the same for all spans of a process."""

    def __init__(self, upstream: Upstream, facts: Mapping[str, str]) -> None:
        self._upstream = upstream
        self._resource = Resource(attributes=_attributes(facts.items()))
        self._scope = InstrumentationScope(name="unpinned", version=__version__)

    def body(self, traces: Iterable[Trace]) -> bytes:
        """The body of an export: the spans of these requests and of their attempts."""
        request = ExportTraceServiceRequest()
        resource_spans = request.resource_spans.add(resource=self._resource)
        spans = resource_spans.scope_spans.add(scope=self._scope).spans
        for number, trace in enumerate(traces):
            self._add(trace, spans.add)
            if number % _AT_A_TIME == 0:
                time.sleep(_PAUSE)
        return bytes(request.SerializeToString())

    def _add(self, trace: Trace, new: Callable[[], Span]) -> None:
        *refusals, answered = trace.events or [None]
        if not isinstance(answered, Answered):
            return
        for number, attempt in enumerate(trace.attempts):
            outcome = _outcome(answered, refusals, number, attempt)
            sort = _attempt_sort(self._upstream, answered.method, answered.route, outcome)
            _fill(new(), trace, sort, (attempt.span_id, trace.span_id), (attempt.began, attempt.ended))
        ended = trace.began + int(answered.seconds * 1e9)
        parent = trace.parent.span_id if trace.parent is not None else b""
        span = new()
        _fill(span, trace, _sort_of(answered, refusals), (trace.span_id, parent), (trace.began, ended))
        span.attributes.add(key="unpinned.request_id").value.string_value = trace.request_id


def _fill(span: Span, trace: Trace, sort: Span, ids: tuple[bytes, bytes], moments: tuple[int, int]) -> None:
    """Make an empty span one of a sort, with its id and its parent's, and when it began and ended."""
    span.CopyFrom(sort)
    span.trace_id = trace.trace_id
    span.span_id, span.parent_span_id = ids
    span.start_time_unix_nano, span.end_time_unix_nano = moments
    if trace.parent is not None and trace.parent.state:
        span.trace_state = trace.parent.state.decode("ascii", "replace")


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
def _attempt_sort(upstream: Upstream, method: str, route: Route, outcome: Outcome) -> Span:
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
    return _sort(name, Span.SPAN_KIND_CLIENT, _present(attributes), failed=failed)


def _sort_of(answered: Answered, refusals: list[Refused | Unrecovered]) -> Span:
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
) -> Span:
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
    return _sort(f"{name} {pattern}".rstrip(), Span.SPAN_KIND_SERVER, shown, failed=failed)


def _present(attributes: Mapping[str, Value]) -> list[tuple[str, Value]]:
    """Those that say something."""
    return [(key, value) for key, value in attributes.items() if value]


def _method(method: str) -> str:
    return method if method in _METHODS else "_OTHER"


def _sort(name: str, kind: Span.SpanKind.ValueType, attributes: Iterable[tuple[str, Value]], *, failed: bool) -> Span:
    """What spans share that say the same."""
    status = Status(code=Status.STATUS_CODE_ERROR) if failed else None
    return Span(name=name, kind=kind, attributes=_attributes(attributes), status=status, flags=_SAMPLED)


def _attributes(attributes: Iterable[tuple[str, Value]]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any(value)) for key, value in attributes]


def _any(value: Value) -> AnyValue:
    match value:
        case str():
            return AnyValue(string_value=value.encode("utf-8", "backslashreplace").decode())
        case int():
            return AnyValue(int_value=value)
        case _:
            return AnyValue(array_value=ArrayValue(values=map(_any, value)))
