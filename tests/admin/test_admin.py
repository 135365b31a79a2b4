"""What the admin listener shows, of real requests through the whole program."""

import json
import signal
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.process import Process, running
from tests.support.raw_client import RawAnswer, RawClient, exchange, request
from tests.support.scripts import Gate, event_stream, json_answer, refusal
from tests.support.upstream_server import ScriptedUpstream

BODY = (
    b'{"input": [{"role": "user", "content": "hi"}, {"type": "message", "role": "assistant", "id": "msg_1", '
    b'"content": []}, {"role": "user", "content": "on"}]}'
)


def asked(body: bytes, *fields: tuple[bytes, bytes]) -> bytes:
    """A request of the Responses API."""
    return request(b"POST", b"/v1/responses", [(b"Content-Type", b"application/json"), *fields], body)


@pytest.fixture
def process(upstream: ScriptedUpstream) -> Iterator[Process]:
    """The program in front of the scripted upstream."""
    with running("--upstream", upstream.url) as process:
        yield process


def get(process: Process, path: bytes, method: bytes = b"GET") -> RawAnswer:
    """What the admin listener answers."""
    return exchange(process.admin_port, request(method, path))


def scraped(process: Process) -> dict[tuple[str, ...], float]:
    """The samples, by name and the values of their labels."""
    families = text_string_to_metric_families(get(process, b"/metrics").body.decode())
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


def test_requests_are_counted(upstream: ScriptedUpstream) -> None:
    """A recovered request is counted with its refusal, its attempt and its lesson; health checks are not counted."""
    upstream.will_answer(refusal(404, "Item with id 'msg_1' not found."), json_answer({"object": "response"}))
    with running("--upstream", upstream.url, "--mode", "recover") as process:
        assert exchange(process.port, asked(BODY, (b"Authorization", b"Bearer k"))).status == 200
        assert get(process, b"/readyz").status == 200
        process.wait_message("POST /v1/responses")
        samples = scraped(process)
    requests = {sample: count for sample, count in samples.items() if sample[0] == "unpinned_requests_total"}
    assert requests == {("unpinned_requests_total", "recovered", "lossless", "responses", "200"): 1}
    assert samples["unpinned_recovery_attempts_total", "portable"] == 1
    assert samples["unpinned_refusals_total", "item"] == 1
    assert samples["unpinned_recoveries_total", "recovered"] == 1
    assert samples["unpinned_removed_total", "item_id"] == 1
    assert samples["unpinned_lessons",] > 0
    assert samples["unpinned_upstream_connections", "idle"] == 1
    waited = samples["unpinned_time_to_first_byte_seconds_sum", "responses"]
    assert 0 < samples["unpinned_overhead_seconds_sum", "responses"] < waited
    assert waited <= samples["unpinned_request_duration_seconds_sum", "responses"]


