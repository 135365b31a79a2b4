"""What the core takes for a body, by shape: `python -m tests.bench.core [WORD …]`. Seconds, for the inner loop.

Beside it the time of orjson for reading and writing the same body. Microseconds of processor time, the best of several
rounds; WORD picks shapes or modes.
"""

import sys
import time
from collections.abc import Callable
from functools import partial

import orjson

from proxy.responses.exchange import Exchange
from proxy.responses.policy import Policy
from proxy.responses.recovery.lessons import Lessons, LessonScope
from proxy.responses.steps import Compute, Forward
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


def first_attempt(plain: bytes, policy: Policy, scope: LessonScope) -> bytes:
    """The body of the first attempt."""
    steps = Exchange(plain, policy, scope=scope).steps()
    step = next(steps)
    while isinstance(step, Compute):
        step = steps.send(step.work())
    assert isinstance(step, Forward)
    return step.body


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


def _through_orjson(plain: bytes) -> bytes:
    return orjson.dumps(orjson.loads(plain))


def _through_the_core(plain: bytes, make: Callable[[], tuple[Policy, LessonScope]]) -> bytes:
    return first_attempt(plain, *make())


def main(words: list[str]) -> None:
    """Print a table for each size."""
    for title, (turns, size) in SIZES.items():
        sys.stdout.write(f"\n{title:24}{'bytes':>9}{'orjson':>9}" + "".join(f"{name:>9}" for name in scopes()) + "\n")
        for name, plain in shapes(turns, size).items():
            if words and not any(word in name for word in words):
                continue
            row = [cost(partial(_through_orjson, plain))]
            row += [cost(partial(_through_the_core, plain, make)) for make in scopes().values()]
            sys.stdout.write(f"{name:24}{len(plain):9}" + "".join(f"{value:9.0f}" for value in row) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
