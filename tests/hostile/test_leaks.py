"""What one client brings stays with him: nothing of it in any output, nothing of it with another client."""

import gzip
import json
import re
import signal
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.handshakes import handshake, switching
from tests.support.process import COMMAND, Process, running
from tests.support.raw_client import RawClient, exchange, request
from tests.support.scripts import (
    END,
    RESET,
    Script,
    answer,
    chunk,
    cut_after,
    event_stream,
    head,
    json_answer,
    refusal,
    script,
)
from tests.support.upstream_server import ScriptedUpstream

MARK = "s3cr3t"
SECRET = MARK.encode()
# Standard output as well: whoever runs the process keeps both.
BOTH_OUTPUTS = ("sh", "-c", 'exec "$@" 1>&2', "sh", *COMMAND)
ADMIN = (b"/livez", b"/readyz", b"/metrics", b"/", b"/recent", b"/recent.json", b"/info", b"/nothing?" + SECRET)
FIELDS = [
    (b"Authorization", b"Bearer sk-" + SECRET),
    (b"Api-Key", SECRET),
    (b"Cookie", b"session=" + SECRET),
    (b"OpenAI-Organization", b"org-" + SECRET),
    (b"Idempotency-Key", SECRET),
    (b"User-Agent", SECRET),
    (b"X-Request-Id", SECRET),
    (b"X-Unpinned-Request-Id", b"req-" + SECRET),
    (b"X-" + SECRET, b"1"),
]
KEYED = [*FIELDS, (b"Sec-WebSocket-Protocol", b"openai-insecure-api-key." + SECRET)]
HISTORY: list[dict[str, Any]] = [
    {"role": "user", "content": [{"type": "input_text", "text": MARK}, {"type": "input_file", "filename": MARK}]},
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": MARK},
    {"type": "function_call", "id": "fc_1", "call_id": MARK, "name": MARK, "arguments": MARK},
    {"type": "function_call_output", "call_id": "call_" + MARK, "output": MARK},
    {"type": "item_reference", "id": "rs_9"},
    {"type": MARK, "id": "x_1", MARK: MARK},
    {"type": "image_generation_call", "id": "ig_1", "result": MARK},
    {"role": "user", "content": MARK},
]
CONVERSATION = {"model": MARK, "previous_response_id": "resp_1", "metadata": {MARK: MARK}, "input": HISTORY}
BODY = json.dumps(CONVERSATION).encode()
ANSWERED = [(b"Set-Cookie", b"a=" + SECRET), (b"X-Request-Id", b"req_" + SECRET)]
NOT_FOUND = refusal(404, {"message": f"Item with id 'rs_1' not found. {MARK}", "param": "input"}, ANSWERED)


def asked(body: bytes = BODY, *fields: tuple[bytes, bytes]) -> bytes:
    """A question, every part of which is secret."""
    return request(b"POST", b"/" + SECRET + b"/v1/responses?key=" + SECRET, [*FIELDS, *fields], body)


