"""The whole product on raw sockets: what is not changed is the same, byte for byte, in both directions."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import openai
import pytest

from proxy.app import build
from proxy.settings import load
from tests.support.product import Notebook
from tests.support.raw_client import RawAnswer, RawClient, exchange, request
from tests.support.scripts import answer, chunk, event_stream, head, json_answer, refusal, script
from tests.support.serving import serving
from tests.support.upstream_server import ScriptedUpstream

Fields = list[tuple[bytes, bytes]]
OWN = b"x-unpinned-"

SENT: Fields = [
    (b"Authorization", b"Bearer sk-secret"),
    (b"X-Twice", b"1"),
    (b"Content-Type", b"application/json"),
    (b"x-twice", b"2"),
    (b"OpenAI-Beta", b"responses=v1"),
    (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    (b"Cookie", b"a=1; b=2"),
]
ANSWERED: Fields = [
    (b"Date", b"Mon, 23 Nov 2026 08:00:00 GMT"),
    (b"Set-Cookie", b"a=1"),
    (b"x-request-id", b"req_upstream"),
    (b"Set-Cookie", b"b=2"),
    (b"openai-processing-ms", b"12"),
    (b"x-ratelimit-remaining-requests", b"99"),
    (b"Server", b"cloudflare"),
]


@contextmanager
def product(upstream: ScriptedUpstream, **flags: str) -> Iterator[int]:
    """The product as the command runs it, with these settings; the value is its port."""
    settings = load({"upstream": upstream.url, **flags}, {})
    with serving(build(settings, Notebook())) as port:
        yield port


def lower(fields: Fields) -> Fields:
    """Fields with names in lower case, as uvicorn gives them on."""
    return [(name.lower(), value) for name, value in fields]


def relayed(received: RawAnswer) -> Fields:
    """An answer's fields without our own, in order."""
    return [(name, value) for name, value in lower(received.fields) if not name.startswith(OWN)]


@pytest.mark.parametrize("mode", ["strip", "recover", "observe"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"gpt-5","input":"rs_1 is text"}',
        b'{"input":[{"role":"user","content":"\\u00e9 \xc3\xa9 \\/"}],"metadata":{"id":"rs_1"}}',
        b'\xef\xbb\xbf{"input":[{"role":"user","content":"\\ud800"}],"n":NaN}',
        b'{"input":' + b"[" * 2000 + b"]" * 2000 + b"}",
        b"no json \x00\xff",
        b"",
    ],
)
def test_a_request_that_needs_no_change(upstream: ScriptedUpstream, body: bytes, mode: str) -> None:
    """A request of a rewritten route reaches upstream with target, fields in order and body as they were."""
    upstream.will_answer(json_answer({}))
    with product(upstream, mode=mode) as port:
        exchange(port, request(b"POST", b"/v1/responses?beta=true&x=%2F", SENT, body))
    [seen] = upstream.received
    assert (seen.method, seen.target, seen.wire) == (b"POST", b"/v1/responses?beta=true&x=%2F", body)
    assert lower(seen.fields) == [
        (b"host", b"127.0.0.1:%d" % upstream.port),
        *lower(SENT),
        (b"content-length", b"%d" % len(body)),
    ]


@pytest.mark.parametrize("method", [b"GET", b"DELETE", b"POST", b"PUT", b"PATCH", b"OPTIONS"])
def test_any_other_request(upstream: ScriptedUpstream, method: bytes) -> None:
    """Any other request goes on with its method, target, fields and body."""
    body = None if method in (b"GET", b"DELETE", b"OPTIONS") else json.dumps({"input": [{"id": "rs_1"}]}).encode()
    upstream.will_answer(json_answer({}))
    with product(upstream) as port:
        exchange(port, request(method, b"/v1/responses/resp_1/input_items?after=msg_1", SENT, body))
    [seen] = upstream.received
    assert (seen.method, seen.target) == (method, b"/v1/responses/resp_1/input_items?after=msg_1")
    assert lower(seen.fields)[1 : len(SENT) + 1] == lower(SENT)
    assert seen.wire == (body or b"")


@pytest.mark.parametrize("status", [200, 201, 302, 400, 401, 404, 429, 500, 503])
def test_an_answer(upstream: ScriptedUpstream, status: int) -> None:
    """An answer comes with its status, its fields in order with their duplicates, and its body; ours are added."""
    body = b'{"error": {"message": "\xc3\xa9 \\u00e9"}}'
    upstream.will_answer(answer(status, body, ANSWERED))
    with product(upstream) as port:
        received = exchange(port, request(b"POST", b"/v1/responses", [], b'{"input":"x"}'))
    assert (received.status, received.wire, received.complete) == (status, body, True)
    assert relayed(received) == [*lower(ANSWERED), (b"content-length", b"%d" % len(body))]
    own = [name for name, _ in received.fields if name.startswith(OWN)]
    assert own == [OWN + name for name in (b"action", b"fidelity", b"attempts", b"request-id")]


