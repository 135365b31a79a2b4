"""Three processes behind nginx with one Redis: no conversation notices which of them it talks to."""

from pathlib import Path
from typing import Any

from tests.end_to_end.travels import TURNS, Conversation, World, all_at_once, store_asked, travelling

COUNT = 12


def reports(conversations: list[Conversation]) -> set[tuple[str, str]]:
    """What was said of all turns but the first ones."""
    return {(report["fidelity"], report["store"]) for one in conversations for report in one.reports[1:]}


def test_every_turn_elsewhere(tmp_path: Path) -> None:
    """Each of ten turns through another process, with another key: all context is there, and nothing is lost."""
    with travelling(tmp_path) as world:
        conversations = [Conversation(number) for number in range(COUNT)]
        all_at_once(world, conversations, TURNS)
    assert reports(conversations) == {("lossless", "hit")}


def test_what_upstream_still_knows(tmp_path: Path) -> None:
    """In `recover` mode the store is asked where an instance refuses, and what it knows is left to upstream."""
    with travelling(tmp_path, "recover") as world:
        conversations = [Conversation(number) for number in range(4)]
        all_at_once(world, conversations, 4)
    assert ("lossless", "hit") in reports(conversations)
    assert reports(conversations) <= {("lossless", "hit"), ("exact", "")}


def test_a_killed_process_and_a_restarted_redis(tmp_path: Path) -> None:
    """Neither fails a request that could be answered, and afterwards all context is there."""
    with travelling(tmp_path) as world:
        conversations = [Conversation(number) for number in range(4)]
        all_at_once(world, conversations, 3)
        world.fleet.kill(0)
        all_at_once(world, conversations, 2)
        world.fleet.replace(0)
        assert reports(conversations) == {("lossless", "hit")}
        world.redis.stop()
        without_a_store(world)
        world.redis.start()
        world.wait_found(conversations[0].last)
        all_at_once(world, conversations, 2)


def without_a_store(world: World) -> None:
    """Whole conversations are answered as ever, and so is a question whose history nobody can be asked for."""
    history: Any = [{"role": "user", "content": "My name is Ada."}]
    for client in world.clients * 2:
        answer = client.responses.create(model="gpt-5", input=history)
        assert "your name is Ada" in answer.output_text
        history += [*(item.model_dump(exclude_none=True) for item in answer.output), {"role": "user", "content": "Hm?"}]
        assert store_asked(client, "resp_of_ours") == "down"
