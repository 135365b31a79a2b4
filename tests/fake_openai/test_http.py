"""The HTTP side: keys, paths, header fields, encodings, control routes, odd input."""

import gzip
import json
import zlib

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.fake_openai.items import KINDS
from tests.fake_openai.asking import Fake, Json, Start, refused

ASK: Json = {"model": "gpt-5.4", "input": "x"}


def test_a_key_is_needed(start: Start) -> None:
    """Without a key, and with one that is not accepted, the answer is 401."""
    fake = start(keys=frozenset({"sk-good"}))
    for headers in ({}, {"authorization": "Basic x"}):
        answer = fake.http.post(fake.url + "/v1/responses", json=ASK, headers=headers)
        assert refused(answer)[:2] == (401, answer.json()["error"]["message"])
        assert answer.json()["error"]["message"].startswith("You didn't provide an API key.")
    wrong = refused(fake.post("/v1/responses", ASK, key="sk-bad-key"))
    assert (wrong[0], wrong[3]) == (401, "invalid_api_key")
    assert "bad" not in wrong[1]
    assert fake.post("/v1/responses", ASK, key="sk-good").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/responses",
        "/responses",
        "/openai/v1/responses",
        "/openai/responses?api-version=2025-03-01-preview",
        "/openai/deployments/mine/responses?api-version=x",
    ],
)
def test_every_path_of_the_real_apis_is_served(shared: Fake, path: str) -> None:
    """Clients of OpenAI and of Azure find the API at their own paths."""
    assert shared.post(path, ASK).status_code == 200


def test_other_paths_and_methods_are_refused(shared: Fake) -> None:
    """What is not served says so in OpenAI's shape."""
    assert refused(shared.post("/v1/nothing", ASK)) == (404, "Invalid URL (POST /v1/nothing)", None, None)
    assert refused(shared.post("/v1/models", ASK))[:2] == (405, "Not allowed to POST on /v1/models.")


def test_answers_carry_the_real_fields(shared: Fake) -> None:
    """Answers and refusals have the header fields of the real API, each its own request id."""
    answers = [shared.post("/v1/responses", ASK), shared.post("/v1/responses", {}), shared.get("/v1/models")]
    for answer in answers:
        assert answer.headers["openai-organization"] == "org-demo"
        assert answer.headers["openai-version"] == "2020-10-01"
        assert answer.headers["openai-processing-ms"].isdecimal()
        assert answer.headers["x-ratelimit-remaining-requests"] == "9999"
    assert len({answer.headers["x-request-id"] for answer in answers}) == 3


def test_the_same_requests_have_the_same_answers(start: Start) -> None:
    """An instance of the same name gives the same answers to the same requests, byte for byte."""
    one, other = (start(instance="a") for _ in range(2))
    for _ in range(2):
        assert one.post("/v1/responses", ASK).content == other.post("/v1/responses", ASK).content
    assert one.create("x")["id"] != one.create("x")["id"]