def test_a_refusal_after_a_failed_recovery(upstream: ScriptedUpstream) -> None:
    """The first refusal is given as it came, though others came after it."""
    first = refusal(404, "Item with id 'rs_1' not found.", ANSWERED)
    upstream.will_answer(first, refusal(400, "No."), refusal(400, "No."), refusal(400, "No."))
    conversation = {
        "input": [
            {"role": "user", "content": "x"},
            {"type": "item_reference", "id": "rs_1"},
            {"role": "user", "content": "y"},
        ]
    }
    with product(upstream, mode="recover") as port:
        received = exchange(port, request(b"POST", b"/v1/responses", [], json.dumps(conversation).encode()))
    whole = first[-1]
    assert isinstance(whole, bytes)
    assert received.wire == whole.partition(b"\r\n\r\n")[2]
    assert relayed(received)[1 : len(ANSWERED) + 1] == lower(ANSWERED)


def test_a_coded_answer_stays_coded(upstream: ScriptedUpstream) -> None:
    """The bytes of an answer are never decoded."""
    fields = [(b"Content-Encoding", b"gzip"), (b"Content-Type", b"application/json")]
    upstream.will_answer(answer(200, b"\x1f\x8bnot really", fields))
    with product(upstream) as port:
        received = exchange(port, request(b"POST", b"/v1/responses", [(b"Accept-Encoding", b"gzip")], b'{"input":"x"}'))
    assert received.wire == b"\x1f\x8bnot really"
    assert relayed(received)[:2] == lower(fields)


def test_events_keep_their_bytes(upstream: ScriptedUpstream) -> None:
    """The events of a stream are the bytes that upstream sent, odd ones included."""
    events = [b"event: x\ndata: {}\n\n", b": comment\n\n", b"data: \xc3\xa9\r\n\r\n", b"data: [DONE]\n\n"]
    upstream.will_answer(event_stream(events, ANSWERED))
    with product(upstream) as port:
        received = exchange(port, request(b"POST", b"/v1/responses", [], b'{"input":"x","stream":true}'))
    assert (received.body, received.complete) == (b"".join(events), True)


def test_without_the_report_an_answer_is_upstreams_alone(upstream: ScriptedUpstream) -> None:
    """With UNPINNED_REPORT=off nothing is added."""
    upstream.will_answer(answer(200, b"{}", ANSWERED))
    with product(upstream, report="off") as port:
        received = exchange(port, request(b"POST", b"/v1/responses", [], b'{"input":"x"}'))
    assert lower(received.fields) == [*lower(ANSWERED), (b"content-length", b"2")]


def test_a_fault_of_ours_says_whose_it_is(upstream: ScriptedUpstream) -> None:
    """A gateway fault is OpenAI-shaped and has our request id, with the report and without."""
    upstream.close()
    for flags in ({}, {"report": "off"}):
        with product(upstream, **flags) as port:
            received = exchange(port, request(b"POST", b"/v1/responses", [], b'{"input":"x"}'))
        error = json.loads(received.body)["error"]
        assert (received.status, error["type"], error["param"]) == (502, "upstream_error", None)
        assert received.values(b"x-unpinned-request-id")[0].startswith(b"req-")
        assert received.values(b"x-should-retry") == [b"true"]


def test_an_sdk_shows_the_id_of_a_fault(upstream: ScriptedUpstream) -> None:
    """The SDK has the request id of a fault of ours, as it has upstream's of upstream's errors."""
    upstream.close()
    with product(upstream) as port, pytest.raises(openai.APIStatusError) as failed:
        openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="sk-1", max_retries=0).models.list()
    assert failed.value.request_id == failed.value.response.headers["x-unpinned-request-id"]


def test_one_connection_carries_many_requests(upstream: ScriptedUpstream) -> None:
    """A client's connection is kept after answers, refusals and streams alike."""
    start = head(200, [(b"Transfer-Encoding", b"chunked")])
    upstream.will_answer(json_answer({}), refusal(404, "No."), script(start, chunk(b"x"), chunk(b"")), json_answer({}))
    with product(upstream) as port, RawClient(port) as client:
        for status in (200, 404, 200, 200):
            client.send(request(b"POST", b"/v1/responses", [], b'{"input":"x"}'))
            received = client.answer()
            assert (received.status, received.complete) == (status, True)
