"""The real Codex CLI over WebSockets: a session begins on one server and goes on at another."""

from pathlib import Path

import pytest

from tests.end_to_end.servers import world
from tests.end_to_end.test_codex import CODEX, asked


@pytest.mark.skipif(CODEX is None, reason="codex is not installed (npm install --global @openai/codex)")
@pytest.mark.parametrize("mode", ["auto", "strip"])
def test_a_session_goes_on_elsewhere(mode: str, tmp_path: Path) -> None:
    """Each server has an API of its own, and what the first was told is known at the second; nothing went over HTTP."""
    with world("--mode", mode) as servers:
        here, there = (process.port for process in servers.processes)
        more = "supports_websockets = true"
        asked(tmp_path, here, "My name is Ada. Hello.", settings=more)
        said = asked(tmp_path, there, "What is my name?", "resume", "--last", settings=more)
        assert "your name is Ada" in said
        for process in servers.processes:
            line = process.wait_logged(lambda line: line.get("socket") == "session")
            assert line["turns"] > 1
            assert not [line for line in process.log if line.get("method") == "POST"]
