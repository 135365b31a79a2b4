"""Conversations that cross instances, with the real `openai` SDK as the client."""

import json
from typing import Any

import anyio
import openai
import pytest
from pydantic import BaseModel

from tests.end_to_end.conftest import MODEL, Place, Start

MODES = ("strip", "recover")
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
FIRST: Any = {"role": "user", "content": "My name is Ada. What is the weather in Paris? Use the tool get_weather."}
NEXT: Any = {"role": "user", "content": "What is my name?"}


def dumped(items: Any) -> list[Any]:
    """Output items as an application stores them."""
    return [item.model_dump(exclude_none=True) for item in items]


def begun(place: Place, **options: Any) -> list[Any]:
    """A conversation with reasoning and a tool call, begun directly at `place`."""
    client = place.directly()
    first = client.responses.create(model=MODEL, input=[FIRST], tools=[WEATHER], **options)
    items = [FIRST, *dumped(first.output)]
    call = next(item for item in items if item.get("type") == "function_call")
    items.append({"type": "function_call_output", "call_id": call["call_id"], "output": "18 degrees"})
    second = client.responses.create(model=MODEL, input=items, tools=[WEATHER], **options)
    return [*items, *dumped(second.output)]


def field(response: Any, name: str) -> str:
    """A field of the report."""
    value: str = response.headers.get(f"x-unpinned-{name}", "")
    return value


def test_directly_it_fails(here: Place, there: Place) -> None:
    """Without Unpinned another instance refuses the conversation: this is the problem."""
    with pytest.raises(openai.NotFoundError, match=r"Item with id 'rs_\w+' not found"):
        there.directly().responses.create(model=MODEL, input=[*begun(here), NEXT])


