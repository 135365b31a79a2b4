"""Conversations that travel: each turn through another process, to another instance of the API, with another key.

    python -m tests.end_to_end.travels 200      # as many conversations of ten turns; needs nginx and redis-server

What the fake API says it saw tells whether anything was lost on the way.
"""

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
from redis import Redis

from proxy import fake_openai
from proxy.store.redis_scripts import prefix
from tests.deploy.balancers import ADMIN_PORT, NGINX, PORT, Fleet, balanced, own_addresses, program
from tests.end_to_end.test_conversations import WEATHER
from tests.support.process import Process, running
from tests.support.redis_server import RedisServer, redis_running

KEYS = tuple(f"sk-shop-{number}" for number in range(1, 4))
TURNS = 10
WORKERS = 6
PATIENCE = 20.0
Item = dict[str, Any]


@dataclass
class Travellers(Fleet):
    """Three processes with one store, each in front of an instance of the API of its own."""

    instances: list[str] = field(default_factory=list)
    store: str = ""
    mode: str = "strip"

    def start(self, number: int) -> Process:
        """Start a process."""
        address = self.addresses[number]
        arguments = ["--listen", f"{address}:{PORT}", "--admin-listen", f"{address}:{ADMIN_PORT}"]
        arguments += ["--upstream", f"{self.instances[number]}/v1", "--mode", self.mode]
        arguments += ["--store", self.store, "--store-scope", "shop", "--store-timeout", "20"]
        return self._stack.enter_context(running(*arguments))


@dataclass
class World:
    """All that runs."""

    fleet: Travellers
    redis: RedisServer
    clients: list[openai.OpenAI]
    store: Redis

    def wait_found(self, response_id: str | None) -> None:
        """Wait until each process finds a response in the store."""
        for address in self.fleet.addresses:
            with openai.OpenAI(base_url=f"http://{address}:{PORT}/v1", api_key=KEYS[0], max_retries=0) as client:
                wait_for(lambda: store_asked(client, response_id) == "hit")

    def wait_remembered(self, response_id: str) -> None:
        """Wait until the store has a response: under load that may take longer than anybody looks for it."""
        wait_for(lambda: bool(self.store.exists(f"{prefix('name:shop')}r:{response_id}")))


def store_asked(client: openai.OpenAI, previous: str | None) -> str:
    """What is said of the store where a question continues a response."""
    asked: Any = {"model": "gpt-5", "input": [{"role": "user", "content": "hi"}], "previous_response_id": previous}
    store: str = client.responses.with_raw_response.create(**asked).headers["x-unpinned-store"]
    return store


