"""How cost grows: with the size of a body, and with the number of open streams."""

import functools
from collections.abc import Callable
from typing import Final

from tests.bench import work
from tests.bench.measuring import Bench, Running, cpu_a_request, open_streams
from tests.bench.proxies import Proxy
from tests.bench.report import say

Curves = dict[str, list[tuple[float, float]]]
"""Points of each candidate."""

SIZES: Final = tuple(2048 * 8**step for step in range(6))
"""Bytes of a body: 2 KiB to 64 MiB."""
STREAMS: Final = (1, 10, 100, 1000, 5000)
_TURN: Final = 6800  # bytes, as in W2
_EVENTS_A_SECOND: Final = 2000  # of all streams together
_EVENTS: Final = 12  # of each stream, at least: what its beginning and its end cost is shared by them


def measured(bench: Bench, proxies: list[Proxy], *, quick: bool) -> dict[str, Curves]:
    """Each curve of each candidate: CPU for a request, CPU for an event, memory for streams."""
    curves: dict[str, Curves] = {"request": {}, "event": {}, "memory": {}}
    for size in SIZES:
        for proxy in proxies:
            _point(bench, proxy, curves, functools.partial(_at_size, bench, size))
    for count in STREAMS[: -1 if quick else None]:
        for proxy in proxies:
            _point(bench, proxy, curves, functools.partial(_at_streams, bench, count))
    return curves


def _point(
    bench: Bench,
    proxy: Proxy,
    curves: dict[str, Curves],
    measure: Callable[[Running], dict[str, tuple[float, float]]],
) -> None:
    with bench.started(proxy) as running:
        for curve, point in measure(running).items():
            curves[curve].setdefault(proxy.name, []).append(point)
            say(f"  {proxy.name}: {curve} at {point[0]:,.0f}: {point[1]:.4g}")


def body(size: int) -> bytes:
    """A conversation of at most that size, in turns of the size they have in W2."""
    text = size * 14 // 15  # the rest is names and brackets
    return work.conversation(text, max(2, text // _TURN))


def _at_size(bench: Bench, size: int, running: Running) -> dict[str, tuple[float, float]]:
    task = work.answered(700, body(size), 4)
    values = cpu_a_request("request", lambda: task)(bench, running)
    return {"request": (len(task.body), values["request"])} if "request" in values else {}


def _at_streams(bench: Bench, count: int, running: Running) -> dict[str, tuple[float, float]]:
    gap = max(1, count * 1000 // _EVENTS_A_SECOND)
    ramp = count / 1000
    task = work.streamed(max(_EVENTS, int((ramp + 5) * 1000 / gap)), gap, count)
    values = open_streams(bench, running, task)
    points = {"memory": (float(count), values["growth"])}
    return points | ({"event": (float(count), values["event"])} if "event" in values else {})
