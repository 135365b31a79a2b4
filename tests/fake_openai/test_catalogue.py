"""Every refusal of the real API that the fake gives by itself: its status, its sentence, its param and its code."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.fake_openai.asking import Fake, Json, Start, refused

USER: Json = {"role": "user", "content": "Use the tool"}
TOOL: Json = {"type": "function", "name": "weather"}


class Row(NamedTuple):
    """A refusal and how it comes about."""

    provoke: Callable[[Start], tuple[int, str, str | None, str | None]]
    status: int
    sentence: str
    param: str | None
    code: str | None = None


def send(given: Any, **more: Any) -> Callable[[Start], tuple[int, str, str | None, str | None]]:
    """A request that needs no history."""
    return lambda start: start().refusal(given, **more)


def turn(fake: Fake) -> list[Json]:
    """A user's message, reasoning, a call and its output."""
    output = fake.create([USER], tools=[TOOL])["output"]
    return [USER, *output, {"type": "function_call_output", "call_id": output[1]["call_id"], "output": "1"}]


def changed(change: Callable[[list[Json]], Any], *, abroad: bool = False, **more: Any) -> Callable[[Start], Any]:
    """A request with a changed turn, at its own server or at another."""

    def provoke(start: Start) -> Any:
        fake = start()
        items = change(turn(fake))
        return (start() if abroad else fake).refusal(items, **more)

    return provoke


def of_another_organization(start: Start) -> Any:
    """A turn with a key of another organisation."""
    fake = start()
    return refused(fake.post("/v1/responses", {"model": "gpt-5.4", "input": turn(fake)}, key="sk-other"))


def with_container(start: Start) -> Any:
    """A code interpreter call whose container is gone."""
    fake = start()
    tool = {"type": "code_interpreter", "container": {"type": "auto"}}
    output = fake.create("Use the code interpreter", tools=[tool])["output"]
    fake.post("/_fake/expire", {"id": output[1]["container_id"]})
    return fake.refusal(output)


def retrieved(start: Start) -> Any:
    """A blob asked for on a stored response."""
    fake = start()
    return refused(fake.get(f"/v1/responses/{fake.create('x')['id']}?include=reasoning.encrypted_content"))


def kept_in_a_conversation(start: Start) -> Any:
    """A bare reasoning item for a conversation."""
    fake = start()
    path = f"/v1/conversations/{fake.post('/v1/conversations', {}).json()['id']}/items"
    return refused(fake.post(path, {"items": [{"type": "reasoning", "id": "rs_1", "summary": []}]}))