def wait_for(so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE
    while not so():
        assert time.monotonic() < end, "it never was so"
        time.sleep(0.01)


@contextmanager
def travelling(directory: Path, mode: str = "strip") -> Iterator[World]:
    """nginx, three processes, three instances of the API, one Redis."""
    program(NGINX.program)
    with ExitStack() as stack:
        server = stack.enter_context(redis_running(directory))
        names = [f"instance-{number}" for number in range(3)]
        instances = [stack.enter_context(fake_openai.running(fake_openai.build(instance=name))) for name in names]
        *addresses, own = own_addresses(4)
        fleet = Travellers("", addresses, own, instances=instances, store=server.url, mode=mode)
        stack.enter_context(fleet._stack)
        fleet.processes = [fleet.start(number) for number in range(3)]
        fleet.wait_ready()
        stack.callback(fleet.end)
        balancer = stack.enter_context(balanced(NGINX, fleet, directory))
        base = f"http://{balancer.address}:{PORT}/v1"
        clients = [stack.enter_context(openai.OpenAI(base_url=base, api_key=key, max_retries=0)) for key in KEYS]
        store = stack.enter_context(Redis(port=server.port))
        yield World(fleet, server, clients, store)


@dataclass
class Conversation:
    """One conversation of one style; `reports` are what Unpinned said of its turns."""

    number: int
    items: list[Item] = field(default_factory=list)
    last: str | None = None
    seen: int = 0
    turn: int = 0
    reports: list[dict[str, str]] = field(default_factory=list)

    @property
    def refers(self) -> bool:
        """Whether it names items, as the AI SDK does, and not the last response."""
        return self.number % 2 == 1

    @property
    def streams(self) -> bool:
        """Whether its answers are streamed."""
        return self.number % 4 >= 2

    def go_on(self, world: World) -> None:
        """Ask one question; every third one needs a tool."""
        self.turn += 1
        uses_tool = self.turn % 3 == 0
        question = "What is the weather in Paris? Use the tool get_weather." if uses_tool else "And what is my name?"
        text = f"My name is Ada{self.number}. {question}" if self.turn == 1 else f"{self.turn}: {question}"
        output = self._ask(world, {"role": "user", "content": text}, tools=[WEATHER] if uses_tool else [])
        call = output[-1]
        if uses_tool:
            answer = {"type": "function_call_output", "call_id": call["call_id"], "output": f"{self.turn} degrees"}
            output = self._ask(world, answer, tools=[WEATHER])
        said = output[-1]["content"][0]["text"]
        assert f"your name is Ada{self.number}" in said, said
        assert f"I see {self.seen - len(output)} item" in said, (self.seen - len(output), said)

    def _ask(self, world: World, item: Item, **options: Any) -> list[Item]:
        client = random.choice(world.clients)  # not drawn for secrecy
        items = [*self.items, item] if self.refers else [item]
        request = {"model": "gpt-5", "input": items, **options}
        if not self.refers and self.last is not None:
            request["previous_response_id"] = self.last
        response = self._streamed(client, request) if self.streams else self._whole(client, request)
        output: list[Item] = [one.model_dump(exclude_none=True) for one in response.output]
        references = [{"type": "item_reference", "id": one["id"]} for one in output]
        self.items = [*items, *references]
        self.last = response.id
        world.wait_remembered(response.id)
        self.seen += 1 + len(output)
        return output

    def _whole(self, client: openai.OpenAI, request: dict[str, Any]) -> Any:
        raw = client.responses.with_raw_response.create(**request)
        self._report(raw.headers)
        return raw.parse()

    def _streamed(self, client: openai.OpenAI, request: dict[str, Any]) -> Any:
        with client.responses.with_streaming_response.create(**request, stream=True) as raw:
            self._report(raw.headers)
            events = list(raw.parse())
        return events[-1].response

    def _report(self, headers: Any) -> None:
        self.reports.append({name: headers.get(f"x-unpinned-{name}", "") for name in ("fidelity", "store", "action")})


def all_at_once(world: World, conversations: list[Conversation], turns: int) -> None:
    """Let all conversations go on for some turns, six at a time."""

    def go_on(one: Conversation) -> None:
        for _ in range(turns):
            one.go_on(world)

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(go_on, conversations))


def main(count: int) -> None:
    """Let `count` conversations travel, with a killed process and a restarted Redis on the way."""
    with tempfile.TemporaryDirectory() as directory, travelling(Path(directory)) as world:
        conversations = [Conversation(number) for number in range(count)]
        began = time.monotonic()
        for turns, change in ((4, "kill"), (3, "restart"), (3, "")):
            all_at_once(world, conversations, turns)
            if change == "kill":
                world.fleet.kill(0)
            elif change == "restart":
                world.fleet.replace(0)
                world.redis.stop()
                world.redis.start()
                world.wait_found(conversations[0].last)
        requests = sum(len(one.reports) for one in conversations)
        lost = sum(report["fidelity"] == "lossy" for one in conversations for report in one.reports)
        seconds = time.monotonic() - began
        sys.stdout.write(f"{count} conversations, {requests} requests, {lost} lossy, {seconds:.0f} s\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
