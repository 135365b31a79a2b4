"""How the core's cost grows: with bytes, items, attempts and lessons. `python -m tests.bench.core --plot DIR`."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from proxy.responses.policy import Policy
from proxy.responses.recovery.lessons import Lessons, LessonScope
from tests.bench import plot
from tests.bench.attempts import attempts, first_attempt, through_orjson
from tests.bench.growth import Curves
from tests.bench.shapes import body, conversation, shapes

PLOTS: Final = {
    "bytes": plot.Plot("core-bytes.svg", "The core's CPU for a first attempt, by the size of its body", "bytes", "µs"),
    "items": plot.Plot("core-items.svg", "The same, by the number of messages, every other with an id", "items", "µs"),
    "attempts": plot.Plot("core-attempts.svg", "The core's CPU for a refused request of 200 KB", "attempts", "µs"),
    "lessons": plot.Plot("core-lessons.svg", "The core's CPU for a first attempt, by lessons learnt", "lessons", "µs"),
}
_SIZES: Final = (*(2048 * 4**step for step in range(8)), 64 * 1024 * 1024)
_ITEMS: Final = (1, 10, 100, 1_000, 10_000, 100_000)
_ATTEMPTS: Final = (1, 2, 3)
_LESSONS: Final = (1, 10, 100, 1_000)
_TURN: Final = 6_800

Measure = Callable[[Callable[[], object]], float]
Points = Iterator[tuple[str, float, Callable[[], object]]]


def _by_size() -> Points:
    for size in _SIZES:
        turns = max(2, min(size // _TURN, 2_000))
        plain = body(conversation(turns, size // turns))
        yield "unpinned", len(plain), partial(first_attempt, plain)
        yield "orjson", len(plain), partial(through_orjson, plain)


def _by_items() -> Points:
    said = {"role": "assistant", "content": "x"}
    for count in _ITEMS:
        items = [
            {**said, "id": f"msg_{number}"} if number % 2 else {"role": "user", "content": "x"}
            for number in range(count)
        ]
        yield "unpinned", count, partial(first_attempt, body([*items[:-1], {"role": "user", "content": "x"}]))


def _by_attempts() -> Points:
    plain = shapes(30, 6_000)["all reasoning bare"]
    policy = Policy(mode="recover", max_recoveries=max(_ATTEMPTS))
    for count in _ATTEMPTS:
        yield "unpinned", count, partial(attempts, plain, count, policy)


def _by_lessons() -> Points:
    for name, plain in (("2 KB", shapes(2, 600)["labels only"]), ("200 KB", shapes(30, 6_000)["labels only"])):
        for count in _LESSONS:
            lessons = Lessons()
            scope = LessonScope(lessons, "me")
            for number in range(count):
                scope.learn_id(f"rs_other_{number}")
                scope.learn_blob(b"blob %d" % number)
            yield name, 2 * count, partial(_taught, plain, lessons)


def _taught(plain: bytes, lessons: Lessons) -> bytes:
    return first_attempt(plain, scope=LessonScope(lessons, "me"))


def measured(measure: Measure) -> dict[str, Curves]:
    """Each curve, by the name of its plot."""
    found: dict[str, Curves] = {}
    for name, points in zip(PLOTS, (_by_size(), _by_items(), _by_attempts(), _by_lessons()), strict=True):
        curves = found[name] = {}
        for curve, across, work in points:
            curves.setdefault(curve, []).append((float(across), measure(work)))
    return found


def draw(directory: Path, measure: Measure) -> dict[str, Curves]:
    """Draw each plot into `directory`; what was measured."""
    found = measured(measure)
    directory.mkdir(parents=True, exist_ok=True)
    for name, each in PLOTS.items():
        (directory / each.file).write_text(plot.svg(each, found[name]))
    return found
