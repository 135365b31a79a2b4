"""The real SDK, synchronous and asynchronous: streams, structured answers, conversations, errors."""

import asyncio
import json
from typing import Any, Literal

import openai
import pydantic
import pytest

from tests.fake_openai.asking import Fake, Start, refused


class Person(pydantic.BaseModel):
    """A structured answer."""

    name: str
    age: int
    size: float
    admin: bool
    tags: list[str]
    mood: Literal["good", "bad"]
    boss: "Person | None"


TEXT = ["content_part.added", "output_text.delta", "output_text.done", "content_part.done"]
SUMMARY = [f"reasoning_summary_{step}" for step in ("part.added", "text.delta", "text.done", "part.done")]


def test_a_stream_has_the_real_order(shared: Fake) -> None:
    """Events come in the order of the real API, numbered, the final item after its pieces."""
    with shared.sdk().responses.stream(model="gpt-5.4", input="Hi there", reasoning={"summary": "auto"}) as stream:
        seen: list[Any] = list(stream)
        final = stream.get_final_response()
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    kinds = [event.type.removeprefix("response.") for event in seen]
    once = [kind for index, kind in enumerate(kinds) if index == 0 or kinds[index - 1] != kind]
    item = ["output_item.added", "output_item.done"]
    assert once == ["created", "in_progress", item[0], *SUMMARY, item[1], item[0], *TEXT, item[1], "completed"]
    deltas = "".join(event.delta for event in seen if event.type == "response.output_text.delta")
    assert deltas == final.output_text
    added, done = (next(e.item for e in seen if e.type == f"response.{kind}") for kind in item)
    assert done.encrypted_content.startswith(added.encrypted_content)
    assert added.encrypted_content != done.encrypted_content


def test_a_blob_taken_too_early_is_refused(shared: Fake) -> None:
    """The blob of the added event is not whole; who keeps it is refused in the next turn."""
    events: list[Any] = list(shared.sdk().responses.create(model="gpt-5.4", input="Hi", stream=True))
    added = next(event.item.to_dict() for event in events if event.type == "response.output_item.added")
    message = events[-1].response.output[-1].to_dict()
    assert shared.refusal([added, message, {"role": "user", "content": "x"}])[3] == "invalid_encrypted_content"


def test_structured_answers_are_parsed(shared: Fake) -> None:
    """An answer in a JSON schema satisfies it."""
    parsed = shared.sdk().responses.parse(model="gpt-5.4", input="My name is Ada", text_format=Person).output_parsed
    assert parsed is not None
    assert "your name is Ada" in parsed.name
    assert (parsed.mood, parsed.admin) == ("good", True)


def test_json_objects_can_be_asked_for(shared: Fake) -> None:
    """The older JSON mode gives an object."""
    answer = shared.create("x", text={"format": {"type": "json_object"}})
    assert json.loads(answer["output"][-1]["content"][0]["text"])["answer"].startswith("I see 1 item")


def test_the_asynchronous_client_streams(shared: Fake) -> None:
    """A function's arguments arrive in pieces at the asynchronous client."""
    tool: Any = {"type": "function", "name": "weather", "parameters": {"properties": {"at": {"type": "string"}}}}

    async def arguments() -> tuple[str, str]:
        async with openai.AsyncOpenAI(base_url=shared.url + "/v1", api_key="sk-demo-1") as client:
            async with client.responses.stream(model="gpt-5.4", input="weather in Rome", tools=[tool]) as stream:
                kinds = [
                    event.delta async for event in stream if event.type == "response.function_call_arguments.delta"
                ]
            final: Any = await stream.get_final_response()
            return "".join(kinds), final.output[-1].arguments

    pieces, whole = asyncio.run(arguments())
    assert pieces == whole == '{"at":"Rome"}'


