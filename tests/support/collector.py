"""A scripted collector of OpenTelemetry: it answers as told, and gives back what it was sent.

with Collector() as collector:
    collector.url                 # for OTEL_EXPORTER_OTLP_ENDPOINT
    collector.wait_spans(2)       # the spans, decoded by OpenTelemetry's own classes
    collector.will_answer(503)    # the next export; then 200 again
"""

import gzip
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATIENCE = 20.0


@dataclass
class Received:
    """One span: what a test asks about it."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    state: str
    seconds: float
    failed: bool
    attributes: dict[str, Any] = field(default_factory=dict)


class Collector:
    """A collector on an ephemeral port."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.resources: list[dict[str, Any]] = []
        self.exports: list[tuple[str, dict[str, str]]] = []
        self._statuses: list[int] = []
        self._news = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = collector._take(self.path, dict(self.headers.items()), body)
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_request(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def will_answer(self, *statuses: int) -> None:
        """Answer the next exports so; spans of an export that is not answered 200 are not kept."""
        self._statuses += statuses

    def wait_spans(self, number: int) -> list[Received]:
        """Wait for so many spans; all that there are."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.spans) >= number, PATIENCE), self.spans
            return list(self.spans)

    def _take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        with self._news:
            self.exports.append((path, headers))
            status = self._statuses.pop(0) if self._statuses else 200
            if status == 200:
                self._keep(gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body)
            self._news.notify_all()
            return status

    def _keep(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(values(resource.resource.attributes))
            self.spans += [received(span) for scope in resource.scope_spans for span in scope.spans]


def received(span: Any) -> Received:
    """A span as a test has it."""
    return Received(
        span.name,
        span.kind,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.trace_state,
        (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        span.status.code == 2,
        values(span.attributes),
    )


def values(attributes: Any) -> dict[str, Any]:
    """Attributes as values of Python."""
    found = {}
    for each in attributes:
        assert each.key not in found
        kind = each.value.WhichOneof("value")
        value = getattr(each.value, kind)
        found[each.key] = [item.string_value for item in value.values] if kind == "array_value" else value
    return found
