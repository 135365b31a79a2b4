"""The real Codex CLI with the documented configuration: a session begins on one server and goes on at another."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from proxy import fake_openai
from tests.support.pages import page
from tests.support.process import environment
from tests.support.product import unpinned
from tests.support.serving import serving

CODEX = shutil.which("codex")
CONFIGURATION = re.search(r"```toml\n(model_provider = .*?)```", page("examples"), re.DOTALL)


def asked(home: Path, port: int, question: str, *more: str, settings: str = "") -> str:
    """What Codex says when it is asked through the proxy at a port; `settings` are further ones of the provider."""
    assert CONFIGURATION is not None
    assert CODEX is not None
    told = CONFIGURATION[1].replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    (home / "config.toml").write_text(f'model = "gpt-5.4"\n{told}{settings}')
    command = [CODEX, "exec", "--skip-git-repo-check", "--sandbox", "read-only", *more, question]
    variables = environment(CODEX_HOME=str(home), OPENAI_API_KEY=f"sk-{port}")
    done = subprocess.run(
        command, cwd=home, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(CODEX is None, reason="codex is not installed (npm install --global @openai/codex)")
def test_a_session_goes_on_elsewhere(tmp_path: Path) -> None:
    """Each server has an API and a key of its own, and what the first was told is known at the second."""
    with (
        serving(fake_openai.build(instance="one")) as first,
        serving(fake_openai.build(instance="two")) as second,
        unpinned(f"http://127.0.0.1:{first}/v1") as here,
        unpinned(f"http://127.0.0.1:{second}/v1") as there,
    ):
        asked(tmp_path, here, "My name is Ada. Hello.")
        assert "your name is Ada" in asked(tmp_path, there, "What is my name?", "resume", "--last")
