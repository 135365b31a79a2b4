"""A WebSocket handshake: what goes upstream, what comes back, and what is refused before anything is sent."""

import json
import socket
import time

import pytest

from tests.support.handshakes import FIELDS, KEY, OFFER, VERSION, echo, handshake, switching
from tests.support.process import running
from tests.support.raw_client import RawClient, exchange, request
from tests.support.scripts import END, Gate, answer, head, refusal, script
from tests.support.upstream_server import ScriptedUpstream
from tests.websockets.conftest import Front


def test_it_goes_upstream_as_it_came(front: Front) -> None:
    """Target byte for byte, fields in order with their duplicates; Host and the fields of the hop are its own."""
    more = [
        (b"Sec-WebSocket-Extensions", b"permessage-deflate; client_max_window_bits"),
        (b"Sec-WebSocket-Protocol", b"realtime"),
        (b"Origin", b"https://a.test"),
        (b"Sec-WebSocket-Protocol", b"openai-insecure-api-key.sk-1"),
        (b"Authorization", b"Bearer sk-1"),
        (b"OpenAI-Beta", b"responses_websockets=2026-02-06"),
        (b"X-Twice", b"1"),
        (b"X-Twice", b"2"),
    ]
    with front.opened(script(switching(), END), handshake(b"/v1//a%2Fb/?model=x&&%20=", more)):
        pass
    [got] = front.upstream.received
    assert (got.method, got.target) == (b"GET", b"/v1//a%2Fb/?model=x&&%20=")
    assert got.fields == [
        (b"host", front.upstream.url[7:].encode()),
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-key", KEY),
        *((name.lower(), value) for name, value in more),
        (b"connection", b"Upgrade"),
        (b"upgrade", b"websocket"),
    ]
    assert len(got.hops) == 1


