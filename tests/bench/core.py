"""What the core takes for a body, by shape: `python -m tests.bench.core [WORD …]`. Seconds, for the inner loop.

Beside it the time of orjson for reading and writing the same body, and of the scans that no rule can do without
(`scans`): what is above that is interpreted. Microseconds of processor time, the best of several
rounds, in a process set up as one that serves; WORD picks shapes. `--plot DIR` draws how the cost grows instead.
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from proxy.responses.policy import Policy
from proxy.responses.recovery.lessons import Lessons, LessonScope
from proxy.server.tuning import tune
from tests.bench import core_growth
from tests.bench.attempts import first_attempt, scans, through_orjson
from tests.bench.shapes import SIZES, shapes

ROUNDS = 7
SECONDS = 0.03
"""How long one round goes on, at least."""


def scopes() -> dict[str, Callable[[], tuple[Policy, LessonScope]]]:
    """Modes, and a mode with lessons."""
    taught = Lessons()
    scope = LessonScope(taught, "me")
    scope.learn_field("refused", "message:assistant", "phase")
    scope.learn_blob(b'"other"')
    scope.learn_id("rs_unknown")
    return {
        "auto": lambda: (Policy(mode="auto"), LessonScope()),
        "strip": lambda: (Policy(mode="strip"), LessonScope()),
        "recover": lambda: (Policy(mode="recover"), LessonScope()),
        "taught": lambda: (Policy(mode="auto"), LessonScope(taught, "me")),
    }


def cost(work: Callable[[], object]) -> float:
    """Microseconds of processor time, the best of `ROUNDS`."""
    work()
    best = float("inf")
    for _ in range(ROUNDS):
        count, began = 0, time.process_time()
        while (taken := time.process_time() - began) < SECONDS or count < 3:
            work()
            count += 1
        best = min(best, taken / count)
    return best * 1e6


def _through_the_core(plain: bytes, make: Callable[[], tuple[Policy, LessonScope]]) -> bytes:
    return first_attempt(plain, *make())


def main() -> None:
    """Print a table for each size, or draw the growth."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.core", description=__doc__, allow_abbrev=False)
    parser.add_argument("words", nargs="*", metavar="WORD", help="only shapes with this in their name")
    parser.add_argument("--plot", type=Path, metavar="DIR", help="draw how the cost grows in DIR")
    options = parser.parse_args()
    tune()
    if options.plot:
        core_growth.draw(options.plot, cost)
    else:
        _print(options.words)


def _print(words: list[str]) -> None:
    for title, (turns, size) in SIZES.items():
        sys.stdout.write(
            f"\n{title:24}{'bytes':>9}{'orjson':>9}{'scans':>9}" + "".join(f"{name:>9}" for name in scopes()) + "\n"
        )
        for name, plain in shapes(turns, size).items():
            if words and not any(word in name for word in words):
                continue
            row = [cost(partial(through_orjson, plain)), cost(partial(scans, plain))]
            row += [cost(partial(_through_the_core, plain, make)) for make in scopes().values()]
            sys.stdout.write(f"{name:24}{len(plain):9}" + "".join(f"{value:9.0f}" for value in row) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