TRAFFIC: list[tuple[bytes, Sequence[Script]]] = [
    (asked(), [json_answer({"output": MARK}, fields=ANSWERED)]),
    (asked(), [event_stream([{"type": "x", "delta": MARK}], ANSWERED)]),
    (asked(), [NOT_FOUND, NOT_FOUND, NOT_FOUND, NOT_FOUND]),
    (asked(), [NOT_FOUND, answer(200, SECRET, ANSWERED)]),
    (asked(), [answer(500, SECRET, ANSWERED)]),
    (asked(), [script(SECRET * 10 + b"\r\n\r\n", END)]),
    (asked(), [script(b"HTTP/1.1 200 " + SECRET + b"\r\nX: " + SECRET + b"\x01\r\n\r\n", END)]),
    (asked(), [script(END)]),
    (asked(), [script(RESET)]),
    (asked(), [cut_after(answer(200, SECRET))]),
    (asked(), [script(head(200, [(b"Transfer-Encoding", b"chunked")]), chunk(SECRET), b"zz\r\n", END)]),
    (asked(b"no json " + SECRET), [answer(200)]),
    (asked(b'{"input":[{"id":"rs_1","' + SECRET + b'":NaN}]}'), [answer(200)]),
    (asked(gzip.compress(BODY), (b"Content-Encoding", b"gzip")), [answer(200)]),
    (asked(SECRET, (b"Content-Encoding", b"gzip")), []),
    (asked(BODY, (b"Content-Encoding", SECRET)), [answer(200)]),
    (asked(BODY + b" " * 100_000), []),
    (asked(BODY, (b"Host", SECRET)), []),
    (asked(BODY, (b"Transfer-Encoding", SECRET)), []),
    (asked(BODY, (b"Connection", b"upgrade"), (b"Upgrade", b"websocket")), []),
    (handshake(b"/v1/realtime?key=" + SECRET, KEYED) + SECRET, [script(switching([(b"X", SECRET)]) + SECRET, END)]),
    (handshake(b"/v1/realtime?key=" + SECRET, KEYED) + SECRET, [answer(401, SECRET)]),
    (handshake(b"/v1/realtime", [*KEYED, (b"Sec-WebSocket-Key", SECRET)]), []),
    (request(b"GET", b"/v1/files/file-" + SECRET + b"/" + SECRET * 20, FIELDS), [answer(200, SECRET)]),
    (request(b"GET", b"http://" + SECRET + b":" + SECRET + b"@evil.test/" + SECRET, FIELDS), [answer(200)]),
    (SECRET + b"\r\n\r\n", []),
    (b"GET /" + SECRET + b" HTTP/1.1\r\n" + SECRET + b"\r\n\r\n", []),
    (b"GET /" + SECRET + b" " + SECRET + b"\r\n\r\n", []),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + SECRET * 20_000 + b"\r\n\r\n", []),
]


def drive(process: Process, upstream: ScriptedUpstream) -> None:
    """All the traffic, one after the other, and clients that leave."""
    for raw, scripts in TRAFFIC:
        upstream.will_answer(*scripts)
        with RawClient(process.port) as client:
            client.send(raw)
            client.head()
    with RawClient(process.port) as client:
        client.send(asked()[:-5])
    with RawClient(process.port) as client:
        client.send(asked()[:100])


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("mode", ["strip", "recover"])
def test_no_secret_in_any_output(upstream: ScriptedUpstream, form: str, mode: str) -> None:
    """Whatever comes, at `debug`: no key, text, field, name, path or query of it in the log, in health or in faults."""
    flags = ("--log-level", "debug", "--log-format", form, "--max-body", "100000", "--mode", mode)
    with running("--upstream", upstream.url, *flags, command=BOTH_OUTPUTS) as process:
        drive(process, upstream)
        told = [exchange(process.admin_port, request(b"GET", path)) for path in ADMIN]
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    assert len(process.log) > len(TRAFFIC)
    assert MARK not in process.text
    assert not [got.fields for got in told if SECRET in got.head + got.body]


ODD = "a\r\nb\x1b[31m\x00\x85\u2028\u202e"
PATHS = (b"/v1/%0d%0aGET%20/x", b"/v1/%1b[31m/x", b"/v1/a;b=%0a", b"/" + b"v" * 10_000, b"/%%%", b"/{id}/[req-1]")