def test_the_101_comes_back_with_its_fields(front: Front) -> None:
    """In order, with their duplicates, and the id of our log lines; what describes the hop to upstream stays there."""
    fields = [
        (b"Sec-WebSocket-Protocol", b"realtime"),
        (b"Sec-WebSocket-Extensions", b"permessage-deflate"),
        (b"X-Twice", b"1"),
        (b"X-Twice", b"2"),
        (b"Keep-Alive", b"5"),
        (b"Content-Length", b"7"),
        (b"x-unpinned-action", b"rewritten"),
    ]
    front.upstream.will_answer(script(switching(fields), END))
    with RawClient(front.process.port) as client:
        client.send(handshake())
        got = client.head()
    assert got.head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    *shown, (name, request_id) = got.fields
    assert shown == [
        (b"connection", b"Upgrade"),
        (b"upgrade", b"websocket"),
        (b"sec-websocket-accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        *((name.lower(), value) for name, value in fields[:4]),
    ]
    assert (name, request_id[:4]) == (b"x-unpinned-request-id", b"req-")


def test_bytes_right_behind_the_101_go_on(front: Front) -> None:
    """What upstream sends in one piece with its head, or later, is the beginning of the stream."""
    with front.opened(script(switching() + b"at once", b" and later", END)) as client:
        assert client.exactly(17) == b"at once and later"


def test_bytes_behind_the_handshake_wait_for_the_101(front: Front) -> None:
    """A client may send at once: upstream sees nothing of it before it has agreed, and then all of it, in order."""
    gate = Gate()
    front.upstream.will_answer(script(gate, switching(), echo, END))
    with RawClient(front.process.port) as client:
        client.send(handshake() + b"x" * 30_000)
        client.send(b"y" * 30_000)
        gate.wait_reached()
        assert not client.readable_within(0.2)
        assert front.upstream.received[0].wire == b""
        gate.open()
        assert client.head().status == 101
        client.send(b"z")
        assert client.exactly(60_001) == b"x" * 30_000 + b"y" * 30_000 + b"z"
        client.end()


@pytest.mark.parametrize("pieces", [1, 5])
def test_more_than_64_kib_behind_the_handshake(front: Front, pieces: int) -> None:
    """Who sends so much before it has an answer is refused, and nothing of it reaches upstream."""
    gate = Gate()
    front.upstream.will_answer(script(gate, switching()))
    with RawClient(front.process.port) as client:
        client.send(handshake())
        gate.wait_reached()
        for _ in range(pieces):
            client.send(bytes(66_560 // pieces))
        got = client.answer()
        assert (got.status, json.loads(got.body)["error"]["code"]) == (400, "too_much_behind_handshake")
        assert client.rest() == b""
    gate.open()
    front.upstream.received[0].wait_over()
    assert front.upstream.received[0].wire == b""


ANSWERS = {
    "401": (answer(401, b"no", [(b"WWW-Authenticate", b"Bearer")]), b"no"),
    "404": (refusal(404, "not here"), b""),
    "429": (answer(429, b"slow down", [(b"Retry-After", b"7")]), b"slow down"),
    "500": (answer(500, b"oops"), b"oops"),
    "503": (script(head(503, [(b"Transfer-Encoding", b"chunked")]), b"3\r\nabc\r\n", b"0\r\n\r\n"), b"abc"),
    "400": (script(head(400), b"to the end", END), b"to the end"),
    "200": (answer(200, b"no WebSocket here"), b"no WebSocket here"),
    "301": (answer(301, b"moved", [(b"Location", b"/v1/elsewhere")]), b"moved"),
}


@pytest.mark.parametrize("status", ANSWERS)
@pytest.mark.parametrize("behind", [b"", b"\x81\x85\0\0\0\0hello", b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"])
def test_any_other_answer_is_an_ordinary_one(front: Front, status: str, behind: bytes) -> None:
    """Status, fields and body come back as they came, and the connection ends: nothing behind the handshake is read."""
    answered, body = ANSWERS[status]
    front.upstream.will_answer(answered)
    with RawClient(front.process.port) as client:
        client.send(handshake() + behind)
        got = client.answer()
        assert client.rest() == b""
    assert (got.status, got.complete) == (int(status), True)
    assert body in got.body
    assert got.values(b"connection") == [b"close"]
    assert got.values(b"x-unpinned-action") == [b"passthrough"]
    for name in (b"WWW-Authenticate", b"Retry-After", b"Location", b"Content-Length"):
        assert bool(got.values(name.lower())) == any(name in step for step in answered if isinstance(step, bytes))
    assert len(front.upstream.received) == 1


def test_a_long_answer_to_a_client_that_goes_on(front: Front) -> None:
    """What a client sends beside an answer that is no 101 is dropped, however much it is; the answer stays whole."""
    gate = Gate()
    front.upstream.will_answer(script(head(401, [(b"Content-Length", b"6")]), b"not", gate, b"now"))
    with RawClient(front.process.port) as client:
        client.send(handshake())
        assert client.until(b"not").startswith(b"HTTP/1.1 401 ")
        client.send(bytes(300_000))
        gate.open()
        assert client.rest() == b"now"


def test_a_426_keeps_what_it_says(front: Front) -> None:
    """Codex falls back to HTTP on this status, and RFC 9110 demands the Upgrade field."""
    fields = [(b"Upgrade", b"HTTP/2.0"), (b"Connection", b"upgrade"), (b"Sec-WebSocket-Version", b"13")]
    front.upstream.will_answer(answer(426, b"use HTTP", fields))
    got = exchange(front.process.port, handshake())
    assert (got.status, got.body) == (426, b"use HTTP")
    assert got.values(b"upgrade") == [b"HTTP/2.0"]
    assert b"upgrade" in got.values(b"connection")
    assert got.values(b"sec-websocket-version") == [b"13"]


def lines(*fields: tuple[bytes, bytes]) -> bytes:
    """A handshake with these fields besides Connection and Upgrade."""
    return request(b"GET", b"/v1/realtime", [*OFFER, *fields])


KEY_FIELD = (b"Sec-WebSocket-Key", KEY)
INVALID = {
    "no key": lines(VERSION),
    "an empty key": lines(VERSION, (b"Sec-WebSocket-Key", b"")),
    "a short key": lines(VERSION, (b"Sec-WebSocket-Key", KEY[1:])),
    "a long key": lines(VERSION, (b"Sec-WebSocket-Key", KEY + b"=")),
    "two keys": lines(VERSION, KEY_FIELD, KEY_FIELD),
    "two versions": lines(VERSION, VERSION, KEY_FIELD),
    "HTTP/1.0": handshake().replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a body": handshake(more=[(b"Content-Length", b"5")]) + b"hello",
    "a body to come": handshake(more=[(b"Content-Length", b"5")]),
    "chunks": handshake(more=[(b"Transfer-Encoding", b"chunked")]) + b"5\r\nhello\r\n0\r\n\r\n",
    "a hidden request": handshake(more=[(b"Content-Length", b"40")]) + b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("case", INVALID)
def test_what_is_no_handshake_is_not_sent(front: Front, case: str) -> None:
    """It is refused with a sentence, and the connection ends; upstream hears nothing of it."""
    with RawClient(front.process.port) as client:
        client.send(INVALID[case])
        got = client.answer()
        assert client.rest() == b""
    assert (got.status, json.loads(got.body)["error"]["code"]) == (400, "invalid_handshake")
    assert json.loads(got.body)["error"]["message"].startswith("A WebSocket handshake ")
    assert got.values(b"connection") == [b"close"]
    assert front.upstream.received == []


@pytest.mark.parametrize("version", [b"8", b"14", b"13, 8", b"", None])
def test_another_version(front: Front, version: bytes | None) -> None:
    """It is answered 426 with the one that is spoken (RFC 6455, 4.4)."""
    got = exchange(
        front.process.port, lines(KEY_FIELD, *([] if version is None else [(b"Sec-WebSocket-Version", version)]))
    )
    assert (got.status, got.values(b"sec-websocket-version")) == (426, [b"13"])
    assert got.values(b"upgrade") == [b"websocket"]
    assert front.upstream.received == []


def test_a_length_of_nothing_is_no_body(front: Front) -> None:
    """Some clients send `Content-Length: 0` with every request."""
    with front.opened(script(switching(), END), handshake(more=[(b"Content-Length", b"0")])):
        pass
    assert front.upstream.received[0].values(b"content-length") == [b"0"]


@pytest.mark.parametrize("method", [b"POST", b"HEAD", b"PUT"])
def test_only_a_get_becomes_a_websocket(front: Front, method: bytes) -> None:
    """With any other method an offer of WebSocket is answered 426, as it was before there were any."""
    with RawClient(front.process.port) as client:
        client.send(request(method, b"/v1/realtime", FIELDS))
        assert client.answer(bodiless=method == b"HEAD").status == 426
        assert client.rest() == b""
    assert front.upstream.received == []


def test_without_connection_upgrade_it_is_an_ordinary_request(front: Front) -> None:
    """An Upgrade field that Connection does not name is no offer (RFC 9110, 7.8)."""
    front.upstream.will_answer(answer(200, b"1"))
    fields = [field for field in FIELDS if field[0] != b"Connection"]
    assert exchange(front.process.port, request(b"GET", b"/v1/x", fields)).body == b"1"
    assert front.upstream.received[0].values(b"upgrade") == []


def test_behind_another_request(front: Front) -> None:
    """A handshake may follow an ordinary request on its connection: it waits for that answer, and so do its bytes."""
    gate = Gate()
    front.upstream.will_answer(script(gate, *answer(200, b"first")), script(switching(), echo, END))
    with RawClient(front.process.port) as client:
        client.send(request(b"GET", b"/v1/models") + handshake() + b"hello")
        gate.wait_reached()
        gate.open()
        assert client.answer().body == b"first"
        assert client.head().status == 101
        assert client.exactly(5) == b"hello"
        client.end()


def test_one_byte_at_a_time(front: Front) -> None:
    """However the handshake is cut into segments, it is the same handshake."""
    front.upstream.will_answer(script(switching(), echo, END))
    with RawClient(front.process.port) as client:
        for byte in handshake() + b"hello":
            client.send(bytes([byte]))
        assert client.head().status == 101
        assert client.exactly(5) == b"hello"
        client.end()


NO_TUNNEL = {
    "another protocol": head(101, [(b"Connection", b"Upgrade"), (b"Upgrade", b"h2c")]),
    "no protocol": head(101),
    "no HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
    "a status beyond": head(600),
}


@pytest.mark.parametrize("case", NO_TUNNEL)
def test_an_answer_that_is_none(front: Front, case: str) -> None:
    """Upstream switches to what was not asked for, or does not speak HTTP: 502."""
    front.upstream.will_answer(script(NO_TUNNEL[case], END))
    got = exchange(front.process.port, handshake())
    assert (got.status, json.loads(got.body)["error"]["code"]) == (502, "upstream_invalid_answer")


def test_upstream_leaves_without_an_answer(front: Front) -> None:
    """It may have seen the handshake: 502, and no second one is sent."""
    front.upstream.will_answer(script(END))
    got = exchange(front.process.port, handshake())
    assert (got.status, json.loads(got.body)["error"]["code"]) == (502, "upstream_disconnected")
    assert len(front.upstream.received) == 1


def test_no_connection() -> None:
    """502 as for HTTP, with the promise that nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with running("--upstream", f"http://127.0.0.1:{port}") as process:
        got = exchange(process.port, handshake())
        assert (got.status, json.loads(got.body)["error"]["code"]) == (502, "upstream_unreachable")
        assert got.values(b"x-should-retry") == [b"true"]


def test_a_client_that_leaves_before_the_answer(front: Front) -> None:
    """Upstream's connection is closed with the client's."""
    gate = Gate()
    front.upstream.will_answer(script(gate, switching(), echo))
    with RawClient(front.process.port) as client:
        client.send(handshake())
        gate.wait_reached()
    time.sleep(0.2)
    gate.open()
    front.upstream.received[0].wait_over()
    line = front.process.wait_logged(lambda line: line.get("path") == "/v1/realtime" and line.get("status") == 0)
    assert not line["complete"]


def test_round_in_circles(front: Front) -> None:
    """A handshake that has passed here before, or eight times elsewhere, is refused with 508."""
    front.upstream.will_answer(answer(404))
    exchange(front.process.port, handshake())
    [passed] = front.upstream.received[0].hops
    for via in (passed, b", ".join([b"1.1 unpinned-0123456789abcdef"] * 8)):
        got = exchange(front.process.port, handshake(more=[(b"Via", via)]))
        assert (got.status, json.loads(got.body)["error"]["code"]) == (508, "loop_detected")
    assert len(front.upstream.received) == 1


def test_nobody_leaves_the_base_path() -> None:
    """A handshake is held to the base path as every request."""
    with ScriptedUpstream() as upstream, running("--upstream", f"{upstream.url}/tenant/v1") as process:
        got = exchange(process.port, handshake(b"/v1/../x"))
        assert (got.status, json.loads(got.body)["error"]["code"]) == (400, "invalid_path")
        upstream.will_answer(answer(404))
        exchange(process.port, handshake(b"/v1/realtime?"))
        assert [got.target for got in upstream.received] == [b"/tenant/v1/realtime?"]
