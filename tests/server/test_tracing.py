"""Traces: one span for a request and one for each attempt, in the client's trace, without a word of content."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("opentelemetry.proto", reason="pip install '.[test]'")

from tests.support.collector import Collector, Received
from tests.support.process import COMMAND, ROOT, Process, environment, running
from tests.support.raw_client import RawAnswer, RawClient, exchange, request
from tests.support.scripts import answer, event_stream, json_answer, refusal
from tests.support.upstream_server import ScriptedUpstream

SERVER, CLIENT = 2, 3
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = (b"traceparent", f"00-{TRACE}-{PARENT}-01".encode())
SECRETS = ("s3cr3t", "sk-hunter2")


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector that answers 200."""
    with Collector() as collector:
        yield collector


@contextmanager
def traced(upstream: ScriptedUpstream, endpoint: str, *arguments: str, **variables: str) -> Iterator[Process]:
    """The proxy with traces exported to a collector, soon."""
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "20", **variables}
    with running("--upstream", upstream.url, "--tracing", "on", *arguments, **variables) as process:
        yield process


def ask(process: Process, *fields: tuple[bytes, bytes], **changes: Any) -> RawAnswer:
    """A request of a model, and its answer."""
    body = {"model": "gpt-5", "input": [{"role": "user", "content": "s3cr3t"}], **changes}
    own = [(b"Authorization", b"Bearer sk-hunter2"), (b"Content-Type", b"application/json")]
    return exchange(
        process.port, request(b"POST", b"/v1/responses?q=s3cr3t", [*own, *fields], json.dumps(body).encode())
    )


def parted(spans: list[Received]) -> tuple[list[Received], list[Received]]:
    """The spans of requests, and those of attempts, in the order in which they were sent."""
    return [span for span in spans if span.kind == SERVER], [span for span in spans if span.kind == CLIENT]


def test_a_request_is_a_span(upstream: ScriptedUpstream, collector: Collector) -> None:
    """A request and its attempt are spans of the client's trace, and upstream is told of the attempt's."""
    upstream.will_answer(json_answer({"id": "resp_1", "output": []}))
    state = (b"tracestate", b"vendor=1")
    with traced(upstream, collector.url) as process:
        got = ask(process, TRACEPARENT, state)
        [[server], [client]] = parted(collector.wait_spans(2))
    assert (server.trace_id, server.parent_id, server.state) == (TRACE, PARENT, "vendor=1")
    assert (client.trace_id, client.parent_id, client.state) == (TRACE, server.span_id, "vendor=1")
    assert upstream.received[0].values(b"traceparent") == [f"00-{TRACE}-{client.span_id}-01".encode()]
    assert upstream.received[0].values(b"tracestate") == [b"vendor=1"]
    assert (server.name, server.failed, client.name, client.failed) == ("POST /responses", False, "chat gpt-5", False)
    assert server.attributes == {
        "http.request.method": "POST",
        "http.route": "/responses",
        "url.path": "/v1/responses",
        "http.response.status_code": 200,
        "unpinned.action": "passthrough",
        "unpinned.fidelity": "exact",
        "unpinned.attempts": 1,
        "unpinned.request_id": got.values(b"x-unpinned-request-id")[0].decode(),
    }
    assert client.attributes == {
        "http.request.method": "POST",
        "server.address": "127.0.0.1",
        "server.port": upstream.port,
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5",
        "http.response.status_code": 200,
    }
    assert 0 < client.seconds <= server.seconds < 20
    assert collector.resources[0]["service.name"] == "unpinned"
    assert collector.exports[0][0] == "/v1/traces"


def test_a_recovery_is_two_attempts(upstream: ScriptedUpstream, collector: Collector) -> None:
    """Each attempt is a span of its own: how it was refused, and what was sent after the refusal."""
    upstream.will_answer(refusal(404, "Item with id 'rs_1' not found."), json_answer({"id": "resp_1", "output": []}))
    items = [
        {"role": "user", "content": "s3cr3t"},
        {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "s3cr3t"}]},
        {"role": "user", "content": "s3cr3t"},
    ]
    with traced(upstream, collector.url, "--mode", "recover") as process:
        assert ask(process, input=items).values(b"x-unpinned-action") == [b"recovered"]
        [[server], [first, second]] = parted(collector.wait_spans(3))
    assert server.parent_id == ""
    assert (server.attributes["unpinned.refusals"], server.attributes["unpinned.attempts"]) == (["item"], 2)
    assert server.attributes["unpinned.removed.item_id"] == 1
    assert (first.failed, first.attributes["unpinned.refusal"], first.attributes["error.type"]) == (True, "item", "404")
    assert (second.failed, second.attributes["unpinned.remedy"]) == (False, "portable")
    assert (second.attributes["http.request.resend_count"], "unpinned.refusal" in second.attributes) == (1, False)
    assert len({first.span_id, second.span_id, server.span_id}) == 3


