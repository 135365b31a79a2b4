"""`unpinned completion`: shells complete what the program takes."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from proxy.cli import main

_ASK: Final = {
    "bash": """. "$0"
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shtab_unpinned unpinned "${@: -1}"; echo "${COMPREPLY[@]}" """,
    "fish": 'source $argv[1]; complete --do-complete (string join " " -- $argv[2..]) | string split --fields 1 \\t',
}


def script(shell: str, capsys: Any) -> str:
    """What the command prints for a shell."""
    with pytest.raises(SystemExit) as ended:
        main(["completion", shell])
    assert ended.value.code == 0
    return str(capsys.readouterr().out)


def printed(command: list[str], home: Path) -> tuple[str, str]:
    """What a shell prints, in a home of its own."""
    variables = {"HOME": str(home)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=home, env=variables)
    return done.stdout, done.stderr


@pytest.mark.parametrize("shell", _ASK)
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        (["ch"], ["check"]),
        (["store", "p"], ["purge"]),
        (["--mo"], ["--mode"]),
        (["check", "--mode", ""], ["auto", "strip", "recover", "observe"]),
        (["--store-required", ""], ["on", "off"]),
        (["explain", "--fail-on", "l"], ["lossy"]),
    ],
    ids=str,
)
def test_what_is_completed(shell: str, typed: list[str], completed: list[str], capsys: Any, tmp_path: Path) -> None:
    """Commands, flags, and the words that a flag takes are completed, those of `serve` without a command."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    path = tmp_path / "script"
    path.write_text(script(shell, capsys))
    command = [program, "-c", _ASK[shell], str(path), "unpinned", *typed]
    assert printed(command, tmp_path)[0].split() == completed


def test_zsh_takes_its_script(capsys: Any, tmp_path: Path) -> None:
    """Zsh registers the function that completes."""
    program = shutil.which("zsh")
    if program is None:
        pytest.skip("zsh is not installed")
    path = tmp_path / "script"
    path.write_text(script("zsh", capsys))
    ask = 'autoload -U compinit; compinit -u -D; eval "$(cat $0)"; echo ${_comps[unpinned]}'
    assert printed([program, "-f", "-c", ask, str(path)], tmp_path) == ("_shtab_unpinned\n", "")


def test_without_shtab(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra one sentence says what to install."""
    monkeypatch.setitem(sys.modules, "shtab", None)
    with pytest.raises(SystemExit) as ended:
        main(["completion", "bash"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "unpinned: completion needs shtab: pip install 'unpinned[completion]'.\n"
