"""Two places of one application with one store: what was made at one is asked for at the other.

Real processes, each with a fake API of its own behind it, keys of two organisations, and the `openai` SDK.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import httpx2
import openai
import pytest

from proxy import fake_openai
from tests.end_to_end.conftest import MODEL
from tests.support.process import PATIENCE, running


class Site(NamedTuple):
    """One place: its fake API, its key, and the SDK through its process in `auto` and in `strip`."""

    api: str
    key: str
    auto: openai.OpenAI
    strip: openai.OpenAI


class Sites(NamedTuple):
    """Where things are made, and where they are asked for."""

    here: Site
    there: Site


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    """Both places."""
    pytest.importorskip("aiosqlite")
    store = f"sqlite:///{tmp_path_factory.mktemp('store') / 'store.db'}"
    with ExitStack() as stack:

        def site(name: str, *more: str) -> Site:
            api = stack.enter_context(fake_openai.running(fake_openai.build(instance=name)))
            common = ("--upstream", api, "--store", store, "--store-scope", "shop", "--store-timeout", "20", *more)
            key = f"sk-{name}-1"
            processes = [stack.enter_context(running(*common, "--mode", mode)) for mode in ("auto", "strip")]
            urls = [f"http://127.0.0.1:{process.port}/v1" for process in processes]
            auto, strip = [stack.enter_context(openai.OpenAI(base_url=url, api_key=key, max_retries=0)) for url in urls]
            return Site(api, key, auto, strip)

        yield Sites(site("here", "--name", "eu-1"), site("there"))


def fields(answer: Any) -> dict[str, str]:
    """The report of an answer."""
    told = answer.headers.items()
    return {name.removeprefix("x-unpinned-"): value for name, value in told if name.startswith("x-unpinned-")}


def retrieved(client: openai.OpenAI, response_id: str, hint: str | None = None) -> Any:
    """The answer to a GET, when it is there, or refused with a hint: a store is written behind the answers."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return client.responses.with_raw_response.retrieve(response_id)
        except openai.NotFoundError as refused:
            if hint is not None and fields(refused.response).get("hint") == hint:
                return refused.response
            assert time.monotonic() < end, "it was never found"


TOOL: Any = {"type": "function", "name": "f", "description": "d" * 300, "parameters": {}, "strict": False}
ASKED: dict[str, Any] = {
    "model": MODEL,
    "input": "My name is Ada.",
    "instructions": "Be brief. " * 50,
    "tools": [TOOL],
    "metadata": {"a": "b"},
}


def made_by(client: openai.OpenAI, how: str) -> Any:
    """A finished response, asked for in one of the ways there are."""
    if how == "json":
        return client.responses.create(**ASKED)
    if how == "stream":
        with client.responses.stream(**ASKED) as stream:
            return stream.get_final_response()
    with client.responses.connect() as connection:
        connection.response.create(**ASKED)
        return next(event.response for event in connection if event.type == "response.completed")


@pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager")  # the SDK's business
@pytest.mark.parametrize("how", ["json", "stream", "socket"])
def test_a_finished_response_is_found_everywhere(sites: Sites, how: str) -> None:
    """It is retrieved by its id where it was not made, as its maker would answer it, and the answer says so."""
    made = made_by(sites.here.auto, how)
    raw = retrieved(sites.there.auto, made.id)
    assert raw.parse().to_dict() == sites.here.auto.responses.retrieve(made.id).to_dict()
    assert fields(raw)["action"] == "stored"
    assert fields(raw)["store"] == "hit"


def test_what_only_its_maker_can_do(sites: Sites) -> None:
    """Input items, cancelling, a stream and deletion are refused in upstream's words, with the maker's name."""
    made = sites.here.auto.responses.create(**ASKED)
    retrieved(sites.there.auto, made.id)
    there = sites.there.auto.responses
    for attempt in (
        lambda: there.input_items.list(made.id),
        lambda: there.cancel(made.id),
        lambda: there.retrieve(made.id, stream=True, starting_after=1),
        lambda: there.delete(made.id),
    ):
        with pytest.raises(openai.NotFoundError, match=f"Response with id '{made.id}' not found") as refused:
            attempt()
        assert fields(refused.value.response)["hint"] == "made-at=eu-1"
        assert fields(refused.value.response)["action"] == "passthrough"
    with pytest.raises(openai.NotFoundError) as refused:
        there.retrieve(made.id)
    assert "hint" not in fields(refused.value.response)  # deleted is forgotten, by whoever it was


