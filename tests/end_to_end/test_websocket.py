"""Conversations over a WebSocket that cross servers, with the real `openai` SDK as the client and real processes.

Each server has an instance of the fake API of its own, which keeps the latest response of each lane of a connection.
"""

import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import openai
import pytest

from tests.end_to_end.servers import KEY, World, world

pytestmark = pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager")  # the SDK's business

MODEL = "gpt-5"
ENDS = ("response.completed", "response.incomplete", "response.failed", "error")
WEATHER = {"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}}
NAME = {"role": "user", "content": "My name is Ada."}
WHO = {"role": "user", "content": "What is my name?"}
Item = dict[str, Any]


@pytest.fixture(scope="module", params=["auto", "strip", "recover"])
def servers(request: pytest.FixtureRequest) -> Iterator[World]:
    """Two servers without a store."""
    with world("--mode", request.param) as servers:
        yield servers


def heard(connection: Any) -> list[Any]:
    """The events up to the end of a turn."""
    events = []
    for event in connection:
        events.append(event)
        if event.type in ENDS:
            break
    return events


def turn(connection: Any, items: Any, **more: Any) -> Any:
    """The last event of a turn."""
    connection.response.create(**{"model": MODEL, "input": items, **more})
    return heard(connection)[-1]


def begun(servers: World, number: int = 0, **more: Any) -> Any:
    """A conversation's first response."""
    with servers.sdk(number) as client, client.responses.connect() as connection:
        return turn(connection, [NAME], **more).response


def history(response: Any) -> list[Item]:
    """What a client sends along that keeps the conversation itself."""
    return [NAME, *(item.model_dump(exclude_none=True) for item in response.output), WHO]


@pytest.mark.parametrize("store", [True, False])
@pytest.mark.parametrize("names_parent", [True, False])
def test_a_conversation_goes_on_elsewhere(servers: World, *, store: bool, names_parent: bool) -> None:
    """A client that sends its history along goes on at another server with its context; directly it is refused."""
    more: dict[str, Any] = {"store": store, "include": [] if store else ["reasoning.encrypted_content"]}
    first = begun(servers, **more)
    parent = {"previous_response_id": first.id} if names_parent else {}
    with servers.sdk(1, direct=True) as client, client.responses.connect() as connection:
        assert turn(connection, history(first), **parent, **more).type == "error"
    with servers.sdk(1) as client, client.responses.connect() as connection:
        second = turn(connection, history(first), **parent, **more)
        assert "your name is Ada" in second.response.output_text
        third = turn(connection, [WHO], previous_response_id=second.response.id, **more)
        assert "your name is Ada" in third.response.output_text


def test_the_asynchronous_client(servers: World) -> None:
    """And so does the asynchronous client."""
    first = begun(servers)

    async def events(connection: Any, items: Any, **more: Any) -> AsyncIterator[Any]:
        await connection.response.create(model=MODEL, input=items, **more)
        async for event in connection:
            yield event
            if event.type in ENDS:
                return

    async def text() -> str:
        async with openai.AsyncOpenAI(base_url=servers.url(1), api_key=KEY) as sdk:
            client: Any = sdk
            async with client.responses.connect() as connection:
                turns = events(connection, history(first), previous_response_id=first.id)
                return str([event async for event in turns][-1].response.output_text)

    assert "your name is Ada" in anyio.run(text)


def test_a_client_that_sends_no_history_heals_itself(servers: World) -> None:
    """A turn that needs what only the other server has is refused in upstream's words; then the history comes."""
    first = begun(servers, store=False)
    alone: dict[str, Any] = {"items": [WHO], "previous_response_id": first.id, "store": False}
    with servers.sdk(1, direct=True) as client, client.responses.connect() as connection:
        directly = turn(connection, **alone)
    with servers.sdk(1) as client, client.responses.connect() as connection:
        refused = turn(connection, **alone)
        assert refused.model_dump() == directly.model_dump()
        assert refused.error.code == "previous_response_not_found"
        healed = turn(connection, history(first), store=False)
        assert "your name is Ada" in healed.response.output_text


def test_what_works_directly_works_the_same(servers: World) -> None:
    """Events, tool calls that live in the parent, and a warm-up are what they are without a proxy."""

    def told(client: Any) -> list[Any]:
        with client, client.responses.connect() as connection:
            warm = turn(connection, [NAME], generate=False, store=False)
            asked = [{"role": "user", "content": "What is the weather in Paris? Use the tool get_weather."}]
            connection.response.create(
                model=MODEL, input=asked, tools=[WEATHER], previous_response_id=warm.response.id, store=False
            )
            events = heard(connection)
            call = events[-1].response.output[-1]
            output = [{"type": "function_call_output", "call_id": call.call_id, "output": "20 degrees"}]
            last = turn(connection, output, previous_response_id=events[-1].response.id, store=False, tools=[WEATHER])
            return [warm.type, *(event.type for event in events), last.response.output_text]

    through = told(servers.sdk(0))
    assert through == told(servers.sdk(0, direct=True))
    assert "your name is Ada" in through[-1]


def test_lanes_go_on_together(servers: World) -> None:
    """Two lanes of one connection, both with a history from elsewhere, are answered each in its own lane."""
    first = begun(servers)
    with servers.sdk(1) as client, client.responses.connect() as connection:
        for lane in ("a", "b"):
            connection.response.create(model=MODEL, input=history(first), previous_response_id=first.id, stream_id=lane)
        ended: dict[str, Any] = {}
        for event in connection:
            if event.type in ENDS:
                ended[event.stream_id] = event
                if len(ended) == 2:
                    break
    assert {lane: event.type for lane, event in ended.items()} == dict.fromkeys("ab", "response.completed")
    assert all("your name is Ada" in event.response.output_text for event in ended.values())


@pytest.mark.parametrize("mode", ["auto", "strip"])
def test_a_store_knows_what_the_other_server_was_told(mode: str, tmp_path: Path) -> None:
    """With a store a client that sends its new items only goes on elsewhere, from a warm-up on, and over HTTP too."""
    shared = ("--mode", mode, "--store", f"sqlite:///{tmp_path / 'store'}", "--store-timeout", "20")
    with world(*shared) as servers:
        with servers.sdk(0) as client, client.responses.connect() as connection:
            warm = turn(connection, [NAME], generate=False).response
            first = turn(connection, [WHO], previous_response_id=warm.id).response
        with servers.sdk(1) as client, client.responses.connect() as connection:
            second = turn(connection, [WHO], previous_response_id=first.id)
            assert "your name is Ada" in second.response.output_text
            third = turn(connection, [WHO], previous_response_id=second.response.id).response
        with servers.sdk(0) as client:
            last = client.responses.create(model=MODEL, input=[WHO], previous_response_id=third.id)
            assert "your name is Ada" in last.output_text
        with servers.sdk(1) as client, client.responses.connect() as connection:
            after = turn(connection, [WHO], previous_response_id=last.id)
            assert "your name is Ada" in after.response.output_text


def test_a_server_that_is_replaced() -> None:
    """At SIGTERM a turn in progress is answered; then the client connects to what comes next, and goes on there."""
    with world("--mode", "auto", "--drain-delay", "0.1", delay=0.05) as servers:
        codes: list[int] = []
        answers: list[Any] = []

        def reconnecting(event: Any) -> None:
            codes.append(event.close_code)
            if len(codes) == 1:
                servers.replace()
                items = history(answers[0].response)
                connection.response.create(model=MODEL, input=items, previous_response_id=answers[0].response.id)

        with servers.sdk(0) as client, client.responses.connect(on_reconnecting=reconnecting) as connection:
            connection.response.create(model=MODEL, input=[NAME])
            servers.processes[0].send_signal(signal.SIGTERM)
            answers.append(heard(connection)[-1])
            answers.append(heard(connection)[-1])
        assert "your name is Ada" in answers[1].response.output_text
        assert codes[0] == 1012


def test_an_old_connection_is_replaced() -> None:
    """When upstream ends a connection for its age, the client is told so in upstream's words, and connects anew."""
    with world("--mode", "auto", socket_age=1.0) as servers, servers.sdk(0) as client:
        with client.responses.connect() as connection:
            first = turn(connection, [NAME]).response
            assert heard(connection)[-1].error.code == "websocket_connection_limit_reached"
        with client.responses.connect() as connection:
            last = turn(connection, history(first), previous_response_id=first.id)
            assert "your name is Ada" in last.response.output_text


def test_what_is_told_of_turns() -> None:
    """The log has a line for each turn and one for the socket, and nothing that a client said."""
    with world("--mode", "auto") as servers:
        with servers.sdk(0) as client, client.responses.connect() as connection:
            turn(connection, [NAME], stream_id="secret-lane")
        line = servers.processes[0].wait_logged(lambda line: line.get("socket") == "session")
        assert (line["turns"], line["close_code"]) == (1, 1000)
        (told,) = [line for line in servers.processes[0].log if "lane" in line]
        assert (told["lane"], told["action"], told["fidelity"], told["attempts"]) == (0, "passthrough", "exact", 1)
        assert told["request_id"] == f"{line['request_id']}.1"
        assert "Ada" not in servers.processes[0].text
        assert "secret" not in servers.processes[0].text
