"""`python -m tests.bench.stores`: what a store costs, and whether a conversation's length matters to it.

Measured beside no store: how much later a request arrives whose 150 items the store knows, and CPU for the events of
streams that are heard. Grown: a conversation of 500 turns, told turn by turn. Needs redis-server and PostgreSQL too.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

from proxy.store.factory import opened
from proxy.store.interface import Engine, Remembered
from proxy.store.memory import MemoryStore
from tests.bench import measuring, plot, processes, report, work
from tests.bench.growth import Curves
from tests.bench.measuring import Bench, Running
from tests.bench.proxies import ours
from tests.bench.report import say
from tests.bench.traffic import Traffic
from tests.bench.work import Work
from tests.support.postgresql_server import postgresql_running
from tests.support.redis_server import redis_running

TURNS: Final = 500
_STEP: Final = 25
_ANSWER: Final = b"resp_0a1b2c3d4e5f"  # what the upstream calls all of its answers
_ITEM: Final = b'{"type":"message","id":"msg_%d","role":"assistant","content":"%s"}'
_QUESTION: Final = b'{"model":"bench","input":"And now?","store":false,"previous_response_id":"%s"}' % _ANSWER
_FIGURES: Final = {
    "reference": "p50 of a request that names 150 items, µs",
    "inline": "p50 of one that has them inline, µs",
    "event": "CPU for an event that comes alone, µs",
    "burst": "CPU for an event of many at once, µs",
}
_PLOTS: Final = {
    "bytes": plot.Plot("store-bytes.svg", "Bytes that a store takes for a conversation", "turns", "bytes"),
    "tell": plot.Plot("store-tell.svg", "Telling a store of the next turn", "turns", "µs"),
    "recall": plot.Plot("store-recall.svg", "Recalling a conversation", "turns", "µs"),
}


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.stores", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured [5]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    parser.add_argument("--plot", type=Path, metavar="DIR", help="draw the growth in DIR")
    options = parser.parse_args()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        urls = _urls(stack, directory)
        result: dict[str, Any] = {
            "date": datetime.now(UTC).date().isoformat(),
            "machine": report.machine(),
            "growth": _growth({name: url for name, url in urls.items() if name != "none"}),  # while they are empty
            "rounds": list(_rounds(directory, urls, options.rounds)),
        }
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    if options.plot:
        options.plot.mkdir(parents=True, exist_ok=True)
        for name, each in _PLOTS.items():
            (options.plot / each.file).write_text(plot.svg(each, result["growth"][name]))
    sys.stdout.write(_table(result))


def _urls(stack: ExitStack, directory: Path) -> dict[str, str]:
    return {
        "none": "off",
        "memory": "memory",
        "sqlite": f"sqlite:///{directory / 'store.db'}",
        "redis": stack.enter_context(redis_running()).url,
        "postgresql": stack.enter_context(postgresql_running()).url,
    }


def _rounds(directory: Path, urls: dict[str, str], rounds: int) -> Iterator[dict[str, dict[str, float]]]:
    traffic = Traffic(directory, processes.cores().rest)
    traffic.compile()
    with traffic.upstream():
        bench = Bench(traffic, directory, 1.0)
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            names, turn = list(urls), number % len(urls)
            yield {name: _measured(bench, name, urls[name]) for name in [*names[turn:], *names[:turn]]}


def _measured(bench: Bench, name: str, url: str) -> dict[str, float]:
    arguments = f"--store {url} --store-scope bench --store-timeout 5"
    with bench.started(ours(arguments, name=name)) as running:
        values = {
            "inline": _p50(bench, running, work.large()),
            "reference": _p50(bench, running, _QUESTION),
        }
        values |= measuring.paced(bench, running) | measuring.burst(bench, running)
    say(f"  {name}: " + ", ".join(f"{figure} {values[figure]:.4g}" for figure in _FIGURES))
    return values


def _p50(bench: Bench, running: Running, body: bytes) -> float:
    task = Work("size=1500", body, 1, 1500)
    bench.load(running, task, 0.2)
    return bench.load(running, task, 1.0).latency_p50


def _growth(urls: dict[str, str]) -> dict[str, Curves]:
    curves: dict[str, Curves] = {name: {} for name in _PLOTS}
    for name, url in urls.items():
        for turn, values in asyncio.run(_grown(opened(url))):
            for curve, value in values.items():
                curves[curve].setdefault(name, []).append((float(turn), value))
    return curves


async def _grown(engine: Engine) -> list[tuple[int, dict[str, float]]]:
    """What is held after so many turns, and how long the last of them and a look at all of them took."""
    dice = random.Random(work.SEED)
    await engine.prepare()
    empty = await _held(engine)
    points: list[tuple[int, dict[str, float]]] = []
    told = []
    for turn in range(1, TURNS + 1):
        said, answered = dice.randbytes(500).hex().encode(), dice.randbytes(500).hex().encode()
        items = (b'{"role":"user","content":"%s"}' % said, _ITEM % (turn, answered))
        previous = f"resp_{turn - 1}" if turn > 1 else None
        told.append(await _timed(partial(engine.remember, "me", Remembered(f"resp_{turn}", previous, items))))
        if turn % _STEP == 0:
            looks = [await _timed(partial(engine.recall, "me", f"resp_{turn}", ())) for _ in range(5)]
            values = {"bytes": await _held(engine) - empty, "tell": median(told[-_STEP:]), "recall": median(looks)}
            points.append((turn, values))
    await engine.close()
    return points


async def _timed(call: Callable[[], Any]) -> float:
    began = asyncio.get_running_loop().time()
    await call()
    return (asyncio.get_running_loop().time() - began) * 1e6


async def _held(engine: Any) -> float:
    """Bytes that an engine holds."""
    if isinstance(engine, MemoryStore):
        return float(engine._size)
    if hasattr(engine, "_redis"):
        return float((await engine._redis.info("memory"))["used_memory"])
    question = {
        "sqlite": "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
        "postgresql": "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c WHERE relname LIKE 'unpinned_%' "
        "AND relkind = 'r'",
    }
    async with engine._reading.connect() as connection:
        dialect = connection.dialect.name
        return float((await connection.exec_driver_sql(question[dialect])).scalar_one())


def _table(result: dict[str, Any]) -> str:
    names = sorted(result["rounds"][0], key=[*result["growth"]["bytes"], "none"].index)
    names = ["none", *(name for name in names if name != "none")]
    lines = [_row(["", *names]), "|---|" + "---:|" * len(names)]
    for figure, label in _FIGURES.items():
        values = [median(one[name][figure] for one in result["rounds"]) for name in names]
        lines.append(_row([label, *(f"{value:,.{0 if value > 100 else 1}f}" for value in values)]))
    for label, turns in (("first", slice(0, 4)), ("last", slice(-5, None))):
        costs = [_per_turn(result["growth"]["bytes"][name][turns]) for name in names[1:]]
        lines.append(_row([f"bytes a turn, {label} hundred of {TURNS}", "", *(f"{cost:,.0f}" for cost in costs)]))
    on = result["machine"]
    where = f"Median of {len(result['rounds'])} rounds on {result['date']}, {on['cpu']}, {on['cores']} cores, loopback."
    return "\n".join([*lines, "", where, ""])


def _per_turn(points: list[tuple[float, float]]) -> float:
    (first, before), (last, after) = points[0], points[-1]
    return (after - before) / (last - first)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
