"""A response as it was answered, on every engine: kept beside its conversation, and forgotten with it."""

import json
from typing import Any

import pytest

from proxy.responses.history.compaction import name_of_compaction
from proxy.responses.history.compaction_record import before_compaction
from proxy.responses.history.recording import Made, RequestRecord, made, names_of
from proxy.responses.history.retrieval import Answer, answer, answered
from proxy.store.interface import Remembered, Store
from tests.store.talks import FIRST, NEXT, NOTHING, SAID, USER, Open, run

TOOLS = [{"type": "function", "name": "f", "description": "what it is for " * 30, "parameters": {}}]
BODY: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "instructions": "Be brief. " * 60,
    "output": [json.loads(SAID)],
    "tools": TOOLS,
    "usage": {"input_tokens": 3},
}


def told(**changes: Any) -> tuple[Remembered, Remembered]:
    """What is remembered of a response: its conversation, and how it was answered."""
    found = made(json.dumps({**BODY, **changes}).encode())
    assert isinstance(found, Made)
    conversation = Remembered(found.response_id, None, (USER, *found.output), len(found.output))
    answers = answered(found, "eu")
    assert answers is not None
    return conversation, answers


async def known(store: Store, name: str, scope: str = "me") -> Answer | None:
    """How a response was answered."""
    found = (await store.recall(scope, f"answer of {name}", ())).conversation
    return answer(found) if found is not None else None


def test_it_is_known_as_it_was_answered(engine: Open) -> None:
    """A response comes back with all its members in their order, wherever it was written; its items are found still."""

    async def talk(store: Store) -> None:
        for each in reversed(told()):  # in any order
            await store.remember("me", each)
        found = await known(store, "resp_1")
        assert found is not None
        assert found.place == "eu"
        assert list(json.loads(found.response or b"").items()) == list(BODY.items())
        assert (await store.recall("me", "resp_1", ["msg_1"])).items == {"msg_1": SAID}

    run(engine, talk)


def test_what_belongs_together_is_written_together(engine: Open) -> None:
    """One write remembers a response and how it was answered, each item once, and again in place of what was before."""

    async def talk(store: Store) -> None:
        conversation, answers = told()
        for _ in range(2):
            await store.remember("me", conversation._replace(besides=(answers,)))
        assert (await store.recall("me", "resp_1", ["msg_1"])).items == {"msg_1": SAID}
        assert await known(store, "resp_1") is not None
        for name in names_of("resp_1"):
            await store.forget("me", name)
        assert await store.recall("me", "resp_1", ["msg_1"]) == NOTHING
        assert await known(store, "resp_1") is None

    run(engine, talk)


def test_strangers_know_nothing_of_it(engine: Open) -> None:
    """Another scope does not know it, and cannot forget it."""

    async def talk(store: Store) -> None:
        for each in told():
            await store.remember("me", each)
        for name in names_of("resp_1"):
            await store.forget("you", name)
        assert await known(store, "resp_1", "you") is None
        assert await known(store, "resp_1") is not None

    run(engine, talk)


def test_deletion_leaves_nothing(engine: Open) -> None:
    """What is deleted is forgotten under all its names; what others share with it stays theirs."""

    async def talk(store: Store) -> None:
        for response_id in ("resp_1", "resp_2"):
            for each in told(id=response_id):
                await store.remember("me", each)
        for name in names_of("resp_1"):
            await store.forget("me", name)
        assert await known(store, "resp_1") is None
        left = await known(store, "resp_2")
        assert left is not None
        assert json.loads(left.response or b"")["tools"] == TOOLS
        for name in names_of("resp_2"):
            await store.forget("me", name)
        assert await store.recall("me", "resp_2", ["msg_1"]) == NOTHING

    run(engine, talk)


def test_it_counts_as_one_response(engine: Open) -> None:
    """A purge forgets how it was answered as well, and counts a response once."""

    async def talk(store: Any) -> None:
        for each in told():
            await store.remember("me", each)
        standing = await store.standing()
        assert "responses" not in standing or "1 responses" in standing
        assert await store.purge(everything=True) == 1
        assert await known(store, "resp_1") is None

    run(engine, talk)


@pytest.mark.parametrize("output", [[], BODY["output"], None])
def test_what_is_not_finished_has_a_place_only(engine: Open, output: Any) -> None:
    """Of a response in the background it is known where it is made, and, when it is finished, what it is."""

    async def talk(store: Store) -> None:
        queued = made(json.dumps({**BODY, "status": "queued", "background": True, "output": []}).encode())
        assert queued is not None
        waiting = answered(queued, "us")
        assert waiting is not None
        await store.remember("me", waiting)
        assert await known(store, "resp_1") == Answer("us")
        await store.remember("me", told(output=output)[1])
        found = await known(store, "resp_1")
        assert found is not None
        assert json.loads(found.response or b"")["output"] == (output or [])

    run(engine, talk)


def test_what_a_compaction_stood_for(engine: Open) -> None:
    """It is found by the compaction's blob, from the first turn on, until the response that held it is deleted."""
    compaction = b'{"type":"compaction","id":"cmp_1","encrypted_content":"gAAA"}'
    found = Made("resp_2", True, False, True, (compaction,))
    records = before_compaction(RequestRecord("resp_1", (NEXT,)), found)

    async def talk(store: Store) -> None:
        for each in (FIRST, *records):
            await store.remember("me", each)
        name = name_of_compaction(b'"gAAA"')
        assert (await store.recall("me", name, ())).conversation == (USER, SAID, NEXT)
        assert (await store.recall("you", name, ())).conversation is None
        for each_name in names_of("resp_2"):
            await store.forget("me", each_name)
        assert (await store.recall("me", name, ())).conversation is None
        assert (await store.recall("me", "resp_1", ())).conversation == (USER, SAID)

    run(engine, talk)
