"""What a server knows: stored items and responses, per instance and key, and what is bound to an organisation."""

from typing import Any

import pytest

from proxy.fake_openai.encrypted_content import Memory, seal
from tests.fake_openai.asking import KEY, Fake, Json, Start, refused

WEATHER = {"type": "function", "name": "get_weather", "parameters": {"properties": {"city": {"type": "string"}}}}
UNSTORED = (
    " Items are not persisted when `store` is set to false. Try again with `store` set to true, "
    "or remove this item from your input."
)


def said(text: str) -> Json:
    """A message of a user."""
    return {"role": "user", "content": text}


def text(response: Json) -> str:
    """The words of an answer."""
    return str(response["output"][-1]["content"][0]["text"])


def asked(fake: Fake, **more: Any) -> list[Json]:
    """A conversation as far as the output of a tool: message, reasoning, call, output."""
    question = said("My name is Ada. What is the weather in Paris?")
    output = fake.create([question], tools=[WEATHER], **more)["output"]
    return [question, *output, {"type": "function_call_output", "call_id": output[-1]["call_id"], "output": "rain"}]


def without(item: Json, *names: str) -> Json:
    """An item without some fields."""
    return {name: value for name, value in item.items() if name not in names}


def stripped(items: list[Json]) -> list[Json]:
    """Items without ids."""
    return [without(item, "id") for item in items]


def test_a_replayed_conversation_is_answered_with_its_context(fake: Fake) -> None:
    """On the server that made them items come back as they are, and the answer says what was seen."""
    answer = text(fake.create(asked(fake)))
    assert answer.startswith("I see 4 items, 1 user message, 1 tool output, 1 reasoning item;")
    assert 'the last tool said: "rain"; your name is Ada.' in answer


@pytest.mark.parametrize(("store", "suffix"), [(True, ""), (False, UNSTORED)])
def test_another_instance_does_not_know_an_item(start: Start, store: bool, suffix: str) -> None:
    """A reasoning item made elsewhere is not found, and the sentence depends on `store`."""
    items = asked(start())
    expected = (404, f"Item with id '{items[1]['id']}' not found.{suffix}", "input", None)
    assert start().refusal(items, store=store) == expected


def test_another_key_does_not_know_an_item(fake: Fake) -> None:
    """Keys of one organisation share no items."""
    answer = fake.post("/v1/responses", {"model": "gpt-5.4", "input": asked(fake)}, key="sk-demo-2")
    assert refused(answer)[0] == 404


def test_without_ids_a_conversation_goes_on_anywhere(start: Start) -> None:
    """Sealed reasoning without an id is accepted by every instance of the organisation, and nothing is lost."""
    first, second = start(), start()
    items = asked(first)
    assert text(second.create(stripped(items))) == text(first.create(items))


def test_foreign_ids_can_be_accepted(start: Start) -> None:
    """An instance may be told to accept a sealed reasoning item with an id that it did not make."""
    assert start(foreign_ids="accepted").create(asked(start()))["status"] == "completed"


def test_unstored_items_come_back_by_their_seal(fake: Fake) -> None:
    """With `store` false nothing is kept, but id and blob together are accepted where they were made."""
    items = asked(fake, store=False)
    assert "Ada" in text(fake.create(items, store=False))
    assert fake.refusal([{"type": "item_reference", "id": items[2]["id"]}], store=False)[0] == 404


def test_bare_reasoning_needs_its_server(start: Start) -> None:
    """Reasoning without a blob is looked up; it is found where it was stored and nowhere else."""
    first, second = start(encrypted="include-only"), start(encrypted="include-only")
    items = asked(first)
    assert "encrypted_content" not in items[1]
    assert first.create(items)["status"] == "completed"
    assert second.refusal(items)[0] == 404
    unstored = asked(first, store=False)
    assert first.refusal(unstored, store=False)[1].endswith(UNSTORED)