def test_the_background(sites: Sites) -> None:
    """A response in the background is polled where it is made; once it was seen finished it is found elsewhere."""
    made = sites.there.auto.responses.create(**ASKED, background=True)
    hint = "made-at=127.0.0.1"  # by the host of its upstream
    assert fields(retrieved(sites.here.auto, made.id, hint))["hint"] == hint
    done = sites.there.auto.responses.retrieve(made.id)
    assert done.status == "completed"
    assert retrieved(sites.here.auto, made.id).parse().to_dict() == done.to_dict()


def test_a_prompt_is_bound_to_its_project(sites: Sites) -> None:
    """What can never travel is refused in upstream's words, with what it is."""
    with pytest.raises(openai.NotFoundError, match="Prompt with id") as refused:
        sites.there.auto.responses.create(model=MODEL, prompt={"id": "pmpt_1"}, input="hi")
    assert fields(refused.value.response)["hint"] == "bound=prompt"


@pytest.mark.parametrize("asked", ["in a conversation", "in the background"])
def test_strip_loses_nothing_that_its_upstream_knows(sites: Sites, asked: str) -> None:
    """A reference that the store does not know goes as it is where its upstream made it; elsewhere it starts fresh.

    It was taken out in `strip` mode before, so that the very server that had the history answered without it.
    """
    here = sites.here.strip
    more: Any = {"background": True}
    if asked == "in a conversation":
        made = httpx2.post(f"{sites.here.api}/v1/conversations", headers={"Authorization": f"Bearer {sites.here.key}"})
        more = {"conversation": made.json()["id"]}
    first = here.responses.create(model=MODEL, input="My name is Ada.", **more)
    question: Any = {"model": MODEL, "input": "What is my name?", "previous_response_id": first.id}
    raw = here.responses.with_raw_response.create(**question)
    assert "your name is Ada" in raw.parse().output_text
    assert (fields(raw)["fidelity"], fields(raw)["store"]) == ("exact", "miss")
    raw = sites.there.strip.responses.with_raw_response.create(**question)
    assert (fields(raw)["action"], fields(raw)["fidelity"]) == ("recovered", "lossy")
    raw = sites.there.strip.responses.with_raw_response.create(**question)
    assert fields(raw)["attempts"] == "1"  # what was learnt of that id spares the second refusal


@pytest.mark.parametrize("made_by", ["/responses/compact", "compaction_trigger"])
def test_a_compaction_of_another_organization_is_what_it_stood_for(sites: Sites, made_by: str) -> None:
    """Where upstream cannot read a compaction, the history that it stood for takes its place; nothing said is lost.

    It was dropped before, and the model started without all that it stood for.
    """
    here = sites.here.auto.responses
    first = here.create(model=MODEL, input="My name is Ada.")
    second: Any = here.create(model=MODEL, input="My dog is Bo.", previous_response_id=first.id)
    if made_by == "compaction_trigger":
        trigger: Any = [{"type": "compaction_trigger"}]
        compacted = here.create(model=MODEL, input=trigger, previous_response_id=second.id).output
    else:
        compacted = here.compact(model=MODEL, previous_response_id=second.id).output
    window: Any = [item.to_dict(warnings=False) for item in compacted]
    assert window[-1]["type"] == "compaction"
    retrieved(sites.there.auto, second.id)
    question: Any = [*window, {"role": "user", "content": "What is my name?"}]
    for attempts in ("2", "1"):  # what was learnt of the blob spares the second refusal
        raw = sites.there.auto.responses.with_raw_response.create(model=MODEL, input=question)
        assert "your name is Ada" in raw.parse().output_text
        assert "3 user messages" in raw.parse().output_text
        assert (fields(raw)["attempts"], fields(raw)["store"]) == (attempts, "hit")
        assert "compaction=1" in fields(raw)["removed"]
    raw = sites.here.auto.responses.with_raw_response.create(model=MODEL, input=question)
    assert (fields(raw)["attempts"], "compaction" in fields(raw).get("removed", "")) == ("1", False)
