"""The table of kinds is whole: every kind of item has its row, and every row says what pairs with what."""

import pytest

from proxy.responses.items import (
    CALLS,
    HOSTED_SEARCH_OUTPUT,
    ITEM_ENVELOPE,
    KINDS,
    PART_ENVELOPE,
    REQUEST_ENVELOPE,
    kind_of,
)
from tests.support import samples


@pytest.mark.parametrize("name", sorted({**samples.PLAIN, **samples.PINNED}.keys() - {"unknown"}))
def test_every_kind_has_a_row(name: str) -> None:
    """Every kind of item of the API is known."""
    type_, _, role = name.partition(":")
    kind = kind_of(type_, role.replace("easy", "user"), has_id=True)
    assert kind.known
    assert kind.name == type_


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_rows_are_consistent(kind: object) -> None:
    """What an output answers is a call with a row, made by the model; a placeholder belongs to a call."""
    row = KINDS[getattr(kind, "name", "")]
    assert all(KINDS[call].made_by == "model" for call in row.answers)
    assert row.placeholder is None or row.name in CALLS
    assert not (row.made_by == "client" and row.id == "label" and row.placeholder)
    assert row.label == row.name


@pytest.mark.parametrize("name", samples.PINNED)
def test_ids_that_stay(name: str) -> None:
    """An id that pairs, or that a signature is bound to, is never taken for a label."""
    assert KINDS[name].id == "pinned"


@pytest.mark.parametrize(
    ("type_", "role", "has_id", "label"),
    [
        ("message", "user", False, "message:user"),
        ("", "system", True, "message:system"),
        ("", "developer", False, "message:developer"),
        ("message", "assistant", True, "message:assistant"),
        ("message", "", True, ""),
        ("", "ghost", True, ""),
        ("", "", True, "item_reference"),
        ("", "", False, ""),
        ("item_reference", "", True, "item_reference"),
        ("item_reference", "", False, "item_reference"),
        ("web_search_call", "user", True, "web_search_call"),
        ("new_output", "", True, ""),
        ("new", "", True, ""),
    ],
)
def test_kind_of(type_: str, role: str, has_id: bool, label: str) -> None:
    """A row is found by type and role; a bare id is a reference; what has no row is unknown."""
    assert kind_of(type_, role, has_id=has_id).label == label


def test_unknown_outputs() -> None:
    """An unknown kind is the model's, but what ends in `_output` is the client's and something to answer."""
    assert (kind_of("x", "", has_id=True).made_by, kind_of("x_output", "", has_id=True).made_by) == ("model", "client")
    assert kind_of("x_output", "", has_id=True).essential


def test_a_search_that_upstream_ran() -> None:
    """The output of a hosted search is the model's and pairs by its place."""
    assert HOSTED_SEARCH_OUTPUT.made_by == "model"
    assert not HOSTED_SEARCH_OUTPUT.answers


def test_envelope_fields() -> None:
    """No field that a kind of item, a part or a request may have is taken for one of a response's."""
    fields = {
        name
        for item in {**samples.PLAIN, **samples.PINNED}.values()
        for name in item
        if item.get("type") != "hologram_call"
    }
    assert fields.isdisjoint(ITEM_ENVELOPE)
    assert {"annotations", "logprobs", "file_id", "text", "type", "detail"}.isdisjoint(PART_ENVELOPE)
    assert {"model", "input", "reasoning", "text", "tools", "metadata", "store", "prompt"}.isdisjoint(REQUEST_ENVELOPE)
