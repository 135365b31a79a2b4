"""What `explain` takes a request from, and what it says is none."""

import gzip
import json
from typing import Any

import pytest

from proxy.commands.explain.intake import requests_in
from proxy.commands.explain.taken import NoRequestError
from proxy.commands.explain.verdict import Refusal

SAID = 'it\'s "so" — $HOME'
BODY = {"model": "gpt-5", "input": [{"role": "user", "content": SAID}], "previous_response_id": "resp_1"}
TEXT = json.dumps(BODY)
RAW = TEXT.encode()
REFUSED = {"error": {"message": "Previous response with id 'resp_1' not found."}}
URL = "https://api.openai.com/v1/responses?api-key=secret"
QUOTED = TEXT.replace("'", "'\\''")
ANSI = TEXT.replace("\\", "\\\\").replace("'", "\\'").replace("$", "\\u0024")
REPR = (
    "{'model': 'gpt-5', 'input': [{'role': 'user', 'content': 'hi'}, ResponseReasoningItem(id='rs_1', summary=[], "
    "type='reasoning', content=None, status=None), ResponseOutputMessage(id='msg_1', content=[ResponseOutputText("
    "annotations=[], text='x', type='output_text')], role='assistant', type='message')], 'store': True}"
)


def har(*entries: Any) -> bytes:
    """A HAR with these entries: method, URL, body, status and text of the answer."""
    return json.dumps(
        {
            "log": {
                "version": "1.2",
                "entries": [
                    {
                        "request": {"method": method, "url": url, "postData": {"text": body}},
                        "response": {"status": status, "content": {"text": said}},
                    }
                    for method, url, body, status, said in entries
                ],
            }
        }
    ).encode()


def trace(text: str) -> bytes:
    """What `curl --trace-ascii` writes of a request with this body."""
    lines = [
        "== Info: Connected",
        "=> Send header, 90 bytes (0x5a)",
        "0000: POST /v1/responses HTTP/1.1",
        "001d: Host: x",
        "0026: ",
        f"=> Send data, {len(text)} bytes",
        *(f"{at:04x}: {text[at : at + 64]}" for at in range(0, len(text), 64)),
        "<= Recv header, 24 bytes",
        "0000: HTTP/1.1 404",
    ]
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    ("raw", "what", "route"),
    [
        (RAW, "", None),
        (b"\xef\xbb\xbf" + RAW, "", None),
        (gzip.compress(RAW), "a body in gzip", None),
        (har(("POST", URL, TEXT, 200, "{}")), "entry 1 of a HAR, POST /v1/responses", "responses"),
        (har(("GET", URL, "", 200, ""), ("POST", URL.replace("?", "/compact?"), TEXT, 200, "")),
         "entry 2 of a HAR, POST /v1/responses/compact", "compact"),
        (f"curl {URL} -H 'Authorization: Bearer sk-secret' \\\n  -d '{QUOTED}'".encode(),
         "a curl command, POST /v1/responses", "responses"),
        (f"$ curl --json '{QUOTED}' {URL}\n* Connected\n> POST /v1/responses HTTP/2".encode(),
         "a curl command, POST /v1/responses", "responses"),
        (f"curl --data-raw='{QUOTED}' {URL}".encode(), "a curl command, POST /v1/responses", "responses"),
        (f"curl {URL} --data-raw $'{ANSI}'".encode(), "a curl command, POST /v1/responses", "responses"),
        (trace(json.dumps(BODY)), "a trace of curl, POST /v1/responses", "responses"),
        (json.dumps({"custom_id": "1", "method": "POST", "url": "/v1/responses", "body": BODY}).encode(),
         "`body` of it, POST /v1/responses", "responses"),
        (f"DEBUG Request options: {{'method': 'post', 'url': '/responses', 'json_data': {BODY!r}}}\nDEBUG x".encode(),
         "a debug log of an SDK, POST /responses", "responses"),
        (repr(BODY).encode(), "a Python repr", None),
        (f"kwargs = {BODY!r}".encode(), "a Python repr", None),
    ],
)  # fmt: skip
def test_what_is_taken(raw: bytes, what: str, route: str | None) -> None:
    """The request is found, with its route where the capture has it, and nothing of its address or fields is shown."""
    [taken] = requests_in(raw)
    found = json.loads(taken.body.decode("utf-8-sig"))
    assert found == BODY
    assert taken.what == what
    assert taken.route == route
    assert "secret" not in taken.what


