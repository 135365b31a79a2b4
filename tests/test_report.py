"""Every name that a report can have is one row of one table, and everything that shows a report uses that table."""

import ast
import re
from pathlib import Path
from typing import get_args

import pytest

from proxy import report
from proxy.hints import BOUND, Bound, Hint
from proxy.observers.prometheus import FAMILIES, OUTCOMES
from proxy.report import (
    ACTIONS,
    EXPLANATIONS,
    FIDELITIES,
    REFUSALS,
    REMEDIES,
    REMOVED,
    REPAIRED,
    STORE,
    STORE_FAILURES,
    Explanation,
    Name,
    RemovedName,
    RepairedName,
    Report,
)
from tests.support.pages import README, page

PACKAGE = Path(report.__file__).parent


def _constants() -> set[object]:
    """Every literal of the core's code, outside of the table."""
    trees = [ast.parse(path.read_text()) for path in (PACKAGE / "responses").rglob("*.py")]
    return {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}


@pytest.mark.parametrize(
    ("table", "names"),
    [
        (ACTIONS, report.Action),
        (FIDELITIES, report.Fidelity),
        (REFUSALS, report.RefusalKind),
        (REMEDIES, report.Remedy),
        (REMOVED, RemovedName),
        (REPAIRED, RepairedName),
        (STORE, report.StoreOutcome),
        (STORE_FAILURES, report.StoreFailure),
        (BOUND, Bound),
    ],
)
def test_each_name_has_its_words(table: dict[str, object], names: object) -> None:
    """A name that the type check accepts has a row, and a row has a name that the type check accepts."""
    assert tuple(table) == get_args(names)


@pytest.mark.parametrize(("name", "explanation"), EXPLANATIONS.items())
def test_each_row_explains(name: Name, explanation: Explanation) -> None:
    """A row is for a name that the core uses; it says the rule, what is lost if anything is, and what avoids it."""
    assert name in _constants()
    assert explanation.rule.endswith(".")
    assert explanation.avoid.endswith(".")
    assert not explanation.lost.endswith(".")
    assert bool(explanation.lost) == (explanation.loss != "never")


def _row(field: str) -> set[str]:
    """The names in the README's row of a response field."""
    (row,) = re.findall(rf"^\| `{field}` \| (.*) \|$", README, re.MULTILINE)
    return set(re.findall(r"`([a-z_]+)`", row))


@pytest.mark.parametrize(
    ("field", "table"),
    [
        ("x-unpinned-action", ACTIONS),
        ("x-unpinned-fidelity", FIDELITIES),
        ("x-unpinned-removed", REMOVED),
        ("x-unpinned-repaired", REPAIRED),
        ("x-unpinned-store", STORE),
        ("x-unpinned-hint", BOUND),
    ],
)
def test_the_readme_lists_them(field: str, table: dict[str, object]) -> None:
    """The README's table of fields has every name of the table, and no other."""
    assert _row(field) == set(table)


def test_the_store_metric_has_every_outcome() -> None:
    """Each outcome of a lookup, and each failure of the store, is a label of `unpinned_store_total`."""
    assert ("hit", "miss", "down", "gap", *(f"{failure}_failed" for failure in STORE_FAILURES)) == OUTCOMES
    assert "unpinned_store_total" in {family.name for family in FAMILIES}


def test_the_fields_of_a_report() -> None:
    """A report becomes response fields: names with their counts, in the order in which they were counted."""
    counts: tuple[dict[RemovedName, int], dict[RepairedName, int]] = {"item_id": 2, "reasoning": 0}, {"note": 1}
    told = Report("rewritten", "lossy", *counts, 2, "miss", hint=Hint("file"))
    assert told.fields() == [
        (b"x-unpinned-action", b"rewritten"),
        (b"x-unpinned-fidelity", b"lossy"),
        (b"x-unpinned-attempts", b"2"),
        (b"x-unpinned-removed", b"item_id=2"),
        (b"x-unpinned-repaired", b"note=1"),
        (b"x-unpinned-store", b"miss"),
        (b"x-unpinned-hint", b"bound=file"),
    ]
    assert list(told.counts()) == [("item_id", 2), ("note", 1)]
    assert Report().fields() == [
        (b"x-unpinned-action", b"passthrough"),
        (b"x-unpinned-fidelity", b"exact"),
        (b"x-unpinned-attempts", b"1"),
    ]


def test_the_page_of_ids_has_each_kind() -> None:
    """The page of ids says of each thing that cannot travel what a refusal of it is called, and what to do."""
    told = re.findall(r"`bound=([a-z_]+)`: .{20,}", page("ids"))
    assert set(told) == set(BOUND)
