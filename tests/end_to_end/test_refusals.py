"""Each refusal that is known of, end to end: what is recovered, what the next attempt sends, what is relayed.

Statuses, codes and sentences as reported until 2026-11 by the issues named; upstream is scripted.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from proxy.responses.policy import Policy
from tests.support.product import unpinned
from tests.support.raw_client import exchange, request
from tests.support.scripts import answer, json_answer, refusal
from tests.support.upstream_server import ScriptedUpstream

Json = dict[str, Any]
USER: Json = {"role": "user", "content": "hello"}
NEXT: Json = {"role": "user", "content": "and then?"}
SEALED: Json = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [],
    "encrypted_content": "gAAAsealed0ng==",
    "status": "completed",
}
CALL: Json = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{}"}
OUTPUT: Json = {"type": "function_call_output", "call_id": "call_1", "output": "x"}
SAID: Json = {"type": "message", "role": "assistant", "id": "msg_1", "content": [{"type": "output_text", "text": "hi"}]}
CODE: Json = {
    "type": "code_interpreter_call",
    "id": "ci_1",
    "code": "print(2)",
    "container_id": "cntr_1",
    "outputs": None,
    "status": "completed",
}
IMAGE: Json = {"type": "image_generation_call", "id": "ig_1", "result": "iVBORw0KGgoAAA", "status": "completed"}
COMPACTION: Json = {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAAcompact"}
NOTHING: Json = {}
WHOLE: list[Json] = [USER, SEALED, CALL, OUTPUT, SAID, NEXT]


def no_ids(sent: Json) -> bool:
    """No item kept its id."""
    return not any("id" in item for item in sent["input"])


def no_blobs(sent: Json) -> bool:
    """No item kept its blob."""
    return not any("encrypted_content" in item for item in sent["input"])


def no_previous(sent: Json) -> bool:
    """The previous response is not named any more."""
    return "previous_response_id" not in sent


class Case(NamedTuple):
    """A refusal, the request that meets it, and what holds of the next attempt."""

    name: str
    status: int
    error: Json | str
    holds: Callable[[Json], bool]
    input: list[Json] = WHOLE
    extra: Json = NOTHING
    fidelity: str = "lossless"


STORE = (
    " Items are not persisted when `store` is set to false. Try again with `store` set to true, or remove this item."
)
UNVERIFIED = "The encrypted content for item rs_1 could not be verified. Reason: Encrypted content"
MISSING = {"message": "Item with id 'rs_1' not found.", "param": "input"}

RECOVERED = [
    Case(
        "pi#3206: store is false", 404, {"message": "Item with id 'rs_1' not found." + STORE, "param": "input"}, no_ids
    ),
    Case("openai-agents-python#722", 404, MISSING, no_ids),
    Case("openclaw#21782: Azure says 400", 400, MISSING, no_ids),
    Case("CLIProxyAPI: plain text", 404, "Item with id 'rs_1' not found.", no_ids),
    Case(
        "rikkahub#1198: an image",
        404,
        {"message": "Item with id 'ig_1' not found." + STORE, "param": "input"},
        lambda sent: sent["input"][1]["content"][0]["type"] == "input_image",
        [USER, IMAGE, SAID, NEXT],
        fidelity="lossy",
    ),
    *(
        Case(
            name,
            status,
            {
                "message": "Previous response with id 'resp_1' not found.",
                "param": "previous_response_id",
                "code": code,
            },
            no_previous,
            extra={"previous_response_id": "resp_1"},
        )
        for name, status, code in (
            ("semantic-kernel#13128", 400, "previous_response_not_found"),
            ("vllm: 404", 404, None),
            ("some relays: 409", 409, "previous_response_not_found"),
        )
    ),
    Case(
        "openclaw#138954: zero data retention",
        400,
        {
            "message": "Previous response cannot be used for this organization due to Zero Data Retention.",
            "param": "previous_response_id",
            "code": "unsupported_parameter",
        },
        no_previous,
        extra={"previous_response_id": "resp_1"},
    ),
    Case(
        "kaapi-backend#317: another gateway's id",
        400,
        {
            "message": "Invalid 'previous_response_id': 'gen-123'. Expected an ID that begins with 'resp'.",
            "param": "previous_response_id",
            "code": "invalid_value",
        },
        no_previous,
        extra={"previous_response_id": "gen-123"},
    ),
    Case(
        "pydantic-ai#7461: an expired container",
        400,
        {"message": "Expected container_id: cntr_1"},
        lambda sent: "print(2)" in sent["input"][1]["content"],
        [USER, CODE, SAID, NEXT],
        fidelity="lossy",
    ),
    Case(
        "vscode#320060: an output without its call",
        400,
        {"message": "No tool call found for function call output with call_id call_9.", "param": "input"},
        lambda sent: sent["input"][1]["role"] == "assistant" and "call_9" in sent["input"][1]["content"],
        [USER, {**OUTPUT, "call_id": "call_9"}, NEXT],
        fidelity="lossy",
    ),
    Case(
        "tjardoo/openai-client#124: a call without its output",
        400,
        {"message": "No tool output found for function call call_1.", "param": "input"},
        lambda sent: [item.get("type") for item in sent["input"]][1:3] == ["function_call", "function_call_output"],
        [USER, CALL, NEXT],
        fidelity="lossy",
    ),
    Case(
        "mastra#8738: half a turn",
        400,
        {
            "message": "Item 'fc_1' of type 'function_call' was provided without its required 'reasoning' item: 'rs'.",
            "param": "input",
        },
        no_ids,
        [USER, CALL, OUTPUT, SAID, NEXT],
    ),
    Case(
        "continue#8933: reasoning without what follows",
        400,
        {
            "message": "Item 'rs_1' of type 'reasoning' was provided without its required following item.",
            "param": "input",
        },
        lambda sent: "reasoning" not in [item.get("type") for item in sent["input"]],
        [USER, SEALED, NEXT],
        fidelity="lossy",
    ),
    Case(
        "continue#10200: an id twice",
        400,
        {"message": "Duplicate item found with id msg_1. Remove duplicate items from your input and try again."},
        lambda sent: len(sent["input"]) == 3,
        [USER, SAID, SAID, NEXT],
        fidelity="lossy",
    ),
    *(
        Case(name, 400, {"message": message, "code": code}, no_blobs, fidelity="lossy")
        for name, message, code in (
            ("codex#8128", "The encrypted content gAAA...ng== could not be verified.", "invalid_encrypted_content"),
            (
                "litellm: another organisation",
                f"{UNVERIFIED} organization_id did not match the target organization.",
                "invalid_encrypted_content",
            ),
            (
                "openclaw#71333: another id, another code",
                f"{UNVERIFIED} item_id did not match the target item id.",
                "invalid_request_error",
            ),
            ("opencode#48942", "Conflicting authenticated continuation identities.", "invalid_value"),
        )
    ),
    Case(
        "opencodex PR#2228: a compaction of another backend",
        400,
        {"message": "Could not decode the compaction blob. Ensure it is unmodified from the compact response."},
        lambda sent: sent["input"] == [USER, NEXT],
        [USER, COMPACTION, NEXT],
        fidelity="lossy",
    ),
    Case(
        "sub2api#3785: an id of the wrong kind",
        400,
        {
            "message": "Invalid 'input[1].id': 'item_A9v0S'. Expected an ID that begins with 'msg'.",
            "param": "input[1].id",
            "code": "invalid_value",
        },
        no_ids,
        [USER, {**SAID, "id": "item_A9v0S"}, NEXT],
    ),
    Case(
        "haskell-agent PR#689: an unknown field",
        400,
        {"message": "Unknown parameter: 'input[1].status'.", "param": "input[1].status", "code": "unknown_parameter"},
        lambda sent: "status" not in sent["input"][1],
    ),
    Case(
        "oh-my-pi PR#6513: the newer wording",
        400,
        {"message": "[ObjectParam] [input[1].status] [unknown_parameter] Unknown parameter: 'input[1].status'."},
        lambda sent: "status" not in sent["input"][1],
    ),
    Case(
        "Operit#797: reasoning without a summary",
        400,
        {
            "message": "Missing required parameter: 'input[1].summary'.",
            "param": "input[1].summary",
            "code": "missing_required_parameter",
        },
        lambda sent: sent["input"][1]["summary"] == [],
        [USER, {key: value for key, value in SEALED.items() if key != "summary"}, SAID, NEXT],
    ),
    Case(
        "an envelope's field at the top level",
        400,
        {"message": "Unknown parameter: 'output_text'.", "param": "output_text", "code": "unknown_parameter"},
        lambda sent: "output_text" not in sent,
        extra={"output_text": "hi"},
    ),
]


def ask(port: int, items: list[Json], extra: Json) -> Any:
    """POST a request with `items`, and return the raw answer."""
    body = json.dumps({"model": "gpt-5", "input": items, **extra}).encode()
    return exchange(port, request(b"POST", b"/v1/responses", [], body))


def refused(case: Case) -> Any:
    """The script that refuses as `case` says: OpenAI's shape, or plain text."""
    if isinstance(case.error, str):
        return answer(case.status, case.error.encode(), [(b"Content-Type", b"text/plain")])
    return refusal(case.status, case.error)