def test_blobs_can_be_asked_for(start: Start) -> None:
    """`include` brings the blob where it does not come by itself."""
    items = asked(start(encrypted="include-only"), include=["reasoning.encrypted_content"])
    assert items[1]["encrypted_content"].startswith("gAAAA")


def test_readable_reasoning_may_be_without_id_and_blob(fake: Fake) -> None:
    """A summary is worth something by itself."""
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}
    answer = {"role": "assistant", "content": "Yes."}
    assert "1 reasoning item" in text(fake.create([said("a"), thought, answer, said("b")]))


def test_half_a_turn_is_refused(start: Start) -> None:
    """An item that keeps its id while its reasoning lost its own is refused, by any instance."""
    fake = start()
    user, reasoning, call, output = asked(fake)
    half = [user, without(reasoning, "id"), call, output]
    message = (
        f"Item '{call['id']}' of type 'function_call' was provided without its required 'reasoning' item: "
        f"'{reasoning['id']}'."
    )
    assert fake.refusal(half) == (400, message, "input", None)
    assert start().refusal(half) == (400, message, "input", None)
    assert fake.refusal([user, call, output])[1] == message


def test_reasoning_without_what_it_produced_is_refused(fake: Fake) -> None:
    """Reasoning is neither last, nor in front of something that a model does not make, nor of another turn."""
    user, reasoning, *_ = asked(fake)
    other = asked(fake)[2]
    message = f"Item '{reasoning['id']}' of type 'reasoning' was provided without its required following item."
    expected = (400, message, "input", None)
    assert fake.refusal([user, reasoning]) == expected
    assert fake.refusal([user, reasoning, said("go on")]) == expected
    assert fake.refusal([user, without(reasoning, "id"), said("go on")]) == expected
    assert fake.refusal([user, reasoning, {**other, "id": other["id"]}])[1].startswith("Item 'fc_")
    assert (
        fake.refusal([user, reasoning, {"type": "item_reference", "id": fake.create("x")["output"][0]["id"]}])[0] == 400
    )


def test_reasoning_of_one_turn_does_not_lead_to_the_item_of_another(fake: Fake) -> None:
    """The item after reasoning is the one it produced."""
    user, reasoning, *_ = asked(fake)
    later = fake.create("x")["output"]
    message = f"Item '{reasoning['id']}' of type 'reasoning' was provided without its required following item."
    assert fake.refusal([user, later[0], reasoning, later[1]])[1] == message


def test_an_item_twice_is_refused(fake: Fake) -> None:
    """Neither the input nor the history and the input together may hold an item twice."""
    items = asked(fake)
    message = f"Duplicate item found with id {items[1]['id']}. Remove duplicate items from your input and try again."
    assert fake.refusal([*items[:2], *items[1:]]) == (400, message, "input", None)
    parent = fake.create(items)["id"]
    assert fake.refusal(items, previous_response_id=parent) == (400, message, "input", None)


def test_references_stand_for_items(fake: Fake) -> None:
    """A reference, with or without its type, is what it names, for items that were sent as well."""
    items = asked(fake)
    references = [{"type": "item_reference", "id": items[1]["id"]}, {"id": items[2]["id"]}]
    assert text(fake.create([items[0], *references, items[3]])) == text(fake.create(items))
    answer = fake.create([said("My name is Ada")])
    sent = fake.get(f"/v1/responses/{answer['id']}/input_items").json()["data"]
    assert "your name is Ada" in text(fake.create([{"id": sent[0]["id"]}, said("Who am I?")]))


def test_an_unknown_reference_is_not_found(fake: Fake) -> None:
    """A reference to nothing is a 404 at `input`."""
    expected = (404, "Item with id 'msg_1' not found.", "input", None)
    assert fake.refusal([{"type": "item_reference", "id": "msg_1"}, said("x")]) == expected