def test_faults_are_errors(upstream: ScriptedUpstream, collector: Collector) -> None:
    """An upstream that cannot be reached is an error of both spans, by the code that the client gets."""
    with running(
        *("--upstream", "http://127.0.0.1:1", "--tracing", "on"),
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_BSP_SCHEDULE_DELAY="20",
    ) as process:
        assert ask(process).status == 502
        [[server], [client]] = parted(collector.wait_spans(2))
    assert (server.failed, server.attributes["error.type"]) == (True, "upstream_unreachable")
    assert server.attributes["http.response.status_code"] == 502
    assert client.failed
    assert not upstream.received


def test_everything_else_is_a_span_of_http(upstream: ScriptedUpstream, collector: Collector) -> None:
    """Another path is a span of its method, with its path's plain words alone, and no attribute of generative AI."""
    upstream.will_answer(answer(204))
    with traced(upstream, collector.url) as process:
        exchange(process.port, request(b"DELETE", b"/v1/files/file-s3cr3t"))
        [[server], [client]] = parted(collector.wait_spans(2))
    assert (server.name, server.attributes["url.path"], client.name) == ("DELETE", "/v1/files/{id}", "DELETE")
    assert not [name for name in client.attributes if name.startswith("gen_ai")]


def test_no_content_is_exported(upstream: ScriptedUpstream, collector: Collector) -> None:
    """No text, key, query or id of a request or answer stands in any span."""
    upstream.will_answer(json_answer({"id": "resp_s3cr3t", "output": [], "text": "s3cr3t"}))
    with traced(upstream, collector.url) as process:
        ask(process, previous_response_id="resp_s3cr3t", instructions="s3cr3t", metadata={"s3cr3t": "s3cr3t"})
        spans = collector.wait_spans(2)
    assert not [secret for secret in SECRETS if secret in repr(spans) + repr(collector.exports)]


@pytest.mark.parametrize(
    ("variables", "fields", "expected"),
    [
        ({}, [(b"traceparent", TRACEPARENT[1][:-2] + b"00")], 0),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, [(b"traceparent", TRACEPARENT[1][:-2] + b"00")], 2),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, [TRACEPARENT], 0),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, [TRACEPARENT], 2),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, [], 0),
        ({"OTEL_TRACES_EXPORTER": "none"}, [TRACEPARENT], 0),
        ({"OTEL_SDK_DISABLED": "true"}, [TRACEPARENT], 0),
    ],
)
def test_sampling(
    upstream: ScriptedUpstream,
    collector: Collector,
    variables: dict[str, str],
    fields: list[tuple[bytes, bytes]],
    expected: int,
) -> None:
    """The client's decision and the sampler's variables say what is traced; what is not reaches upstream as it came."""
    upstream.will_answer(answer(200, b"{}"))
    with traced(upstream, collector.url, **variables) as process:
        assert ask(process, *fields).status == 200
        assert len(collector.wait_spans(expected)) == expected
    sent = [(b"traceparent", value) for value in upstream.received[0].values(b"traceparent")]
    assert (sent == fields) == (expected == 0)


def test_the_variables_of_the_exporter(upstream: ScriptedUpstream, collector: Collector) -> None:
    """Path, header fields, compression, service and resource are those of the standard variables."""
    upstream.will_answer(answer(200, b"{}"))
    variables = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/otlp",
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=s3cr3t%2C1",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_SERVICE_NAME": "edge",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,service.name=other",
    }
    with traced(upstream, collector.url, **variables) as process:
        ask(process)
        collector.wait_spans(2)
    [[path, headers]] = collector.exports
    assert (path, headers["api-key"], headers["content-type"]) == ("/otlp", "s3cr3t,1", "application/x-protobuf")
    assert collector.resources[0]["service.name"] == "edge"
    assert collector.resources[0]["deployment.environment.name"] == "test"


def test_what_waits_is_exported_at_the_end(upstream: ScriptedUpstream, collector: Collector) -> None:
    """A process that drains exports the spans of its last requests."""
    upstream.will_answer(event_stream([b"data: 1\n\n"]))
    with traced(upstream, collector.url, OTEL_BSP_SCHEDULE_DELAY="60000") as process:
        assert ask(process).status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    assert len(collector.spans) == 2


