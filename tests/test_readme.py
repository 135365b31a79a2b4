"""The README is true: its commands, its tables, its links, its code."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from proxy.http import request_head
from proxy.http.faults import HOP
from proxy.report import ACTIONS, FIDELITIES
from proxy.responses.body import size
from proxy.server.process import CLIENTS
from proxy.settings.table import TABLE
from tests.support.readme_tables import settings_table

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_the_settings_table_is_the_programs() -> None:
    """The table of settings is what the program itself would print."""
    shown = README.partition("<!-- settings -->\n")[2].partition("\n<!-- /settings -->")[0]
    assert shown == settings_table()


def test_every_setting_it_names_exists() -> None:
    """No variable is spoken of that the program does not read; UNPINNED_PORT is Kubernetes'."""
    named = set(re.findall(r"UNPINNED_[A-Z_]+[A-Z]", README))
    assert named <= {row.variable for row in TABLE} | {"UNPINNED_PORT", "UNPINNED_CONFIG"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["serve", "--help"],
        ["explain", "--help"],
        ["check", "--help"],
        ["demo", "--help"],
        ["fake-openai", "--help"],
        ["--version"],
    ],
    ids=" ".join,
)
def test_its_commands_exist(arguments: list[str]) -> None:
    """The commands that the README names are there."""
    done = subprocess.run([sys.executable, "-m", "proxy", *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "unpinned" in done.stdout


def test_the_explanation_it_shows(tmp_path: Path) -> None:
    """What `explain` is shown to say of the request that is shown is what it says."""
    transcript = blocks("console")[0]
    request, said = re.fullmatch(
        r"\$ cat request\.json\n(.*\n)\$ unpinned explain --mode strip request\.json\n(.*)", transcript, re.DOTALL
    ).groups()  # type: ignore[union-attr]
    (tmp_path / "request.json").write_text(request)
    command = [sys.executable, "-m", "proxy", "explain", "--mode", "strip", str(tmp_path / "request.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, said, "")


def test_the_commands_it_shows() -> None:
    """What is to be typed is what the continuous integration does: set up and run, in a virtual environment."""
    demo, use, tests = blocks("sh")
    assert demo == "python3 -m venv .venv && .venv/bin/pip install --quiet . && .venv/bin/unpinned demo\n"
    assert ".venv/bin/unpinned " in use
    assert tests.startswith("python3 -m venv .venv && .venv/bin/pip install --quiet --editable '.[test]'")
    ran = (ROOT / ".ci" / "run").read_text()
    assert "--editable '.[test]'" in ran
    assert "python -m pytest" in ran
    assert tests.endswith(".venv/bin/python -m pytest\n")


@pytest.mark.parametrize("code", blocks("python"))
def test_its_python_is_python(code: str) -> None:
    """The examples for Python can be compiled, and point at where Unpinned listens."""
    assert ast.parse(code).body
    assert "http://127.0.0.1:8080/v1" in code


def test_its_configuration_is_toml() -> None:
    """The example for Codex is TOML, and keeps it from WebSockets."""
    [code] = blocks("toml")
    assert tomllib.loads(code)["model_providers"]["unpinned"]["supports_websockets"] is False


def test_its_links_lead_somewhere() -> None:
    """Each link within the page has its heading."""
    headings = re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]*)\)", README)) <= anchors


def test_its_pictures_are_there() -> None:
    """Each picture that it shows is in the repository, and loads in a moment."""
    pictures = set(re.findall(r"\.github/[\w.-]+", README))
    assert pictures
    if not (ROOT / ".github").is_dir():
        pytest.skip("the source distribution has no pictures")
    for picture in pictures:
        assert 0 < (ROOT / picture).stat().st_size < 150_000


def test_the_report_it_explains() -> None:
    """Every action and every fidelity there is, is explained."""
    for word in (*ACTIONS, *FIDELITIES):
        assert f"`{word}`" in README


def test_the_faults_it_explains() -> None:
    """Every status that the hop answers with of itself is spoken of."""
    for row in HOP.values():
        assert str(row.status) in README


def test_the_limits_it_names() -> None:
    """The sizes that are no settings are those of the code."""
    section = README.partition("## Security")[2].partition("## Limits")[0]
    assert f"| a head | {request_head.MOST // 1024} KiB," in section
    assert f"{size.MOST:,} values" in section
    assert CLIENTS == 7 / 8
    assert "| connections | 7 in 8 descriptors" in section
