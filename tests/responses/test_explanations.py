"""Everything a report can say has words for people."""

import ast
from pathlib import Path
from typing import get_args

import pytest

from proxy.events import Action, Fidelity
from proxy.responses import explanations
from proxy.responses.explanations import ACTIONS, FIDELITIES, REFUSALS, REMOVED, REPAIRED, Explanation
from proxy.responses.recovery.refusals import RefusalKind

CORE = Path(explanations.__file__).parent


def _said(name: str) -> bool:
    """Whether the core has the word `name` in its code, outside of this table."""
    trees = [ast.parse(path.read_text()) for path in CORE.rglob("*.py") if path.name != "explanations.py"]
    return any(isinstance(node, ast.Constant) and node.value == name for tree in trees for node in ast.walk(tree))


def test_nothing_is_without_words() -> None:
    """Each action, fidelity and class of refusal is explained, and nothing else is."""
    assert ACTIONS.keys() == set(get_args(Action))
    assert FIDELITIES.keys() == set(get_args(Fidelity))
    assert REFUSALS.keys() == set(get_args(RefusalKind))


@pytest.mark.parametrize(("name", "explanation"), [*REMOVED.items(), *REPAIRED.items()])
def test_each_row_is_about_something(name: str, explanation: Explanation) -> None:
    """A row is for a name that the core uses, and says in sentences what the rule is and what to do."""
    assert _said(name)
    assert explanation.rule.endswith(".")
    assert explanation.avoid.endswith(".")
    assert not explanation.lost.endswith(".")


def test_no_name_is_without_a_row() -> None:
    """The names of both report fields are those of the tables."""
    assert set(REMOVED) == {
        "previous_response_id", "item_id", "item_reference", "reasoning", "encrypted_content", "compaction",
        "envelope_field", "conversation", "trimmed",
    }  # fmt: skip
    assert set(REPAIRED) == {"orphan_output", "placeholder", "image", "summary", "note"}