def test_ids_of_complete_items_are_not_looked_up(fake: Fake) -> None:
    """Made-up ids of messages and calls pass, as on the live API."""
    answer = {"type": "message", "id": "msg_probe", "role": "assistant", "content": "Yes.", "status": "completed"}
    call = {"type": "function_call", "id": "fc_mine", "call_id": "c", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "id": "fc_mine_too", "call_id": "c", "output": "1"}
    assert fake.create([said("a"), answer, call, output])["status"] == "completed"


def test_chains_bring_their_history(start: Start) -> None:
    """A previous response brings all that was seen before it; elsewhere it is unknown, with status 400."""
    fake = start()
    first = fake.create("My name is Ada")
    second = fake.create("And I am a mathematician", previous_response_id=first["id"])
    third = fake.create("Who am I?", previous_response_id=second["id"])
    assert text(third).startswith("I see 7 items, 3 user messages")
    assert third["previous_response_id"] == second["id"]
    message = f"Previous response with id '{second['id']}' not found."
    expected = (400, message, "previous_response_id", "previous_response_not_found")
    assert start().refusal("Who am I?", previous_response_id=second["id"]) == expected


def test_the_output_of_a_chained_call_needs_no_call(fake: Fake) -> None:
    """Outputs alone are enough where the previous response holds their calls."""
    call = fake.create("What is the weather in Paris?", tools=[WEATHER])
    output = {"type": "function_call_output", "call_id": call["output"][-1]["call_id"], "output": "rain"}
    assert "rain" in text(fake.create([output], previous_response_id=call["id"]))
    assert fake.create([], previous_response_id=fake.create("x")["id"])["status"] == "completed"


def test_an_unstored_response_is_no_parent(fake: Fake) -> None:
    """What was not stored cannot be continued."""
    parent = fake.create("x", store=False)["id"]
    assert fake.refusal("y", previous_response_id=parent)[3] == "previous_response_not_found"


def test_nothing_is_retained_for_some_organisations(start: Start) -> None:
    """With zero data retention nothing is stored, and two sentences say so."""
    fake = start(zero_data_retention=True)
    answer = fake.create("x")
    assert answer["store"] is False
    message = "Previous response cannot be used for this organization due to Zero Data Retention."
    expected = (400, message, "previous_response_id", "unsupported_parameter")
    assert fake.refusal("y", previous_response_id=answer["id"]) == expected
    reference = fake.refusal([{"id": answer["output"][0]["id"]}])
    assert reference[1].endswith(
        "Items are not persisted for Zero Data Retention organizations. Remove this item from your input and try again."
    )


def test_lookups_come_in_an_order(fake: Fake) -> None:
    """One lookup hides the next: conversation, prompt, previous response; and all of them capability."""
    known = fake.create("x")["id"]
    conversation = (404, "Conversation with id 'conv_x' not found.", None, None)
    prompt = (404, "Prompt with id 'pmpt_x' not found.", None, None)
    assert fake.refusal("y", conversation="conv_x", prompt={"id": "pmpt_x"}) == conversation
    assert fake.refusal("y", conversation={"id": "conv_x"}, temperature=0.5) == conversation
    assert fake.refusal("y", previous_response_id="resp_x", prompt={"id": "pmpt_x"}) == prompt
    assert fake.refusal([], previous_response_id="resp_x")[3] == "previous_response_not_found"
    both = fake.refusal("y", conversation="conv_x", previous_response_id=known)
    assert both[1:] == (
        "Mutually exclusive parameters: ''. Ensure you are only providing one of: 'pre..._id' or 'conversation'.",
        None,
        "mutually_exclusive_parameters",
    )


# Encrypted content ----------------------------------------------------------------------------------------------------


def test_blobs_are_bound_to_an_organisation(start: Start) -> None:
    """A key of another organisation cannot use a blob, with or without its id."""
    fake = start()
    items = asked(fake)
    message = (
        f"The encrypted content for item {items[1]['id']} could not be verified. "
        "Reason: Encrypted content organization_id did not match the target organization."
    )
    expected = (400, message, None, "invalid_encrypted_content")
    for sent in (items, stripped(items)):
        body = {"model": "gpt-5.4", "input": sent}
        assert refused(fake.post("/v1/responses", body, key="sk-other-1")) == expected
        assert refused(fake.post("/v1/responses", body, **{"OpenAI-Organization": "org-other"})) == expected
        assert start(organization="org-other").refusal(sent) == expected


