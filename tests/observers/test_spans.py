"""What a collector reads of requests that are over, and that what is noted of them costs the event loop little."""

from typing import Any

import pytest

pytest.importorskip("opentelemetry.proto", reason="pip install '.[otel]'")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proxy.events import Answered, Refused, Unrecovered
from proxy.http.trace_context import Attempt, Parent, Trace
from proxy.observers.spans import Spans, Upstream
from proxy.report import Report
from tests.support.collector import Received, received, values

FACTS = {"service.name": "unpinned", "odd": "caf\xe9 \udcff"}


def over(*refusals: Refused | Unrecovered, attempts: int = 1, **changed: Any) -> Trace:
    """What was noted of a request."""
    trace = Trace("req-0123456789ab", b"t" * 16, b"s" * 8, None, 1_000_000_000)
    for number in range(attempts):
        trace.attempts.append(Attempt(b"%08d" % number, 1_500_000_000))
        trace.attempts[-1].ended = 3_000_000_000
        trace.attempts[-1].status = 200 if number == attempts - 1 else 404
    told: dict[str, Any] = {"method": "POST", "route": "responses", "path": "/v1/responses", "status": 200}
    told |= {"seconds": 2.5, "complete": True, "report": Report("rewritten", "lossless", {"item_id": 3})}
    trace.events += [*refusals, Answered(**{**told, **changed})]
    return trace


def exported(*traces: Trace) -> list[Received]:
    """The spans, as OpenTelemetry's classes read them."""
    body = Spans(Upstream("openai", "api.openai.com", 443), FACTS).body(traces)
    [resource] = ExportTraceServiceRequest.FromString(body).resource_spans
    assert values(resource.resource.attributes) == {"service.name": "unpinned", "odd": "caf\xe9 \\udcff"}
    [scope] = resource.scope_spans
    assert scope.scope.name == "unpinned"
    assert {span.flags for span in scope.spans} <= {1}
    return [received(span) for span in scope.spans]


def test_spans_of_the_same_sort_differ_in_what_is_their_own() -> None:
    """Two requests alike have spans alike, but for ids and moments; nothing of one gets into the other."""
    traces = [over(), over(seconds=0.5)]
    traces[1].request_id = "req-cccccccccccc"
    traces[1].parent = Parent(b"t" * 16, b"p" * 8, sampled=True, state=b"vendor=1")
    _, first, attempt, second = exported(*traces)
    assert (first.seconds, second.seconds) == (2.5, 0.5)
    assert (first.parent_id, second.parent_id) == ("", (b"p" * 8).hex())
    assert (first.state, second.state, attempt.state) == ("", "vendor=1", "vendor=1")
    own = {"unpinned.request_id": "req-cccccccccccc"}
    assert {**first.attributes, **own} == second.attributes


def test_refusals_are_a_list() -> None:
    """The kinds of refusals stand in their order; each attempt has its own."""
    refusals = [Refused(404, "item", "portable"), Refused(400, "encrypted", "repaired")]
    *attempts, request = exported(over(*refusals, attempts=3))
    assert request.attributes["unpinned.refusals"] == ["item", "encrypted"]
    assert [each.attributes.get("unpinned.refusal") for each in attempts] == ["item", "encrypted", None]
    assert [each.attributes.get("unpinned.remedy") for each in attempts] == [None, "portable", "repaired"]
    assert [each.failed for each in attempts] == [True, True, False]


def test_a_request_of_which_nothing_was_stated_has_no_span() -> None:
    """What ended before it was a request, as a WebSocket does, is left out."""
    trace = over()
    trace.events.clear()
    assert exported(trace) == []


def test_many_at_once() -> None:
    """A batch has the spans of all its requests, in their order."""
    traces = [over(attempts=2, seconds=number / 4) for number in range(100)]
    spans = exported(*traces)
    assert len(spans) == sum(trace.spans for trace in traces) == 300
    assert [span.seconds for span in spans[2::3]] == [number / 4 for number in range(100)]
