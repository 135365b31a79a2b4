"""`python -m tests.bench.conversations`: what conversations in a store cost, on each engine that is installed.

A process of the proxy before the fake API, one request after the other: milliseconds at the client (median and 99th
percentile), and the process's own CPU. Needs redis-server and PostgreSQL.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from statistics import quantiles
from typing import Any, Final

import httpx2

from proxy import fake_openai
from tests.support.postgresql_server import postgresql_running
from tests.support.process import running
from tests.support.redis_server import redis_running

ITEM: Final = {"role": "user", "content": "x" * 600}
_MANY: Final = 10_000
_BLOCK: Final = 5
_QUIET: Final = 0.05

Figures = tuple[float, float, float]
"""Median, 99th percentile, and CPU of the process, in milliseconds."""


class Timed:
    """Something that is done again and again."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._took: list[float] = []
        self.cpu = 0.0
        """Seconds that the process used for it."""

    def take(self, count: int) -> None:
        """Do it so often."""
        for _ in range(count):
            began = time.perf_counter()
            self._work()
            self._took.append((time.perf_counter() - began) * 1000)

    def forget(self) -> None:
        """Leave out what was taken up to now, because caches were cold."""
        self._took.clear()
        self.cpu = 0.0

    def figures(self) -> Figures:
        """What it cost."""
        cut = quantiles(self._took, n=100)
        return cut[49], cut[98], self.cpu * 1000 / len(self._took)


class Bench:
    """One engine, behind one process."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        upstream = stack.enter_context(fake_openai.running(fake_openai.build()))
        settings = {"UNPINNED_STORE": url, "UNPINNED_CONVERSATIONS": "store", "UNPINNED_LOG_LEVEL": "warning"}
        self._process = stack.enter_context(running("--upstream", upstream, "--log-level", "info", **settings))
        self._http = stack.enter_context(httpx2.Client(trust_env=False, timeout=60))
        self._base = f"http://127.0.0.1:{self._process.port}/v1"

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer; one that finds the lock held is asked for again."""
        while True:
            found = self._http.request(method, self._base + path, json=body, headers={"authorization": "Bearer k"})
            if found.status_code == 200:
                return found.json()
            assert found.json()["error"]["code"] == "conversation_locked", found.text

    def cpu(self) -> float:
        """Seconds of CPU that the process has used."""
        return time.clock_gettime(
            (~self._process.pid << 3) | 2
        )  # the clock of another process, as the C library has it

    def timed(self, count: int, work: Callable[[], Any]) -> Figures:
        """What it costs to do something so often."""
        work()
        timed, before = Timed(work), self.cpu()
        timed.take(count)
        timed.cpu = self.cpu() - before
        return timed.figures()

    def begun(self, items: int) -> str:
        """A conversation of so many items."""
        found: str = self.send("POST", "/conversations", {"items": [ITEM] * min(items, 20)})["id"]
        for _ in range(20, items, 20):
            self.send("POST", f"/conversations/{found}/items", {"items": [ITEM] * 20})
        return found

    def figures(self, count: int) -> Iterator[tuple[str, Figures]]:
        """Each figure by its name."""
        yield "create", self.timed(count, lambda: self.send("POST", "/conversations", {}))
        one = self.begun(0)
        for size in (1, 20):
            add = partial(self.send, "POST", f"/conversations/{one}/items", {"items": [ITEM] * size})
            yield f"add {size}", self.timed(count, add)
        many = self.begun(_MANY)
        yield f"list 20 of {_MANY}", self.timed(count, lambda: self.send("GET", f"/conversations/{many}/items"))
        history = [ITEM if place % 2 else {"role": "assistant", "content": "y" * 600} for place in range(150)]
        first = self.send("POST", "/responses", {"model": "gpt-4.1", "input": [*history, ITEM]})["id"]
        asked: dict[str, Any] = {"model": "gpt-4.1", "input": "And now?"}
        time.sleep(0.5)  # the response is remembered behind its answer
        named = {**asked, "previous_response_id": first}
        yield from self._turns(count, named, asked)

    def _turns(self, count: int, named: dict[str, Any], asked: dict[str, Any]) -> Iterator[tuple[str, Figures]]:
        """A response that continues another, and one in a conversation, in turns: what the machine does hits both.

        Each turn has a conversation of its own, of 150 items and as many as a first turn had.
        """
        left = [self.begun(150) for _ in range(count + _BLOCK)]
        for conversation in left:
            self.send("POST", "/responses", {**asked, "conversation": conversation})
        by = {
            "a response, 150 items by previous_response_id": Timed(lambda: self.send("POST", "/responses", named)),
            "the same, by conversation": Timed(
                lambda: self.send("POST", "/responses", {**asked, "conversation": left.pop()})
            ),
        }
        for block in range(-1, count // _BLOCK):
            for timed in by.values():
                time.sleep(_QUIET)  # what is written behind the answers before is not this block's
                before = self.cpu()
                timed.take(_BLOCK)
                time.sleep(_QUIET)
                timed.cpu += self.cpu() - before
                if block < 0:
                    timed.forget()
        for name, timed in by.items():
            yield name, timed.figures()


def store_of(engine: str, place: str, stack: ExitStack) -> str:
    """A store of this engine, which ends with the stack."""
    if engine == "redis":
        return stack.enter_context(redis_running()).url
    return f"sqlite:///{place}/store.db" if engine == "sqlite" else stack.enter_context(postgresql_running()).url


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.conversations", description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="how often each is done [100]")
    parser.add_argument("--engines", default="sqlite,redis,postgresql", help="[sqlite,redis,postgresql]")
    options = parser.parse_args()
    found: dict[str, dict[str, Figures]] = {}
    for engine in options.engines.split(","):
        with ExitStack() as stack:
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
            for name, figure in Bench(store_of(engine, place, stack), stack).figures(options.count):
                found.setdefault(name, {})[engine] = figure
    for name, row in found.items():
        cells = [f"{engine} {p50:.1f} / {p99:.1f} ms, CPU {cpu:.1f}" for engine, (p50, p99, cpu) in row.items()]
        sys.stdout.write(f"{name}: {'; '.join(cells)}\n")
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
