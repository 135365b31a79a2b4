"""Rounds, interleaved: each piece of work goes to every candidate in turn before the next one begins.

Figures are compared inside a round only. The order of the candidates changes from round to round.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median
from typing import Any, Final, NamedTuple

from tests.bench import measuring
from tests.bench.figures import FIGURES, Values
from tests.bench.measuring import Bench, Measure, Running
from tests.bench.proxies import NGINX, Proxy
from tests.bench.report import say

Round = dict[str, Values]
"""The figures of each candidate, by its name."""

_MEASURES: Final = {**measuring.SHARED, **measuring.FRESH, **measuring.ONCE}
NAMES: Final = tuple(_MEASURES)


class Summary(NamedTuple):
    """The medians of all rounds: of the figures, and of their ratios to nginx in the same round."""

    values: Round
    ratios: Round


def run(bench: Bench, proxies: list[Proxy], rounds: int, wanted: frozenset[str]) -> list[Round]:
    """All rounds. What is measured once belongs to the first."""
    done = []
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        turn = number % len(proxies)
        done.append(_round(bench, [*proxies[turn:], *proxies[:turn]], wanted))
    for measure in _chosen(measuring.ONCE, wanted):
        for proxy in proxies:
            _on_its_own(bench, proxy, measure, done[0][proxy.name])
    return done


def _round(bench: Bench, proxies: list[Proxy], wanted: frozenset[str]) -> Round:
    found: Round = {proxy.name: {} for proxy in proxies}
    shared = _chosen(measuring.SHARED, wanted)
    with ExitStack() as stack:
        lively = [stack.enter_context(bench.started(proxy)) for proxy in proxies] if shared else []
        for measure in shared:
            for running in lively:
                _note(found[running.proxy.name], _measured(measure, bench, running))
    for measure in _chosen(measuring.FRESH, wanted):
        for proxy in proxies:
            _on_its_own(bench, proxy, measure, found[proxy.name])
    return found


def _on_its_own(bench: Bench, proxy: Proxy, measure: Measure, values: Values) -> None:
    with bench.started(proxy) as running:
        _note(values, _measured(measure, bench, running))


def _measured(measure: Measure, bench: Bench, running: Running) -> Values:
    values = measure(bench, running)
    shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    say(f"  {running.proxy.name}: {shown}")
    return values


def _chosen(measures: dict[str, Measure], wanted: frozenset[str]) -> list[Measure]:
    return [measure for name, measure in measures.items() if name in wanted]


def _note(values: Values, more: Values) -> None:
    failed = values.get("failed", 0) + more.get("failed", 0)
    values.update(more)
    values["failed"] = failed


def summary(rounds: list[Round]) -> Summary:
    """The medians."""
    names = list(rounds[0])
    values = {name: dict(_medians([each[name] for each in rounds])) for name in names}
    ratios = {name: dict(_medians([_ratios(each, name) for each in rounds])) for name in names}
    for name in names:
        values[name]["failed"] = sum(each[name].get("failed", 0) for each in rounds)
    return Summary(values, ratios)


def _medians(rounds: list[Values]) -> Iterator[tuple[str, float]]:
    for figure in FIGURES:
        found = [values[figure.name] for values in rounds if figure.name in values]
        if found:
            yield figure.name, median(found)


def _ratios(one: Round, name: str) -> Values:
    beside = one.get(NGINX.name, {})
    return {figure: value / beside[figure] for figure, value in one[name].items() if beside.get(figure, 0) > 0}


def as_json(rounds: list[Round]) -> dict[str, Any]:
    """For the machine-readable file."""
    medians, ratios = summary(rounds)
    return {"rounds": rounds, "median": medians, "ratio_to_nginx": ratios}