def test_a_body_is_taken_as_it_is() -> None:
    """A JSON body is explained byte for byte, whatever its white space and its escapes."""
    odd = b' {"input" : "\\ud800", "input":1e400}\n'
    assert requests_in(odd)[0].body == odd
    deep = b'{"input":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert requests_in(deep)[0].body == deep


@pytest.mark.parametrize("lines", [1, 2])
def test_half_a_surrogate_pair(lines: int) -> None:
    """Text that no UTF-8 has is taken from a capture as it is from a body."""
    line = b'{"body":{"input":"\\ud800"}}\n'
    taken = requests_in(line * lines)
    assert [json.loads(one.body) for one in taken] == [{"input": "\ud800"}] * lines


def test_objects_of_an_sdk() -> None:
    """In a Python repr the SDK's own objects are the items that they stand for."""
    [taken] = requests_in(REPR.encode())
    items = json.loads(taken.body)["input"]
    assert items[1] == {"id": "rs_1", "summary": [], "type": "reasoning"}
    assert items[2]["content"] == [{"annotations": [], "text": "x", "type": "output_text"}]


def test_a_list_of_items() -> None:
    """A list of items is the input of a request."""
    [taken] = requests_in(json.dumps(BODY["input"]).encode())
    assert json.loads(taken.body) == {"input": BODY["input"]}
    assert taken.what == "it, as the input of a request"


def test_several() -> None:
    """Of a HAR and of JSON lines each request is taken, in order; what else is in it is left out."""
    other = json.dumps({"model": "m", "input": "b"})
    lines = f"{TEXT}\n\n{other}\n".encode()
    assert [json.loads(one.body)["model"] for one in requests_in(lines)] == ["gpt-5", "m"]
    chat = ("POST", "https://api.openai.com/v1/chat/completions", '{"messages":[]}', 200, "")
    found = requests_in(har(("POST", URL, TEXT, 200, ""), chat, ("POST", URL, other, 404, json.dumps(REFUSED))))
    assert [json.loads(one.body)["model"] for one in found] == ["gpt-5", "m"]
    assert [one.refusal for one in found] == [None, Refusal(404, json.dumps(REFUSED).encode())]


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b'{"model":"m","messages":[]}', "a request of Chat Completions"),
        (b'{"choices":[]}', "an answer of Chat Completions"),
        (b'{"object":"response","id":"resp_1","output":[],"previous_response_id":null}', "it is a response"),
        (json.dumps(REFUSED).encode(), "give it with --after-refusal"),
        (b'{"detail":"x"}', "give it with --after-refusal"),
        (har(), "a HAR without a request"),
        (har(("POST", "https://api.openai.com/v1/chat/completions", TEXT, 200, "")), "a HAR without a request"),
        (b"{}", "it has none of `input`"),
        (b"[]", "it has none of `input`"),
        (b"5", "neither JSON nor a capture"),
        (b'{"a":1}\n{"b":2}', "it has none of `input`"),
        (b"> POST /v1/responses HTTP/1.1\n> Host: x\n>\n< HTTP/1.1 404", "a capture of curl -v"),
        (b"curl https://api.openai.com/v1/models", "a curl command without a JSON body"),
        (b"curl https://api.openai.com/v1/chat/completions -d '{\"input\":1}'", "a curl command without a JSON body"),
        (b"curl https://api.openai.com/v1/responses -d @body.json", "in another file"),
        (b"curl 'https://api.openai.com/v1/responses -d", "a curl command without a JSON body"),
        (trace("nope"), "it has none of `input`"),
        (b"DEBUG Sending HTTP Request: POST", "a log of an SDK that writes no bodies down"),
        (b"Request options: {'method': 'get', 'url': '/models'}", "it has none of `input`"),
        (b"\x1f\x8bnope", "a gzip file that is broken"),
        (b"# Notes", "neither JSON nor a capture"),
        (b'{"log":{"entries":["x",{"request":"x"},{"request":{"method":"POST","postData":"x"}}]}}', "a HAR without"),
    ],
)
def test_what_is_none(raw: bytes, sentence: str) -> None:
    """What is no request of the Responses API is said to be none, and what it is."""
    with pytest.raises(NoRequestError) as error:
        requests_in(raw)
    assert sentence in str(error.value)