def test_a_slow_upstream_is_not_our_time(upstream: ScriptedUpstream) -> None:
    """While upstream thinks, and while the client takes its time to send its body, nothing is added to our overhead."""
    gate = Gate()
    upstream.will_answer([*json_answer({})[:1], gate, *json_answer({})[1:]])
    raw = asked(BODY)
    with running("--upstream", upstream.url, "--inspect", "on") as process:
        with RawClient(process.port) as client:
            client.send(raw[:-10])
            while not scraped(process)["unpinned_requests_in_flight", "waiting"]:
                pass
            assert not client.readable_within(0.3)
            client.send(raw[-10:])
            gate.wait_reached()
            assert not client.readable_within(0.3)
            gate.open()
            assert client.answer().status == 200
        process.wait_message("POST /v1/responses")
        seen = exchange(process.admin_port, b"GET /exchanges.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        waited = scraped(process)["unpinned_time_to_first_byte_seconds_sum", "responses"]
        overhead = scraped(process)["unpinned_overhead_seconds_sum", "responses"]
    [shares] = json.loads(seen.body)["exchanges"]
    assert waited >= 0.6
    assert overhead <= waited - 0.6
    assert min(shares["client"], shares["upstream"]) >= 0.3
    assert shares["client"] + shares["upstream"] + overhead == pytest.approx(waited)


def test_a_body_that_is_sent_on_while_it_comes(upstream: ScriptedUpstream) -> None:
    """Who of the two is slow when a body streams through nobody can tell: it is upstream's time, and counted once."""
    upstream.will_answer(json_answer({}))
    with running("--upstream", upstream.url, "--inspect", "on") as process:
        with RawClient(process.port) as client:
            client.send(request(b"POST", b"/v1/files", [(b"Content-Length", b"2")]) + b"1")
            upstream.wait_received(1).wait_body(b"1")
            assert not client.readable_within(0.3)
            client.send(b"2")
            assert client.answer().status == 200
        process.wait_message("POST /v1/files")
        seen = exchange(process.admin_port, b"GET /exchanges.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
    [shares] = json.loads(seen.body)["exchanges"]
    assert shares["upstream"] >= 0.3
    assert shares["client"] + shares["upstream"] <= shares["first_byte"]


def test_what_is_open(process: Process, upstream: ScriptedUpstream) -> None:
    """A request waits and then streams, and has a connection in use until it ends."""
    thought, gate = Gate(), Gate()
    first, *rest = event_stream([b"data: first\n\n", gate, b"data: last\n\n"])
    upstream.will_answer([first, thought, *rest])
    open_now = [
        ("unpinned_requests_in_flight", "waiting"),
        ("unpinned_requests_in_flight", "streaming"),
        ("unpinned_upstream_connections", "in_use"),
    ]
    with RawClient(process.port) as client:
        client.send(asked(b'{"input": "hi", "stream": true}'))
        thought.wait_reached()
        samples = scraped(process)
        assert [samples[name] for name in open_now] == [1, 0, 1]
        thought.open()
        client.until(b"data: first\n\n")
        samples = scraped(process)
        assert [samples[name] for name in open_now] == [0, 1, 1]
        gate.open()
        client.until(b"0\r\n\r\n")
    process.wait_message("POST /v1/responses")
    samples = scraped(process)
    assert [samples[name] for name in open_now] == [0, 0, 0]


def test_no_label_is_a_clients_choice(process: Process, upstream: ScriptedUpstream) -> None:
    """Methods, paths, fields and what is in bodies never become part of a metric."""
    upstream.will_answer(json_answer({}), json_answer({}, status=599))
    exchange(process.port, request(b"PROPFIND", b"/v1/evil-path?evil-query", [(b"User-Agent", b"evil-agent")]))
    exchange(process.port, asked(BODY.replace(b"msg_1", b"evil-id"), (b"Authorization", b"Bearer evil-key")))
    process.wait_message("POST /v1/responses")
    text = get(process, b"/metrics").body
    assert b'status="599"' in text
    assert b"evil" not in text
    assert b"propfind" not in text.lower()


@pytest.mark.parametrize("path", [b"/livez", b"/readyz", b"/metrics"])
def test_it_only_reads(process: Process, path: bytes) -> None:
    """The admin listener answers GET and HEAD, and refuses every other method."""
    assert get(process, path).status == 200
    assert get(process, path, b"HEAD").status == 200
    for method in (b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"):
        assert get(process, path, method).status == 405


@pytest.mark.parametrize(("path", "status"), [(b"/livez/?of=this", 200), (b"/metrics/more", 404), (b"//", 404)])
def test_paths(process: Process, path: bytes, status: int) -> None:
    """A query and a slash at the end change nothing about a path; what is not there is not found."""
    assert get(process, path).status == status


def test_metrics_while_draining(process: Process, upstream: ScriptedUpstream) -> None:
    """The last streams of a process can be watched to their end."""
    gate = Gate()
    upstream.will_answer(event_stream([b"data: first\n\n", gate, b"data: last\n\n"]))
    with RawClient(process.port) as client:
        client.send(asked(b'{"input": "hi", "stream": true}'))
        client.until(b"data: first\n\n")
        process.send_signal(signal.SIGTERM)
        process.wait_message("Shutting down")
        assert scraped(process)["unpinned_requests_in_flight", "streaming"] == 1
        gate.open()
        client.rest()


def test_tracing_passes(process: Process, upstream: ScriptedUpstream) -> None:
    """The fields of distributed tracing reach upstream as they came, in their order, also where the body changes."""
    tracing = [
        (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        (b"tracestate", b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        (b"tracestate", b"more=1"),
        (b"baggage", b"userId=alice,serverNode=DF%2028;p=1"),
    ]
    upstream.will_answer(json_answer({}), json_answer({}))
    exchange(process.port, asked(BODY, *tracing))
    exchange(process.port, request(b"GET", b"/v1/models", tracing))
    for received in upstream.received:
        assert [field for field in received.fields if field in tracing] == tracing


@pytest.mark.parametrize(
    ("host", "mode", "status"),
    [
        (b"unpinned-1:8081", None, 200),
        (b"evil.test", b"navigate", 200),
        (b"evil.test", b"cors", 421),
        (b"evil.test", b"same-origin", 421),
        (b"127.0.0.1:8081", b"cors", 200),
        (b"localhost", b"cors", 200),
    ],
)
def test_a_foreign_script_reads_no_metrics(
    upstream: ScriptedUpstream, host: bytes, mode: bytes | None, status: int
) -> None:
    """A script of a page whose name was made to lead here is refused; Prometheus and people are not."""
    fields = [(b"Host", host), *([(b"Sec-Fetch-Mode", mode)] if mode else [])]
    with running("--upstream", upstream.url) as process:
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
        with RawClient(process.admin_port) as client:
            client.send(b"GET /metrics HTTP/1.1\r\n" + lines + b"\r\n")
            assert client.answer().status == status
