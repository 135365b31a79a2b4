"""What went wrong in other stores of conversations: real processes, the real SDK, and an SQLite file between them."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import openai
import pytest

from proxy import fake_openai
from tests.end_to_end.test_conversations import WEATHER
from tests.support.memory import resident
from tests.support.process import Process, running

QUESTION = "What is the weather in Paris? Use the tool get_weather."


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts processes that share a store, each in front of an instance of the API of its own."""
    with ExitStack() as stack:
        numbers = count()

        def start(*arguments: str) -> Process:
            instance = stack.enter_context(fake_openai.running(fake_openai.build(instance=f"here-{next(numbers)}")))
            store = ["--store", f"sqlite:///{tmp_path / 'store.db'}", "--store-timeout", "20"]
            return stack.enter_context(running("--upstream", f"{instance}/v1", *store, *arguments))

        yield start


def sdk(process: Process, key: str = "sk-demo-1") -> openai.OpenAI:
    """The SDK through a process."""
    return openai.OpenAI(base_url=f"http://127.0.0.1:{process.port}/v1", api_key=key, max_retries=0)


def test_at_once(servers: Callable[..., Process]) -> None:
    """What was just answered can be continued at once, and not after 10 seconds.

    BerriAI/litellm#12364 and #28587: a conversation was known when the logs had been written.
    """
    with sdk(servers()) as client:
        previous, said = None, 0
        for turn in range(6):
            options: Any = {"previous_response_id": previous} if previous else {}
            answer = client.responses.create(model="gpt-5", input=f"My name is Ada. {turn}", **options)
            assert f"I see {said + 1} item" in answer.output_text
            previous, said = answer.id, said + 1 + len(answer.output)


def test_the_id_of_a_stream(servers: Callable[..., Process]) -> None:
    """The id in a stream's last event can be continued, with a call's output alone, and a list is no less than text.

    BerriAI/litellm#37956: streams ended with an id that nothing knew, and messages of a list were lost on replay;
    #26167: outputs of tools found no call.
    """
    with sdk(servers()) as client:
        asked: Any = [{"role": "user", "content": "My name is Ada."}, {"role": "user", "content": QUESTION}]
        with client.responses.stream(model="gpt-5", input=asked, tools=[WEATHER]) as stream:
            first = stream.get_final_response()
        call = first.output[-1]
        assert call.type == "function_call"
        output: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"}]
        with sdk(servers()) as elsewhere:
            options: Any = {"previous_response_id": first.id, "input": output, "tools": [WEATHER]}
            raw = elsewhere.responses.with_raw_response.create(model="gpt-5", **options)
    assert (raw.headers["x-unpinned-store"], raw.headers["x-unpinned-fidelity"]) == ("hit", "lossless")
    assert "your name is Ada" in raw.parse().output_text


def test_nobody_elses(servers: Callable[..., Process]) -> None:
    """Another key's conversation is not known, whatever ids are named.

    BerriAI/litellm#13551: users saw the conversations of others.
    """
    process = servers()
    with sdk(process) as mine, sdk(process, "sk-demo-2") as yours:
        first = mine.responses.create(model="gpt-5", input="My name is Ada.")
        references: Any = [{"type": "item_reference", "id": item.id} for item in first.output]
        asked: Any = [*references, {"role": "user", "content": "What is my name?"}]
        for options in ({"previous_response_id": first.id, "input": "What is my name?"}, {"input": asked}):
            raw = yours.responses.with_raw_response.create(model="gpt-5", **options)
            assert raw.headers["x-unpinned-store"] == "miss"
            assert "Ada" not in raw.parse().output_text


@pytest.mark.parametrize("streams", [False, True])
def test_an_end_loses_nothing(servers: Callable[..., Process], *, streams: bool) -> None:
    """A process that is told to end as soon as it has answered leaves what it heard behind."""
    with sdk(servers()) as elsewhere:
        for number in range(3):
            process = servers()
            with sdk(process) as client:
                question: Any = {"model": "gpt-5", "input": f"My name is Ada{number}."}
                if streams:
                    with client.responses.stream(**question) as stream:
                        last = stream.get_final_response().id
                else:
                    last = client.responses.create(**question).id
                process.send_signal(signal.SIGTERM)
                assert process.wait() == 0
            answer = elsewhere.responses.create(model="gpt-5", input="And?", previous_response_id=last)
            assert f"your name is Ada{number}" in answer.output_text


@pytest.mark.alone
def test_no_turn_costs_more_than_another(servers: Callable[..., Process], tmp_path: Path) -> None:
    """A turn takes as much in the store as the one before, however long the conversation is.

    ogx-ai/ogx#3646: each response held all that came before it.
    """
    process = servers()
    sizes = []
    with sdk(process) as client:
        previous = None
        for turn in range(60):
            options: Any = {"previous_response_id": previous} if previous else {}
            asked = f"{turn:05}" + "x" * 4000
            previous = client.responses.create(model="gpt-5", input=asked, **options).id
            if turn % 20 == 19:
                sizes.append(sum(path.stat().st_size for path in tmp_path.glob("store.db")))
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    held = (tmp_path / "store.db").stat().st_size
    assert held < 60 * 3 * 5000, sizes
    assert all(after - before < 20 * 3 * 5000 for before, after in pairwise(sizes))


@pytest.mark.alone
def test_memory_is_bounded(servers: Callable[..., Process]) -> None:
    """The store of one process takes what it may, and what is refused leaves nothing behind.

    BerriAI/litellm#2462: messages of failed requests were kept for ever.
    """
    process = servers("--store", "memory", "--store-capacity", "2MiB")
    with sdk(process) as client:

        def fill(times: int) -> None:
            for number in range(times):
                client.responses.create(model="gpt-5", input=f"{number}" + "x" * 200_000)
                with pytest.raises(openai.BadRequestError):
                    client.responses.create(model="gpt-5", input=[{"type": "nonsense", "x": "y" * 200_000}])  # type: ignore[list-item]

        fill(30)
        before = resident(process.pid)
        fill(150)  # 60 MB, if it were kept
        assert resident(process.pid) < before + 24 * 1024 * 1024