def test_blobs_are_bound_to_their_item(fake: Fake) -> None:
    """An id that was replaced does not match."""
    user, reasoning, *rest = asked(fake)
    message = (
        "The encrypted content for item rs_mine could not be verified. "
        "Reason: Encrypted content item_id did not match the target item id."
    )
    expected = (400, message, None, "invalid_encrypted_content")
    assert fake.refusal([user, {**reasoning, "id": "rs_mine"}, *rest]) == expected


@pytest.mark.parametrize("blob", ["gAAAAnothing", "gAAAA" + "Zm9v" * 20, "nonsense!", "ä"])
def test_damaged_blobs_are_refused(shared: Fake, blob: str) -> None:
    """A blob that was cut off or never was one is refused by its ends."""
    items = [said("x"), {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": blob}]
    message = f"The encrypted content {blob[:4]}...{blob[-4:]} could not be verified."
    assert shared.refusal(items) == (400, message, None, "invalid_encrypted_content")


def test_azure_does_not_mix_continuations(start: Start) -> None:
    """Blobs of two servers in one input are refused by one model of Azure's."""
    azure, other = start(profile="azure"), start(profile="azure")
    items = [*azure.create("a")["output"], said("b"), *other.create("c")["output"], said("d")]
    sent = [without(item, "status") for item in items]
    expected = (400, "Conflicting authenticated continuation identities.", "input", "invalid_value")
    body = {"model": "gpt-5.6-sol", "input": sent}
    assert refused(azure.post("/openai/v1/responses", body)) == expected
    assert azure.create(sent)["status"] == "completed"
    own = azure.post("/openai/v1/responses", {"model": "gpt-5.6-sol", "input": sent[:3]})
    assert own.status_code == 200


def test_azure_wants_ids_and_no_status(start: Start) -> None:
    """The Azure dialect: 400 for what is not found, an id on every reasoning item, no status on messages."""
    fake = start(profile="azure")
    items = asked(fake)
    assert fake.refusal(stripped(items))[1:] == (
        "Missing required parameter: 'input[1].id'.",
        "input[1].id",
        "missing_required_parameter",
    )
    assert fake.refusal([{**said("x"), "status": "completed"}])[1] == "Unknown parameter: 'input[0].status'."
    assert fake.refusal([{"id": "rs_1"}])[:2] == (400, "Item with id 'rs_1' not found.")
    path = "/openai/responses?api-version=2025-03-01-preview"
    answer = fake.http.post(fake.url + path, json={"model": "gpt-5.4", "input": items}, headers={"api-key": KEY})
    assert answer.status_code == 200


# Compaction -----------------------------------------------------------------------------------------------------------


def test_a_compaction_stands_for_what_was_before(start: Start) -> None:
    """A compacted conversation goes on with its context, on any instance; its id is no parent."""
    fake = start()
    answer = fake.post("/v1/responses/compact", {"model": "gpt-5.4", "input": asked(fake)}).json()
    assert [item["type"] for item in answer["output"]] == ["message", "compaction"]
    follow = [*answer["output"], said("Who am I?")]
    for server in (fake, start()):
        assert text(server.create(follow)).startswith("I see 5 items, 2 user messages, 1 tool output")
        assert "your name is Ada" in text(server.create(follow))
    assert fake.refusal("x", previous_response_id=answer["id"])[0] == 400
    assert "Ada" not in text(fake.create([said("Who am I?")]))


def test_a_compaction_can_be_asked_for_within_a_conversation(fake: Fake) -> None:
    """A trigger at the end makes the answer a compaction and nothing else."""
    output = fake.create([said("My name is Ada"), {"type": "compaction_trigger"}])["output"]
    assert [item["type"] for item in output] == ["compaction"]
    assert fake.refusal([{**output[0], "id": "cmp_mine"}])[3] == "invalid_encrypted_content"


def test_tokens_are_counted_as_they_are_used(fake: Fake) -> None:
    """A count is what a response then reports; it grows with the input, and asks for no input at all."""
    items = asked(fake)
    count = fake.post("/v1/responses/input_tokens", {"model": "gpt-5.4", "input": items, "tools": [WEATHER]}).json()
    used = fake.create(items, tools=[WEATHER])["usage"]
    assert count == {"object": "response.input_tokens", "input_tokens": used["input_tokens"]}
    assert used["total_tokens"] == used["input_tokens"] + used["output_tokens"]
    assert fake.create([*items, said("more")], tools=[WEATHER])["usage"]["input_tokens"] > used["input_tokens"]
    assert fake.post("/v1/responses/input_tokens", {}).json()["input_tokens"] == 0


# Stored responses -----------------------------------------------------------------------------------------------------


def test_stored_responses_are_read_and_deleted(start: Start) -> None:
    """A response is there until it is deleted, and only for its own server."""
    fake = start()
    made = fake.create("x")
    path = f"/v1/responses/{made['id']}"
    assert fake.get(path).json() == made
    assert refused(start().get(path)) == (404, f"Response with id '{made['id']}' not found.", None, None)
    assert refused(fake.get(path + "?include[]=reasoning.encrypted_content"))[1] == (
        "Encrypted content cannot be requested for persisted responses"
    )
    assert fake.http.delete(fake.url + path, headers={"authorization": f"Bearer {KEY}"}).json()["deleted"] is True
    assert fake.get(path).status_code == 404


def test_input_items_are_listed(fake: Fake) -> None:
    """What a response was asked with is listed in pages, the newest first unless asked otherwise."""
    made = fake.create([said("a"), {"role": "assistant", "content": "b"}, said("c")])
    path = f"/v1/responses/{made['id']}/input_items"
    newest = fake.get(path).json()
    assert [item["content"][0]["text"] for item in newest["data"]] == ["c", "b", "a"]
    page = fake.get(path + f"?order=asc&limit=1&after={newest['data'][-1]['id']}").json()
    assert [item["content"][0]["type"] for item in page["data"]] == ["output_text"]
    assert page["has_more"] is True
    for limit, code in ((0, "integer_below_min_value"), (101, "integer_above_max_value")):
        assert fake.get(path + f"?limit={limit}").json()["error"]["code"] == code
    assert fake.get(path + "?order=random").status_code == 400


def test_responses_in_the_background_are_completed_when_looked_at(fake: Fake) -> None:
    """A background response is queued, then completed; one that nobody looked at can be cancelled."""
    queued = fake.create("x", background=True)
    assert (queued["status"], queued["output"]) == ("queued", [])
    done = fake.get(f"/v1/responses/{queued['id']}").json()
    assert done["status"] == "completed"
    assert fake.post(f"/v1/responses/{queued['id']}/cancel", {}).json() == done
    other = fake.create("x", background=True)["id"]
    assert fake.post(f"/v1/responses/{other}/cancel", {}).json()["status"] == "cancelled"
    assert fake.get(f"/v1/responses/{other}").json()["status"] == "cancelled"
    answer = fake.post(f"/v1/responses/{fake.create('x')['id']}/cancel", {})
    assert refused(answer)[1] == "Cannot cancel a synchronous response."


def test_a_seal_is_not_accepted_from_another_kind_of_item(fake: Fake) -> None:
    """What was sealed as one item is nothing as another, even when its id fits."""
    forged = seal(Memory("org-demo", "cmp_1", "somewhere", {}))
    item = {"type": "compaction", "id": "cmp_1", "encrypted_content": forged}
    assert "1 user message" in text(fake.create([item, said("x")]))
    assert fake.refusal([{**item, "id": "cmp_2"}, said("x")])[3] == "invalid_encrypted_content"