@pytest.mark.parametrize("store", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_it_goes_on(here: Place, there: Place, mode: str, store: bool) -> None:
    """Through Unpinned it goes on elsewhere with its whole context, and nothing but labels is lost."""
    items = [*begun(here, store=store), NEXT]
    raw = there.client(mode).responses.with_raw_response.create(model=MODEL, input=items, store=store)
    answer = raw.parse()
    assert "your name is Ada" in answer.output_text
    assert f"I see {len(items)} items" in answer.output_text
    assert field(raw, "fidelity") == "lossless"
    assert field(raw, "action") == {"strip": "rewritten", "recover": "recovered"}[mode]


@pytest.mark.parametrize("mode", MODES)
def test_bare_reasoning_is_left_behind(start: Start, mode: str) -> None:
    """Reasoning without encrypted content cannot travel; the conversation does, and the report says it is lossy."""
    here, there = (start(instance=name, encrypted="include-only") for name in ("here", "there"))
    items = [*begun(here), NEXT]
    raw = there.client(mode).responses.with_raw_response.create(model=MODEL, input=items)
    assert "your name is Ada" in raw.parse().output_text
    assert (field(raw, "fidelity"), "reasoning=2" in field(raw, "removed")) == ("lossy", True)


@pytest.mark.parametrize("mode", MODES)
def test_streams_go_on(here: Place, there: Place, mode: str) -> None:
    """The SDK's streaming helper reads a recovered stream to its end."""
    with there.client(mode).responses.stream(model=MODEL, input=[*begun(here), NEXT]) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert "your name is Ada" in final.output_text


@pytest.mark.parametrize("mode", MODES)
def test_tools_are_called_elsewhere(here: Place, there: Place, mode: str) -> None:
    """A tool loop that began here ends there: the output of a call is answered by an instance that never made it."""
    first = here.client(mode).responses.create(model=MODEL, input=[FIRST], tools=[WEATHER])
    items = [FIRST, *dumped(first.output)]
    items.append({"type": "function_call_output", "call_id": items[-1]["call_id"], "output": "18 degrees"})
    answer = there.client(mode).responses.create(model=MODEL, input=items, tools=[WEATHER])
    assert 'the last tool said: "18 degrees"' in answer.output_text


class City(BaseModel):
    """A structured answer."""

    name: str
    people: int


@pytest.mark.parametrize("mode", MODES)
def test_structured_output_goes_on(here: Place, there: Place, mode: str) -> None:
    """`responses.parse` works across instances."""
    answer = there.client(mode).responses.parse(model=MODEL, input=[*begun(here), NEXT], text_format=City)
    assert isinstance(answer.output_parsed, City)


@pytest.mark.parametrize("mode", MODES)
def test_the_asynchronous_client(here: Place, there: Place, mode: str) -> None:
    """Ten conversations at once, streamed and not, with the asynchronous SDK."""
    items = [*begun(here), NEXT]

    async def ask(number: int, texts: list[str]) -> None:
        async with there.async_client(mode) as client:
            if number % 2:
                texts.append((await client.responses.create(model=MODEL, input=items)).output_text)
                return
            async with client.responses.stream(model=MODEL, input=items) as stream:
                texts.append((await stream.get_final_response()).output_text)

    async def all_at_once() -> list[str]:
        texts: list[str] = []
        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(ask, number, texts)
        return texts

    texts = anyio.run(all_at_once)
    assert len(texts) == 10
    assert all("your name is Ada" in text for text in texts)


@pytest.mark.parametrize("mode", MODES)
def test_other_organisations_cannot_read_the_blobs(start: Start, mode: str) -> None:
    """Blobs of another organisation are dropped after the refusal, and the next turn costs no extra trip."""
    here, there = (start(instance=name, organization=f"org-{name}") for name in ("here", "there"))
    items = [*begun(here, store=False), NEXT]
    client = there.client(mode)
    raw = client.responses.with_raw_response.create(model=MODEL, input=items)
    assert "your name is Ada" in raw.parse().output_text
    assert (field(raw, "action"), field(raw, "fidelity")) == ("recovered", "lossy")
    again = client.responses.with_raw_response.create(model=MODEL, input=items)
    assert (again.parse().output_text, field(again, "attempts")) == (raw.parse().output_text, "1")


class TestReferences:
    """Clients that rely on what the server stored."""

    def test_recover_keeps_them_where_they_are_known(self, here: Place) -> None:
        """In `recover` mode a chain on one server goes on exactly as it does directly."""
        client = here.client("recover")
        first = client.responses.create(model=MODEL, input=[FIRST])
        raw = client.responses.with_raw_response.create(model=MODEL, input=[NEXT], previous_response_id=first.id)
        assert "your name is Ada" in raw.parse().output_text
        assert (field(raw, "action"), field(raw, "fidelity")) == ("passthrough", "exact")

    def test_strip_says_what_it_costs(self, here: Place) -> None:
        """In `strip` mode the same chain starts fresh, and the report says so."""
        client = here.client("strip")
        first = client.responses.create(model=MODEL, input=[FIRST])
        raw = client.responses.with_raw_response.create(model=MODEL, input=[NEXT], previous_response_id=first.id)
        assert "Ada" not in raw.parse().output_text
        assert (field(raw, "fidelity"), field(raw, "removed")) == ("lossy", "previous_response_id=1")

    def test_a_whole_conversation_needs_no_reference(self, here: Place, there: Place) -> None:
        """With the whole conversation inline a `previous_response_id` is only a label: taken out, nothing is lost."""
        items = [*begun(here), NEXT]
        raw = there.client().responses.with_raw_response.create(
            model=MODEL, input=items, previous_response_id="resp_of_another_server"
        )
        assert "your name is Ada" in raw.parse().output_text
        assert field(raw, "fidelity") == "lossless"

    @pytest.mark.parametrize("mode", MODES)
    def test_what_cannot_be_answered_is_not(self, here: Place, there: Place, mode: str) -> None:
        """Tool outputs alone: answered where their call is known, and elsewhere the refusal is relayed as it came."""
        first = here.client(mode).responses.create(model=MODEL, input=[FIRST], tools=[WEATHER])
        call = first.output[-1]
        assert call.type == "function_call"
        delta: Any = {
            "model": MODEL,
            "input": [{"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"}],
            "previous_response_id": first.id,
            "tools": [WEATHER],
        }
        assert "18 degrees" in here.client(mode).responses.create(**delta).output_text
        with pytest.raises(openai.BadRequestError) as direct:
            there.directly().responses.create(**delta)
        with pytest.raises(openai.BadRequestError) as relayed:
            there.client(mode).responses.create(**delta)
        assert relayed.value.response.content == direct.value.response.content
        assert field(relayed.value.response, "action") == "unrecovered"

    @pytest.mark.parametrize("mode", MODES)
    def test_a_tool_loop_of_references(self, here: Place, there: Place, mode: str) -> None:
        """The AI SDK's form: references to the turn and the output of its call; known here, refused there."""
        first = here.client(mode).responses.create(model=MODEL, input=[FIRST], tools=[WEATHER])
        references: Any = [{"type": "item_reference", "id": item.id} for item in first.output]
        call = first.output[-1]
        assert call.type == "function_call"
        output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"}
        items = [FIRST, *references, output]
        assert "18 degrees" in here.client(mode).responses.create(model=MODEL, input=items, tools=[WEATHER]).output_text
        with pytest.raises(openai.NotFoundError):
            there.client(mode).responses.create(model=MODEL, input=items, tools=[WEATHER])

    def test_a_conversation_is_left_alone(self, here: Place) -> None:
        """A request that names a `conversation` goes as it came, in `strip` mode as well."""
        client = here.client()
        conversation = client.conversations.create()
        client.responses.create(model=MODEL, input=[FIRST], conversation=conversation.id)
        raw = client.responses.with_raw_response.create(model=MODEL, input=[NEXT], conversation=conversation.id)
        assert "your name is Ada" in raw.parse().output_text
        assert field(raw, "action") == "passthrough"

    @pytest.mark.parametrize("mode", MODES)
    def test_stored_responses_can_be_retrieved(self, here: Place, mode: str) -> None:
        """Background responses, retrieval, items and deletion pass through."""
        client = here.client(mode)
        made = client.responses.create(model=MODEL, input=[FIRST], background=True)
        assert client.responses.retrieve(made.id).status == "completed"
        assert [item.type for item in client.responses.input_items.list(made.id)] == ["message"]
        client.responses.delete(made.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(made.id)


class TestSideRoutes:
    """Counting tokens and compacting."""

    @pytest.mark.parametrize("mode", MODES)
    def test_a_whole_conversation_is_counted_elsewhere(self, here: Place, there: Place, mode: str) -> None:
        """The count of a whole conversation is the same wherever it is asked for."""
        items = begun(here)
        count = there.client(mode).responses.input_tokens.count(model=MODEL, input=items)
        assert count.input_tokens == here.directly().responses.input_tokens.count(model=MODEL, input=items).input_tokens

    def test_a_count_keeps_its_references(self, here: Place, there: Place) -> None:
        """A count of what only a reference holds would be wrong: it is refused where the reference is unknown."""
        first = here.client().responses.create(model=MODEL, input=[FIRST])
        counted = here.client().responses.input_tokens.count(
            model=MODEL, input="What is my name?", previous_response_id=first.id
        )
        assert counted.input_tokens > 20
        with pytest.raises(openai.BadRequestError):
            there.client().responses.input_tokens.count(model=MODEL, input="x", previous_response_id=first.id)

    @pytest.mark.parametrize("mode", MODES)
    def test_a_compacted_conversation_goes_on(self, here: Place, there: Place, mode: str) -> None:
        """A conversation compacted there goes on here, the compaction's id and blob untouched."""
        raw = there.client(mode).responses.with_raw_response.compact(model=MODEL, input=[*begun(here), NEXT])
        items = [*json.loads(raw.content)["output"], NEXT]
        assert "your name is Ada" in here.client(mode).responses.create(model=MODEL, input=items).output_text