def test_a_collector_that_cannot_take_it_is_asked_again(upstream: ScriptedUpstream, collector: Collector) -> None:
    """An export that is answered 503 is sent again, and none is lost."""
    collector.will_answer(503)
    upstream.will_answer(answer(200, b"{}"))
    with traced(upstream, collector.url) as process:
        ask(process)
        assert len(collector.wait_spans(2)) == 2
    assert len(collector.exports) == 2


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_collector_that_is_down_costs_nothing(upstream: ScriptedUpstream, workers: str) -> None:
    """Without a collector requests are answered as ever, few spans wait, one line says so, and the end is soon."""
    upstream.will_always_answer(answer(200, b"{}"))
    with traced(upstream, "http://127.0.0.1:1", "--workers", workers, OTEL_BSP_MAX_QUEUE_SIZE="8") as process:
        with RawClient(process.port) as client:
            for _ in range(50):
                client.send(request(b"GET", b"/v1/models"))
                assert client.answer().status == 200
        process.wait_message("Spans are lost: ")
        assert sum("Spans are lost" in str(line) for line in process.log) <= int(workers)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
        assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc', but must be http/protobuf."),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "nowhere"},
            "OTEL_EXPORTER_OTLP_ENDPOINT is 'nowhere', but must be an http://",
        ),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER is 'zipkin', but must be otlp or none."),
        ({"OTEL_TRACES_SAMPLER": "jaeger"}, "OTEL_TRACES_SAMPLER is 'jaeger', but must be parentbased_always_on or "),
        ({"OTEL_TRACES_SAMPLER_ARG": "2"}, "OTEL_TRACES_SAMPLER_ARG is '2', but must be a number from 0 to 1."),
        (
            {"OTEL_BSP_SCHEDULE_DELAY": "soon"},
            "OTEL_BSP_SCHEDULE_DELAY is 'soon', but must be a number from 0 to 1e+09.",
        ),
        (
            {"OTEL_EXPORTER_OTLP_HEADERS": "s3cr3t"},
            "OTEL_EXPORTER_OTLP_HEADERS is set to something else, but must be a ",
        ),
        ({"OTEL_RESOURCE_ATTRIBUTES": "x"}, "OTEL_RESOURCE_ATTRIBUTES must be a list of KEY=VALUE with commas"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://[::1]", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere"},
            "OTEL_EXPORTER_OTLP_CERTIFICATE and its like cannot be used: No such file or directory.",
        ),
    ],
)
def test_variables_that_cannot_be_used(variables: dict[str, str], sentence: str) -> None:
    """A variable that cannot be obeyed ends the start with one sentence, which shows no secret, and code 2."""
    command = [*COMMAND, "--listen", "127.0.0.1:0", "--admin-listen", "off", "--tracing", "on"]
    done = subprocess.run(command, cwd=ROOT, env=environment(**variables), capture_output=True, text=True, check=False)
    [line] = done.stderr.splitlines()
    assert (done.returncode, line.startswith(f"unpinned: {sentence}"), "s3cr3t" in line) == (2, True, False), line


def test_it_is_off_by_default(upstream: ScriptedUpstream, collector: Collector) -> None:
    """Without `--tracing on` the variables mean nothing, and `traceparent` passes untouched."""
    upstream.will_answer(answer(200, b"{}"))
    with running("--upstream", upstream.url, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) as process:
        assert ask(process, TRACEPARENT).status == 200
    assert (collector.exports, upstream.received[0].values(b"traceparent")) == ([], [TRACEPARENT[1]])


def test_nothing_is_loaded_for_it_by_default() -> None:
    """A process that exports no traces has loaded nothing of them."""
    code = (
        "import sys; from proxy.app import build; from proxy.settings import load; from proxy.events import Observers; "
        "build(load({'tracing': sys.argv[1]}, {}), Observers()); "
        "words = ('tracing', 'span', 'opentelemetry', 'protobuf', 'urllib3'); "
        "print(sorted(name for name in sys.modules if any(word in name for word in words)))"
    )
    loaded = [
        subprocess.run(
            [sys.executable, "-c", code, switch], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        for switch in ("off", "on")
    ]
    assert loaded[0].strip() == "[]"
    assert "opentelemetry.proto" in loaded[1]


def test_what_is_not_installed() -> None:
    """Without its extra, tracing that is asked for ends the start with one sentence, and code 2."""
    code = (
        "import sys; sys.modules['opentelemetry'] = None; from proxy.cli import main; "
        "sys.exit(main(['--tracing', 'on', '--listen', '127.0.0.1:0', '--admin-listen', 'off']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    said = "unpinned: UNPINNED_TRACING needs what is not installed: pip install 'unpinned[otel]' adds it.\n"
    assert (done.returncode, done.stderr) == (2, said)