@pytest.mark.parametrize("case", RECOVERED, ids=[case.name for case in RECOVERED])
def test_it_is_recovered(upstream: ScriptedUpstream, case: Case) -> None:
    """In `recover` mode the request goes as it came, is refused, and is answered after one repair."""
    upstream.will_answer(refused(case), json_answer({"id": "resp_2"}))
    with unpinned(upstream.url, Policy(mode="recover")) as port:
        received = ask(port, case.input, case.extra)
    assert received.status == 200
    assert upstream.received[0].json() == {"model": "gpt-5", "input": case.input, **case.extra}
    assert case.holds(upstream.received[1].json())
    assert received.values(b"x-unpinned-action") == [b"recovered"]
    assert received.values(b"x-unpinned-fidelity") == [case.fidelity.encode()]


PARTS = "Invalid value: 'input_text'. Supported values are: 'output_text' and 'refusal'."
KINDS = "Invalid value: 'x'. Supported values are: 'message'."
ONE_OF = "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be provided."
ITEM = "Item with id 'rs_1' not found."

# Name, status, message, code, param.
RELAYED = [
    ("agent-framework: a conversation", 404, "Conversation with id 'conv_1' not found.", None, None),
    ("a prompt", 404, "Prompt with id 'pmpt_1' not found.", None, None),
    ("a model", 400, "The requested model '' does not exist.", "model_not_found", "model"),
    ("azure-openai-ha#92: the URL", 404, "Invalid URL (POST /v1/responses)", None, None),
    ("both histories", 400, "Mutually exclusive parameters: ''.", "mutually_exclusive_parameters", None),
    ("no input", 400, ONE_OF, "missing_required_parameter", None),
    ("an unknown kind", 400, KINDS, "invalid_value", "input[0]"),
    ("a wrong part", 400, PARTS, "invalid_value", "input[0].content[0]"),
    ("a tool choice", 400, "Tool choice 'f' not found in 'tools' parameter.", None, None),
    ("an unknown parameter", 400, "Unknown parameter: 'zzz'.", "unknown_parameter", "zzz"),
    ("a rate limit", 429, f"Rate limit reached. {ITEM}", "rate_limit_exceeded", None),
    ("a key", 401, f"Incorrect API key provided. {ITEM}", "invalid_api_key", None),
    ("community 1375928: a 500", 500, None, None, None),
]


