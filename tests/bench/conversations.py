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
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

import httpx2

from proxy import fake_openai
from tests.support.postgresql_server import postgresql_running
from tests.support.process import running
from tests.support.redis_server import redis_running

ITEM: Final = {"role": "user", "content": "x" * 600}
_TICKS: Final = 100
_MANY: Final = 10_000


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

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def timed(self, count: int, work: Callable[[], Any]) -> tuple[float, float, float]:
        """Median, 99th percentile and CPU of what is done so often, in milliseconds."""
        took = []
        work()
        before = self._cpu()
        for _ in range(count):
            began = time.perf_counter()
            work()
            took.append((time.perf_counter() - began) * 1000)
        cut = quantiles(took, n=100)
        return cut[49], cut[98], (self._cpu() - before) * 1000 / count

    def begun(self, items: int) -> str:
        """A conversation of so many items."""
        found: str = self.send("POST", "/conversations", {"items": [ITEM] * min(items, 20)})["id"]
        for _ in range(20, items, 20):
            self.send("POST", f"/conversations/{found}/items", {"items": [ITEM] * 20})
        return found

    def figures(self, count: int) -> Iterator[tuple[str, tuple[float, float, float]]]:
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
        yield (
            "a response, 150 items by previous_response_id",
            self.timed(count, lambda: self.send("POST", "/responses", named)),
        )
        yield "the same, by conversation", self._in_conversation(count, asked)

    def _in_conversation(self, count: int, asked: dict[str, Any]) -> tuple[float, float, float]:
        """Each turn has a conversation of its own, of 150 items and as many as a first turn had."""
        left = [self.begun(150) for _ in range(count + 1)]
        for conversation in left:
            self.send("POST", "/responses", {**asked, "conversation": conversation})
        return self.timed(count, lambda: self.send("POST", "/responses", {**asked, "conversation": left.pop()}))


def _url(engine: str, place: str, stack: ExitStack) -> str:
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
    found: dict[str, dict[str, tuple[float, float, float]]] = {}
    for engine in options.engines.split(","):
        with ExitStack() as stack:
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
            for name, figure in Bench(_url(engine, place, stack), stack).figures(options.count):
                found.setdefault(name, {})[engine] = figure
    for name, row in found.items():
        cells = [f"{engine} {p50:.1f} / {p99:.1f} ms, CPU {cpu:.1f}" for engine, (p50, p99, cpu) in row.items()]
        sys.stdout.write(f"{name}: {'; '.join(cells)}\n")
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
