"""`unpinned demo --store`: a conversation of references goes on on every server."""

import io
import re
import subprocess
import sys

import pytest

from proxy.demo import shared_store
from proxy.demo.shared_store import main
from proxy.demo.stage import Account


def test_it_shows_the_problem_and_its_end() -> None:
    """Directly the second server refuses; with the store each server knows all that the others were told, both ways."""
    told = io.StringIO()
    assert main(Account(told)) == 0
    text = told.getvalue()
    assert re.search(r"400: Previous response with id 'resp_\w+' not found\.", text)
    assert text.count("fidelity lossless, attempts 1, store hit, removed previous_response_id=1") == 3
    assert text.count("your name is Ada") == 6
    assert re.search(r"server 1  begins conv_[0-9a-f]{48}\n", text)
    assert text.endswith("All behaved.\n")


def test_what_does_not_behave_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the context is not there, the exit code is 1 and the account says what was wrong."""
    monkeypatch.setattr(shared_store, "_QUESTIONS", ("Nothing in particular.",))
    told = io.StringIO()
    assert main(Account(told)) == 1
    assert "NOT AS IT SHOULD BE: the model should have seen all of it" in told.getvalue()


def test_the_command() -> None:
    """It is a flag of the demonstration."""
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "demo", "--store"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.endswith("All behaved.\n")