@pytest.mark.parametrize(("_", "status", "message", "code", "param"), RELAYED, ids=[row[0] for row in RELAYED])
def test_it_is_relayed(
    upstream: ScriptedUpstream, _: str, status: int, message: str | None, code: str | None, param: str | None
) -> None:
    """What is not ours is relayed byte for byte after one attempt, in both modes."""
    script = refusal(status, {"message": message, "code": code, "param": param})
    upstream.will_answer(script, script)
    for mode in ("strip", "recover"):
        with unpinned(upstream.url, Policy(mode=mode)) as port:
            received = ask(port, WHOLE, {})
        assert (received.status, received.body) == (status, json_body(script))
    assert len(upstream.received) == 2


BOUND = {
    "file": "No such File object: file-1",
    "vector_store": "Vector store with id 'vs_1' not found.",
    "container": "Container with id 'cntr_1' not found.",
    "prompt": "Prompt with id 'pmpt_1' not found.",
    "batch": "No batch found with id 'batch_1'.",
    "skill": "Skill with id 'skill_1' not found.",
}


def test_what_cannot_travel_is_named(upstream: ScriptedUpstream) -> None:
    """A refusal of what lives in one project is relayed byte for byte, with a field that says what it is."""
    scripts = {thing: refusal(404, {"message": message}) for thing, message in BOUND.items()}
    upstream.will_answer(*scripts.values(), refusal(404, {"message": "Conversation with id 'conv_1' not found."}))
    with unpinned(upstream.url) as port:
        for thing, script in scripts.items():
            received = ask(port, [USER], {})
            assert (received.status, received.body) == (404, json_body(script))
            assert received.values(b"x-unpinned-hint") == [f"bound={thing}".encode()]
        assert ask(port, [USER], {}).values(b"x-unpinned-hint") == []