BLOB = {"type": "reasoning", "summary": [], "encrypted_content": "gAAAAx"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "1"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
ENCRYPTED = "invalid_encrypted_content"

ROWS = {
    "an item is unknown": Row(
        changed(lambda items: items, abroad=True), 404, r"Item with id 'rs_\w+' not found\.$", "input"
    ),
    "an item was not stored": Row(
        changed(lambda items: items, abroad=True, store=False),
        404,
        r"Item with id 'rs_\w+' not found\. Items are",
        "input",
    ),
    "an item on Azure": Row(
        lambda start: start(profile="azure").refusal([{"id": "rs_1"}]), 400, "Item with id 'rs_1' not found", "input"
    ),
    "an item without retention": Row(
        lambda start: start(zero_data_retention=True).refusal([{"id": "rs_1"}]), 404, "Zero Data Retention", "input"
    ),
    "an image without a store": Row(
        send([{"type": "image_generation_call", "status": "completed", "result": "AA=="}], store=False),
        404,
        "Item with id '' not found. Items are not persisted",
        "input",
    ),
    "a parent is unknown": Row(
        send("x", previous_response_id="resp_1"),
        400,
        "Previous response with id 'resp_1' not found.",
        "previous_response_id",
        "previous_response_not_found",
    ),
    "a parent without retention": Row(
        lambda start: start(zero_data_retention=True).refusal("x", previous_response_id="resp_1"),
        400,
        "Previous response cannot be used for this organization",
        "previous_response_id",
        "unsupported_parameter",
    ),
    "a parent of another gateway": Row(
        send("x", previous_response_id="gen-1"),
        400,
        "Invalid 'previous_response_id'",
        "previous_response_id",
        "invalid_value",
    ),
    "a conversation is unknown": Row(
        send("x", conversation="conv_1"), 404, "Conversation with id 'conv_1' not found.", None
    ),
    "two histories": Row(
        send("x", conversation="conv_1", previous_response_id="resp_1"),
        400,
        "Mutually exclusive parameters",
        None,
        "mutually_exclusive_parameters",
    ),
    "a prompt is unknown": Row(send("x", prompt={"id": "pmpt_1"}), 404, "Prompt with id 'pmpt_1' not found.", None),
    "a container expired": Row(with_container, 400, "Expected container_id: cntr_", None),
    "an output without a call": Row(
        send([OUTPUT]), 400, "No tool call found for function call output with call_id call_1.", "input"
    ),
    "a call without an output": Row(send([USER, CALL]), 400, "No tool output found for function call call_1.", "input"),
    "half a turn": Row(
        changed(lambda items: [items[0], *items[2:]]),
        400,
        r"Item 'fc_\w+' of type 'function_call' was provided without its required 'reasoning' item: 'rs_\w+'\.",
        "input",
    ),
    "reasoning alone": Row(
        changed(lambda items: items[:2]),
        400,
        r"of type 'reasoning' was provided without its required following item",
        "input",
    ),
    "an item twice": Row(
        changed(lambda items: [*items, items[1]]), 400, r"Duplicate item found with id rs_\w+\.", "input"
    ),
    "a damaged blob": Row(
        send([USER, BLOB]), 400, "encrypted content gAAA...AAAx could not be verified", None, ENCRYPTED
    ),
    "another organisation's blob": Row(of_another_organization, 400, "organization_id did not match", None, ENCRYPTED),
    "another item's blob": Row(
        changed(lambda items: [items[0], {**items[1], "id": "rs_1"}, *items[2:]]),
        400,
        "item_id did not match the target item id",
        None,
        ENCRYPTED,
    ),
    "a blob of a stored response": Row(retrieved, 400, "Encrypted content cannot be requested for persisted", None),
    "an id of another kind": Row(
        send([{**CALL, "id": "item_1"}]), 400, "Expected an ID that begins with 'fc'", "input[0].id", "invalid_value"
    ),
    "an unknown field of an item": Row(
        send([{**USER, "bogus": 1}]), 400, "Unknown parameter: 'input[0].bogus'.", "input[0].bogus", "unknown_parameter"
    ),
    "an unknown parameter": Row(send("x", zzz=1), 400, "Unknown parameter: 'zzz'.", "zzz", "unknown_parameter"),
    "a missing field of an item": Row(
        send([{"type": "reasoning", "id": "rs_1"}]),
        400,
        "Missing required parameter: 'input[0].summary'.",
        "input[0].summary",
        "missing_required_parameter",
    ),
    "nothing to answer": Row(send([]), 400, 'One of "input" or "previous', None, "missing_required_parameter"),
    "an unknown kind of item": Row(
        send([{"type": "x"}]), 400, "Invalid value: 'x'. Supported", "input[0]", "invalid_value"
    ),
    "a part in the wrong role": Row(
        send([{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}]),
        400,
        "Supported values are: 'output_text' and 'refusal'.",
        "input[0].content[0]",
        "invalid_value",
    ),
    "a tool that is not there": Row(
        send("x", tool_choice={"type": "function", "name": "f"}), 400, "Tool choice 'f' not found in 'tools'", None
    ),
    "an item no conversation keeps": Row(kept_in_a_conversation, 400, "Invalid item", "item", "invalid_item"),
    "a model that does not exist": Row(
        lambda start: refused(start().post("/v1/responses", {"model": "", "input": "x"})),
        400,
        "The requested model '' does not exist.",
        "model",
        "model_not_found",
    ),
    "a path that is not served": Row(
        lambda start: refused(start().post("/v2/responses", {})), 404, r"Invalid URL (POST /v2/responses)", None
    ),
}
PATTERNS = {"an item is unknown", "an item was not stored", "half a turn", "reasoning alone", "an item twice"}


@pytest.mark.parametrize("name", ROWS)
def test_refuses_as_the_real_api_does(start: Start, name: str) -> None:
    """The refusal has the status, sentence, param and code that were seen on the real API."""
    row = ROWS[name]
    status, sentence, param, code = row.provoke(start)
    assert (status, param, code) == (row.status, row.param, row.code)
    assert re.search(row.sentence if name in PATTERNS else re.escape(row.sentence), sentence)
