"""Curves as SVG, written by hand: both axes logarithmic, so that linear growth is a straight line of slope one."""

from collections.abc import Iterable, Iterator
from math import ceil, floor, log10
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench.growth import Curves

_WIDTH, _HEIGHT = 720, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 130, 40, 50
_COLOURS: Final = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b")


class Plot(NamedTuple):
    """One picture: its file, what it shows, and what its axes are."""

    file: str
    title: str
    across: str
    up: str


PLOTS: Final = {
    "request": Plot("body-size.svg", "CPU for a request, by the size of its body", "bytes", "µs"),
    "event": Plot("streams-cpu.svg", "CPU for an event, by the number of open streams", "streams", "µs"),
    "memory": Plot("streams-memory.svg", "Memory for open streams", "streams", "MiB"),
}


class Axis(NamedTuple):
    """Decades from `low` to `high`, drawn from `start` to `end`."""

    low: int
    high: int
    start: float
    end: float

    def at(self, value: float) -> float:
        """Where a value stands."""
        part = (log10(max(value, 10**self.low)) - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)

    def decades(self) -> range:
        """The powers of ten on it."""
        return range(self.low, self.high + 1)


def write(directory: Path, growth: dict[str, Curves]) -> None:
    """Draw each plot into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, plot in PLOTS.items():
        if growth.get(name):
            (directory / plot.file).write_text(svg(plot, growth[name]))


def svg(plot: Plot, curves: Curves) -> str:
    """The picture."""
    across = _axis((x for points in curves.values() for x, _ in points), _LEFT, _WIDTH - _RIGHT)
    up = _axis((y for points in curves.values() for _, y in points), _HEIGHT - _BOTTOM, _TOP)
    parts = [*_frame(plot), *_grid(across, up)]
    for number, (name, points) in enumerate(curves.items()):
        placed = [(across.at(x), up.at(y)) for x, y in points]
        parts += _curve(name, placed, _COLOURS[number % len(_COLOURS)], _TOP + 20 * number)
    return "\n".join([*parts, "</svg>\n"])


def _axis(values: Iterable[float], start: float, end: float) -> Axis:
    found = [value for value in values if value > 0] or [1.0]
    low = floor(log10(min(found)))
    return Axis(low, max(ceil(log10(max(found))), low + 1), start, end)


def _frame(plot: Plot) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="12" fill="#222">'
    )
    yield f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>'
    yield _text(_LEFT, 22, plot.title, size=15)
    yield _text(_WIDTH - _RIGHT, _HEIGHT - 12, plot.across, anchor="end")
    yield _text(12, _TOP - 14, plot.up)


def _grid(across: Axis, up: Axis) -> Iterator[str]:
    for power in across.decades():
        x = across.at(10.0**power)
        yield _line(x, up.start, x, up.end)
        yield _text(x, up.start + 16, _number(power), anchor="middle")
    for power in up.decades():
        y = up.at(10.0**power)
        yield _line(across.start, y, across.end, y)
        yield _text(across.start - 6, y + 4, _number(power), anchor="end")


def _curve(name: str, points: list[tuple[float, float]], colour: str, legend: float) -> Iterator[str]:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for x, y in points:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
    yield f'<rect x="{_WIDTH - _RIGHT + 14}" y="{legend:.0f}" width="12" height="12" fill="{colour}"/>'
    yield _text(_WIDTH - _RIGHT + 32, legend + 11, name)


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{text}</text>'


def _number(power: int) -> str:
    return f"{10**power:,}" if power >= 0 else f"{10.0**power:g}"