def test_what_cannot_travel_is_named_in_a_stream(upstream: ScriptedUpstream) -> None:
    """The same where a relay refuses inside a stream: its events are relayed as they are."""
    error = {"type": "error", "error": {"code": 404, "message": BOUND["vector_store"]}}
    event = f"event: error\ndata: {json.dumps(error)}\n\n".encode()
    upstream.will_answer(answer(200, event, [(b"Content-Type", b"text/event-stream")]))
    with unpinned(upstream.url) as port:
        received = ask(port, [USER], {"stream": True})
    assert (received.status, received.body) == (200, event)
    assert received.values(b"x-unpinned-hint") == [b"bound=vector_store"]
    assert received.values(b"x-unpinned-attempts") == [b"1"]


def json_body(script: Any) -> bytes:
    """The body of a one-piece answer."""
    body: bytes = script[-1].partition(b"\r\n\r\n")[2]
    return body


class TestAzure:
    """The race of a parent that is not visible yet (semantic-kernel#13128, dotnet/extensions#7704)."""

    NOT_YET = refusal(
        400, {"message": "Previous response with id 'resp_1' not found.", "code": "previous_response_not_found"}
    )

    def test_the_same_bytes_are_sent_again(self, upstream: ScriptedUpstream) -> None:
        """On Azure a parent not found is asked for once more, and nothing is lost."""
        upstream.will_answer(self.NOT_YET, json_answer({}))
        with unpinned(upstream.url, Policy(mode="recover", profile="azure")) as port:
            received = ask(port, [OUTPUT], {"previous_response_id": "resp_1"})
        assert received.status == 200
        assert upstream.received[0].wire == upstream.received[1].wire
        assert received.values(b"x-unpinned-fidelity") == [b"exact"]

    def test_then_it_is_given_up(self, upstream: ScriptedUpstream) -> None:
        """Not found again: the whole conversation goes on without it."""
        upstream.will_answer(self.NOT_YET, self.NOT_YET, json_answer({}))
        with unpinned(upstream.url, Policy(mode="recover", profile="azure")) as port:
            received = ask(port, WHOLE, {"previous_response_id": "resp_1"})
        assert received.values(b"x-unpinned-attempts") == [b"3"]
        assert "previous_response_id" not in upstream.received[2].json()


def test_phases_of_validation_are_recovered_one_by_one(upstream: ScriptedUpstream) -> None:
    """One request may be refused for three reasons in a row, one at a time, and still be answered."""
    upstream.will_answer(
        refusal(400, {"message": "Unknown parameter: 'input[1].status'.", "param": "input[1].status"}),
        refusal(404, MISSING),
        refusal(400, {"message": "The encrypted content gAAA...ng== could not be verified."}),
        json_answer({}),
    )
    with unpinned(upstream.url, Policy(mode="recover")) as port:
        received = ask(port, WHOLE, {})
    assert (received.status, received.values(b"x-unpinned-attempts")) == (200, [b"4"])