@pytest.mark.parametrize(("encoding", "packed"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_bodies_are_read(shared: Fake, encoding: str, packed: type) -> None:
    """Bodies may be compressed; damaged ones, and unknown encodings, are refused."""
    fields = {"authorization": "Bearer sk-x", "content-encoding": encoding}
    raw = httpx2.Request("POST", "http://x", json=ASK).content
    path = shared.url + "/v1/responses"
    assert shared.http.post(path, content=packed(raw), headers=fields).status_code == 200
    assert refused(shared.http.post(path, content=packed(raw)[:-9], headers=fields))[0] == 400
    assert refused(shared.http.post(path, content=b"\xff", headers={**fields, "content-encoding": "zstd"}))[0] == 400


def test_answers_can_be_scripted(fake: Fake) -> None:
    """The next requests of a path get exactly the scripted answer, then the usual one."""
    body = {"error": {"message": "busy", "type": "server_error", "param": None, "code": None}}
    fake.post("/_fake/refuse", {"status": 503, "body": body, "times": 2, "headers": {"retry-after": "1"}})
    fake.post("/_fake/refuse", {"status": 200, "body": "event: x\n\n", "content_type": "text/event-stream"})
    fake.post("/_fake/refuse", {"status": 400, "path": "/compact"})
    for _ in range(2):
        answer = fake.post("/v1/responses", ASK)
        assert (answer.status_code, answer.json(), answer.headers["retry-after"]) == (503, body, "1")
    answer = fake.post("/v1/responses", ASK)
    assert (answer.text, answer.headers["content-type"]) == ("event: x\n\n", "text/event-stream")
    assert fake.post("/v1/responses", ASK).status_code == 200
    assert fake.post("/v1/responses/compact", ASK).status_code == 400
    assert fake.post("/v1/responses/compact", ASK).status_code == 200


@pytest.mark.parametrize("script", [{"status": "x"}, {"status": 99}, {}, [], {"status": 200, "headers": 7}])
def test_a_wrong_script_is_refused(shared: Fake, script: object) -> None:
    """A scripted answer that is none is refused and changes nothing."""
    assert shared.post("/_fake/refuse", script).status_code == 400
    assert shared.post("/v1/responses", ASK).status_code == 200


def test_what_was_received_is_shown_without_secrets(fake: Fake) -> None:
    """Requests are shown with their bodies and the names of their fields, never with a key; a reset forgets all."""
    parent = fake.create("x")["id"]
    fake.http.post(fake.url + "/v1/responses?beta=true", content=b"{", headers={"authorization": "Bearer sk-secret"})
    shown = fake.http.get(fake.url + "/_fake/requests")
    first, second = shown.json()["requests"]
    assert (first["method"], first["path"], first["body"]) == ("POST", "/v1/responses", ASK)
    assert (second["query"], second["length"], second["body"]) == ("beta=true", 1, None)
    assert "authorization" in second["headers"]
    assert "secret" not in shown.text
    fake.post("/_fake/reset", {})
    assert fake.http.get(fake.url + "/_fake/requests").json() == {"requests": []}
    assert fake.refusal("x", previous_response_id=parent)[3] == "previous_response_not_found"


def test_anything_can_expire(fake: Fake) -> None:
    """Items, responses and conversations can be made unknown."""
    made = fake.create("x")
    fake.post("/_fake/expire", {"id": made["id"]})
    fake.post("/_fake/expire", {"id": made["output"][0]["id"]})
    assert fake.refusal("y", previous_response_id=made["id"])[3] == "previous_response_not_found"
    assert fake.refusal([{"id": made["output"][0]["id"]}])[0] == 404


def test_large_inputs_are_answered(shared: Fake) -> None:
    """Many thousand items are no trouble, and a large body is not kept for show."""
    pair = [
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "x" * 400},
    ]
    assert shared.create(pair * 10_000)["usage"]["input_tokens"] > 10_000
    assert shared.http.get(shared.url + "/_fake/requests").json()["requests"][-1]["body"] is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = [
    "id",
    "role",
    "content",
    "summary",
    "call_id",
    "output",
    "arguments",
    "name",
    "tools",
    "status",
    "action",
    "caller",
]
IDS = st.sampled_from(["rs_1", "fc_1", "c", "msg_1", "mcpr_1"])
ITEM = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(sorted(KINDS)) | JSON,
        **dict.fromkeys(NAMES, IDS | JSON),
        "encrypted_content": JSON,
        "container_id": IDS,
        "approval_request_id": IDS,
    },
)
BODY = st.fixed_dictionaries(
    {"model": st.just("gpt-5.4"), "input": st.lists(ITEM, max_size=4) | JSON},
    optional={
        "tools": st.lists(st.dictionaries(st.sampled_from(["type", "name", "tools", "parameters"]), JSON), max_size=2),
        "tool_choice": JSON,
        "text": st.dictionaries(st.sampled_from(["format", "verbosity"]), JSON),
        "metadata": JSON,
        "reasoning": JSON,
        "stream": st.booleans(),
        "conversation": JSON,
        "prompt": JSON,
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=BODY)
def test_odd_input_is_never_a_server_error(shared: Fake, body: Json) -> None:
    """Whatever is sent, the answer is one, or a refusal in OpenAI's shape."""
    raw = json.dumps(body).encode()
    for path in ("/v1/responses", "/v1/responses/input_tokens", "/v1/responses/compact"):
        answer = shared.http.post(shared.url + path, content=raw, headers={"authorization": "Bearer sk-x"})
        assert answer.status_code == 200 or refused(answer)