@pytest.mark.parametrize("form", ["json", "text"])
def test_nobody_writes_lines_of_the_log(upstream: ScriptedUpstream, form: str) -> None:
    """Ids, paths and request ids with line ends and escape sequences break no line in two, and reach no terminal."""
    item = {"type": "message", "role": "assistant", "id": "msg_" + ODD, "content": "x"}
    conversation = {
        "previous_response_id": "resp_" + ODD,
        "input": [{"role": "user", "content": "x"}, item, item, item],
    }
    bodies = [json.dumps(conversation, ensure_ascii=ascii_).encode() for ascii_ in (True, False)]
    upstream.will_always_answer(refusal(404, f"Item with id 'msg_{ODD}' not found.", [(b"x-request-id", b"\x80\x85")]))
    flags = ("--log-level", "debug", "--log-format", form, "--mode", "recover")
    with running("--upstream", upstream.url, *flags, command=BOTH_OUTPUTS) as process:
        for path in PATHS:
            exchange(
                process.port,
                request(b"BREW" if b"%1b" in path else b"PROPFIND", path, [(b"X-Request-Id", b"\x85\xa0")]),
            )
        for body in bodies:
            got = exchange(process.port, request(b"POST", b"/v1/responses", [], body))
            assert all(re.fullmatch(rb"[ -~]*", value) for name, value in got.fields if name.startswith(b"x-unpinned"))
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    shown = [str(part) for line in process.log for part in (line.values() if isinstance(line, dict) else [line])]
    assert not [part for part in shown if not re.fullmatch(r"[ -~]*", part)]
    assert len(process.log) > len(PATHS)
    began = [line["time"] if isinstance(line, dict) else line for line in process.log]
    assert not [line for line in began if not re.match(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line)]


def test_cookies_are_not_kept(upstream: ScriptedUpstream) -> None:
    """A cookie that upstream gives one client is never sent for another, on the same connection to upstream."""
    upstream.will_answer(answer(200, b"", [(b"Set-Cookie", b"a=1; Path=/"), (b"ETag", b"x")]), answer(200), answer(200))
    with running("--upstream", upstream.url) as process:
        for _ in range(3):
            assert exchange(process.port, request(b"GET", b"/v1/models")).status == 200
    assert {seen.connection for seen in upstream.received} == {1}
    assert {name for seen in upstream.received for name, _ in seen.fields} == {b"host"}


def test_left_overs_are_nobodys(upstream: ScriptedUpstream) -> None:
    """What one client began, or left behind his request, is no part of another's; nor is what upstream added."""
    added = answer(200, b"mine")
    added[-1] = bytes(added[-1]) + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhis"  # type: ignore[arg-type]
    upstream.will_answer(added)
    upstream.will_always_answer(answer(200, b"mine"))
    question = request(b"POST", b"/v1/files", [], b"whole")
    with running("--upstream", upstream.url) as process:
        assert exchange(process.port, question).body == b"mine"
        with RawClient(process.port) as client:
            client.send(question[:-2])
            upstream.wait_received(2)
        for _ in range(5):
            assert exchange(process.port, question).body == b"mine"
    assert [seen.body for seen in upstream.received if seen.whole] == [b"whole"] * 6


def test_what_one_credential_teaches_is_not_for_another(upstream: ScriptedUpstream) -> None:
    """That an id was refused to one key changes the next request of that key, and nothing for any other key."""
    history = [
        {"role": "user", "content": "x"},
        {"type": "message", "id": "msg_1", "role": "assistant", "content": "y"},
    ]
    body = json.dumps({"input": [*history, {"role": "user", "content": "z"}]}).encode()

    def ask(process: Process, key: bytes, *scripts: Script) -> list[bytes]:
        before = len(upstream.received)
        upstream.will_answer(*scripts)
        asked = request(b"POST", b"/v1/responses", [(b"Authorization", b"Bearer " + key)], body)
        assert exchange(process.port, asked).status == 200
        return [seen.body for seen in upstream.received[before:]]

    refused = refusal(404, "Item with id 'msg_1' not found.")
    with running("--upstream", upstream.url, "--mode", "recover") as process:
        came, portable = ask(process, b"one", refused, answer(200))
        assert came == body != portable
        assert ask(process, b"one", answer(200)) == [portable]
        assert ask(process, b"other", answer(200)) == [body]
        assert ask(process, b"other", refused, answer(200)) == [body, portable]