def test_conversations_hold_the_history(start: Start) -> None:
    """A conversation remembers what was asked and answered, and is unknown elsewhere."""
    fake = start()
    client = fake.sdk()
    conversation = client.conversations.create(
        items=[{"type": "message", "role": "user", "content": "My name is Ada"}], metadata={"a": "b"}
    )
    client.responses.create(model="gpt-5.4", input="I like tea", conversation=conversation.id)
    answer = client.responses.create(model="gpt-5.4", input="Who am I?", conversation={"id": conversation.id})
    assert answer.output_text.startswith("I see 5 items, 3 user messages")
    assert "your name is Ada" in answer.output_text
    assert [item.type for item in client.conversations.items.list(conversation.id)][:2] == ["message", "reasoning"]
    with pytest.raises(openai.NotFoundError):
        start().sdk().conversations.retrieve(conversation.id)


def test_conversations_are_changed_and_deleted(fake: Fake) -> None:
    """Items are added, read and taken out; the metadata change; a deleted conversation is gone."""
    client = fake.sdk()
    identifier = client.conversations.create().id
    assert client.conversations.update(identifier, metadata={"a": "b"}).metadata == {"a": "b"}
    both: Any = [{"role": "user", "content": text} for text in "xy"]
    added = client.conversations.items.create(identifier, items=both).data[1]
    item = client.conversations.items.retrieve(str(added.id), conversation_id=identifier)
    assert item.id == added.id
    client.conversations.items.delete(str(item.id), conversation_id=identifier)
    assert len(client.conversations.items.list(identifier).data) == 1
    with pytest.raises(openai.NotFoundError):
        client.conversations.items.retrieve(str(item.id), conversation_id=identifier)
    assert client.conversations.delete(identifier).deleted
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve(identifier)


@pytest.fixture(scope="module")
def items_path(shared: Fake) -> str:
    """Where the items of a conversation are, of which one is called `msg_1`."""
    said = [{"role": "user", "id": "msg_1", "content": "x"}, {"role": "user", "content": "y"}]
    return f"/v1/conversations/{shared.post('/v1/conversations', {'items': said}).json()['id']}/items"


USER = {"role": "user", "content": "x"}
BAD_ITEMS: list[tuple[Any, tuple[int, str | None, str | None]]] = [
    ([{"type": "reasoning", "id": "rs_1", "summary": []}], (400, "item", "invalid_item")),
    ([{"id": "rs_1"}], (404, None, None)),
    ([USER, {"role": "user"}], (400, "items[1].content", "missing_required_parameter")),
    ([USER, {"type": "compaction_trigger"}], (400, "items[1]", "invalid_value")),
    ([{"role": "user", "id": "msg_1", "content": "x"}], (400, "input", None)),
    ([USER] * 21, (400, "items", "array_above_max_length")),
    (7, (400, "items", "invalid_type")),
    ({}, (400, "items", "invalid_type")),
    (None, (400, "items", "invalid_type")),
]


@pytest.mark.parametrize(("items", "refusal"), BAD_ITEMS)
def test_items_that_a_conversation_cannot_keep(
    shared: Fake, items_path: str, items: Any, refusal: tuple[int, str | None, str | None]
) -> None:
    """Bare reasoning and references of elsewhere, wrong shapes, duplicates and too many items: nothing is kept."""
    answer = refused(shared.post(items_path, {"items": items}))
    assert (answer[0], *answer[2:]) == refusal
    assert len(shared.get(items_path).json()["data"]) == 2


@pytest.mark.parametrize(
    ("query", "status", "param"),
    [
        ("limit=0", 400, "limit"),
        ("limit=101", 400, "limit"),
        ("limit=x", 400, "limit"),
        ("order=up", 400, "order"),
        ("after=msg_9", 404, "after"),
    ],
)
def test_lists_that_cannot_be_asked_for(shared: Fake, items_path: str, query: str, status: int, param: str) -> None:
    """A limit out of bounds, another order, and an item of another conversation are refused by name."""
    answer = refused(shared.get(f"{items_path}?{query}"))
    assert (answer[0], answer[2]) == (status, param)


def test_a_reference_to_a_known_item_is_kept_as_that_item(shared: Fake) -> None:
    """Items of a conversation may be named by their ids where they are known."""
    said = shared.create("hello")["output"][-1]
    kept = shared.post("/v1/conversations", {"items": [{"type": "item_reference", "id": said["id"]}]}).json()["id"]
    assert shared.get(f"/v1/conversations/{kept}/items").json()["data"] == [said]


