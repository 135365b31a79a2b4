"""The README and the pages for users are true: commands, tables, code."""

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.cli import commands, parsed
from proxy.http import request_head
from proxy.http.faults import HOP
from proxy.report import ACTIONS, FIDELITIES
from proxy.responses.body import size
from proxy.server.serving import CLIENTS
from proxy.settings import load
from tests.support.pages import PAGES, README, ROOT, between, blocks, page
from tests.support.readme_tables import settings_table

PICTURES = ROOT / "docs" / "pictures"


def test_the_settings_table_is_the_programs() -> None:
    """The table of settings is what the program itself would print."""
    assert between("settings", page("settings")) == settings_table()


def shown(text: str) -> Iterator[str]:
    """The commands that a page shows: lines of its blocks, and words within its sentences."""
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        lines = block.replace("\\\n", " ").splitlines()
        yield from (found[1] for line in lines if (found := re.match(r"(?:\$ |\.venv/bin/)?(unpinned\b[^|]*)", line)))
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    yield from re.findall(r"(?<!`)`(unpinned(?: [^`|]+)?)`", prose.replace("\n", " "))


COMMANDS = sorted({command for path in (*PAGES, ROOT / "deploy" / "README.md") for command in shown(path.read_text())})


NAMES = [[name] for name in commands()]
"""Commands as sentences name them, some of which need more words: the page of the command line has all."""


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.split()[1:] not in NAMES])
def test_each_command_can_be_given(command: str) -> None:
    """Each command that a page shows is one, with flags that there are and values that they take."""
    given = vars(parsed(shlex.split(command, comments=True)[1:]))
    assert load({name: value for name, value in given.items() if isinstance(value, str)}, {})


def test_every_command_is_documented() -> None:
    """The page of the command line has a row for each command, and no other."""
    documented = re.findall(r"^\| `unpinned ([a-z-]+)` \|", page("commands"), re.MULTILINE)
    assert documented == list(commands())


def test_what_check_says_is_documented() -> None:
    """Each line of `check` that the page of the command line explains is one that it prints."""
    lines = re.findall(r"^\| `(?:BAD|WARN) +(.+?)` \|", page("commands"), re.MULTILINE)
    printed = "".join((ROOT / name).read_text() for name in ("proxy/commands/check.py", "tests/commands/test_check.py"))
    assert len(lines) > 5
    for line in lines:
        assert all(words.strip() in printed for words in line.replace("HTTPS_PROXY", "").split("…")), line


def test_the_readme_is_short() -> None:
    """The README is read in a few minutes; what is looked up has pages of its own."""
    assert len(README.splitlines()) <= 220


def test_the_explanation_it_shows(tmp_path: Path) -> None:
    """What `explain` is shown to say of the request that is shown is what it says."""
    transcript = blocks("console", page("explain"))[0]
    request, said = re.fullmatch(
        r"\$ cat request\.json\n(.*\n)\$ unpinned explain --mode strip request\.json\n(.*)", transcript, re.DOTALL
    ).groups()  # type: ignore[union-attr]
    (tmp_path / "request.json").write_text(request)
    command = [sys.executable, "-m", "proxy", "explain", "--mode", "strip", str(tmp_path / "request.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, said, "")


def test_the_first_commands() -> None:
    """What a newcomer types first is what the continuous integration does: install, run, see it happen."""
    start, use, demo = blocks("sh", README)
    assert start == "python3 -m venv .venv && .venv/bin/pip install --quiet . && .venv/bin/unpinned\n"
    assert use.startswith("export OPENAI_BASE_URL=http://127.0.0.1:8080/v1 ")
    assert demo == ".venv/bin/unpinned demo\n"
    assert "user/bin/unpinned demo" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("code", blocks("python", README + page("examples")))
def test_its_python_is_python(code: str) -> None:
    """The examples for Python can be compiled, and point at where Unpinned listens."""
    assert ast.parse(code).body
    assert "http://127.0.0.1:8080/v1" in code


def test_its_configuration_is_toml() -> None:
    """The example for Codex is TOML, and leads it to Unpinned."""
    [code] = blocks("toml", page("examples"))
    assert tomllib.loads(code)["model_providers"]["unpinned"]["base_url"] == "http://127.0.0.1:8080/v1"


def test_the_pictures_are_there() -> None:
    """Each picture that a page shows is in the repository, loads in a moment, and each one there is shown."""
    shown = {name for path in PAGES for name in re.findall(r"pictures/([\w.-]+)", path.read_text())}
    assert shown == {path.name for path in PICTURES.iterdir()}
    assert all(0 < (PICTURES / name).stat().st_size < 150_000 for name in shown)


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
    section = page("security").partition("## Limits")[0]
    assert f"| a head | {request_head.MOST // 1024} KiB," in section
    assert f"{size.MOST:,} values" in section
    assert CLIENTS == 7 / 8
    assert "| connections | 7 in 8 descriptors" in section
