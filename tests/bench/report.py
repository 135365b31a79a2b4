"""The result as text: progress, a table for the terminal or for docs/performance.md, and the machine it holds for."""

import platform
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.bench.figures import FIGURES, Figure, Values

if TYPE_CHECKING:
    from tests.bench.proxies import Proxy

_IN_WORDS: Final = {"none": "", "nginx": "≤ nginx's"}
_CPU_INFO: Final = Path("/proc/cpuinfo")


def say(line: str) -> None:
    """Tell how it goes."""
    sys.stderr.write(line + "\n")


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    model = re.search(r"^model name\s*:\s*(.+)$", _CPU_INFO.read_text(), re.MULTILINE)
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": str(len(re.findall(r"^processor\s*:", _CPU_INFO.read_text(), re.MULTILINE))),
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
    }


def candidates(proxies: Iterable["Proxy"], verdicts: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Who was measured: what it does, its version, and what reaches upstream."""
    return {
        proxy.name: {"what": proxy.what, "version": proxy.version(), "arrives": verdicts.get(proxy.name, "")}
        for proxy in proxies
    }


def table(result: Mapping[str, Any]) -> list[list[str]]:
    """The table, row by row, from the machine-readable result."""
    medians: dict[str, Values] = result["median"]
    ratios: dict[str, Values] = result["ratio_to_nginx"]
    rows = [["", *medians, "goal, aim"]]
    for figure in FIGURES:
        if any(figure.name in values for values in medians.values()):
            cells = [_cell(figure, medians[name], ratios[name]) for name in medians]
            rows.append([_label(figure), *cells, _goal(figure)])
    return [*rows, ["reaches upstream", *(result["candidates"][name]["arrives"] for name in medians), ""]]


def _label(figure: Figure) -> str:
    return f"{figure.label}, {figure.unit}" if figure.unit else figure.label


def _cell(figure: Figure, values: Values, ratios: Values) -> str:
    if figure.name not in values:
        return "-"
    text = f"{values[figure.name]:,.{figure.digits}f}"
    compared = figure.goal in ("ratio", "none") and figure.name in ratios
    return f"{text} ({ratios[figure.name]:.2g}x)" if compared else text


def _goal(figure: Figure) -> str:
    if figure.goal in _IN_WORDS:
        return _IN_WORDS[figure.goal]
    mark = "x" if figure.goal == "ratio" else ""
    return f"≤ {figure.reach:g}{mark}" + (f", {figure.aim:g}{mark}" if figure.aim else "")


def text(result: Mapping[str, Any]) -> str:
    """The table in columns."""
    rows = table(result)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    return "\n".join([*lines, "", *_notes(result)])


def markdown(result: Mapping[str, Any]) -> str:
    """The table for docs/performance.md."""
    head, *rows = [row[:-1] for row in table(result)]
    lines = [_row(head), "|---|" + "---:|" * (len(head) - 1), *map(_row, rows)]
    return "\n".join([*lines, "", *_notes(result)])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _notes(result: Mapping[str, Any]) -> list[str]:
    on, rounds = result["machine"], len(result["rounds"])
    parties = [f"{name} ({row['version']}; {row['what']})" for name, row in result["candidates"].items()]
    return [
        f"Median of {rounds} interleaved rounds on {result['date']}; in brackets: beside nginx in the same round.",
        f"{on['cpu']}, {on['cores']} cores, {on['kernel']}; proxy on one core, load and upstream on another, loopback.",
        "CPU is user and system time of all processes of a proxy.",
        f"Candidates: {', '.join(parties)}.",
    ]