def test_metadata_and_fields_that_a_conversation_does_not_take(shared: Fake) -> None:
    """Metadata have bounds and are required for an update, where they may be null; other fields are refused."""
    long: tuple[Any, ...] = (
        {f"k{number}": "" for number in range(17)},
        {"k" * 65: ""},
        {"k": "v" * 513},
        {"k": 5},
        7,
        [],
    )
    path = f"/v1/conversations/{shared.post('/v1/conversations', {'metadata': None, 'items': None}).json()['id']}"
    for where in ("/v1/conversations", path):
        for metadata in long:
            assert str(refused(shared.post(where, {"metadata": metadata}))[2]).startswith("metadata")
        assert refused(shared.post(where, {"metadata": {}, "odd": 1}))[3] == "unknown_parameter"
    assert refused(shared.post(path, {}))[2:] == ("metadata", "missing_required_parameter")
    assert shared.post(path, {"metadata": None}).json()["metadata"] == {}


def test_what_newer_clients_send(shared: Fake) -> None:
    """Codex' `client_metadata`, several agents and their items, and a compaction without its id are taken."""
    made = shared.post(
        "/v1/responses/compact", {"model": "gpt-5.4", "input": [{"role": "user", "content": "I am Ada"}]}
    )
    compacted = [{name: value for name, value in item.items() if name != "id"} for item in made.json()["output"]]
    asked = [*compacted, {"role": "user", "content": "Hello", "agent": {"name": "root"}}]
    body = {"model": "gpt-5.4", "input": asked, "client_metadata": {"a": "b"}, "multi_agent": {}}
    assert shared.post("/v1/responses", body).status_code == 200


def test_a_conversation_is_locked_while_an_answer_streams(start: Start) -> None:
    """Two answers at once to one conversation are refused; afterwards it is free."""
    fake = start(delay=0.05)
    client = fake.sdk()
    identifier = client.conversations.create().id
    stream: Any = client.responses.create(model="gpt-5.4", input="x", conversation=identifier, stream=True)
    next(iter(stream))
    assert fake.refusal("y", conversation=identifier)[1:] == (
        "Another process is currently operating on this conversation. Please retry in a few seconds.",
        "conversation",
        "conversation_locked",
    )
    path = f"/v1/conversations/{identifier}"
    assert refused(fake.post(f"{path}/items", {"items": [USER]}))[3] == "conversation_locked"
    with pytest.raises(openai.BadRequestError, match="Another process"):
        client.conversations.delete(identifier)
    assert list(stream)[-1].type == "response.completed"
    assert fake.create("y", conversation=identifier)["conversation"] == {"id": identifier}


def test_background_streams_are_queued_and_resumed(shared: Fake) -> None:
    """A streamed background response says that it is queued, and is read again from any event on."""
    client = shared.sdk()
    events: list[Any] = list(client.responses.create(model="gpt-5.4", input="x", background=True, stream=True))
    assert [event.type for event in events[:3]] == ["response.created", "response.queued", "response.in_progress"]
    rest: list[Any] = list(client.responses.retrieve(events[0].response.id, stream=True, starting_after=3))
    assert [event.to_dict() for event in rest] == [event.to_dict() for event in events[4:]]
    whole: list[Any] = list(client.responses.retrieve(events[0].response.id, stream=True))
    assert len(whole) == len(events)


def test_models_are_listed(shared: Fake) -> None:
    """There are models, and names that are none."""
    client = shared.sdk()
    names = [model.id for model in client.models.list()]
    assert client.models.retrieve(names[0]).id == names[0]
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-model")
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="does-not-exist", input="x")


def test_the_sdk_raises_what_was_refused(shared: Fake) -> None:
    """The SDK reads the refusal as the real one."""
    with pytest.raises(openai.NotFoundError) as raised:
        shared.sdk().responses.create(model="gpt-5.4", input=[{"type": "item_reference", "id": "rs_1"}])
    assert (raised.value.param, raised.value.code) == ("input", None)
    assert raised.value.request_id is not None
