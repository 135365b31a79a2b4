"""The command line: what each command does, what it prints, and the code it ends with."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from proxy import __version__, cli
from proxy.build import build
from proxy.fake_openai.refusal_streams import SHAPES
from proxy.settings import Loaded, Settings
from proxy.settings.address import Address
from proxy.settings.table import TABLE

ROOT = Path(__file__).parents[1]


def exit_code(*arguments: str) -> Any:
    """The code with which the program ends."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    return ended.value.code


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings with which the server would have run; nothing is configured and nothing listens."""
    settings: list[Settings] = []

    def serve(loaded: Loaded, _: object) -> int:
        settings.append(loaded.settings)
        return 0

    monkeypatch.setattr("proxy.server.process.run", serve)
    monkeypatch.setattr("proxy.observers.logs.configure", lambda _level, _form: None)
    return settings


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` says the version, which stands in one place, and whether the core is compiled."""
    assert exit_code("--version") == 0
    assert capsys.readouterr().out == f"unpinned {__version__} ({build()})\n"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["hatch"]["version"] == {"path": "proxy/__init__.py"}


def test_help_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """`serve --help` names each setting with its variable and its default."""
    assert exit_code("serve", "--help") == 0
    shown = " ".join(capsys.readouterr().out.split())
    for row in TABLE:
        assert row.flag in shown
        assert f"[{row.variable}, {row.default}]" in shown


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` names each command, and where the settings are explained."""
    assert exit_code("--help") == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in ("serve", "demo", "fake-openai", "unpinned serve --help"))


@pytest.mark.parametrize("command", [[], ["serve"]])
def test_serve_is_the_default(command: list[str], served: list[Settings]) -> None:
    """Without a command, the proxy is run; flags set what it does."""
    assert exit_code(*command, "--mode", "recover", "--listen", "127.0.0.1:0") == 0
    ((settings),) = served
    assert (settings.mode, settings.listen) == ("recover", Address("127.0.0.1", 0))


def test_arguments_of_the_process(served: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody else gives arguments, they are those of the process."""
    monkeypatch.setattr(sys, "argv", ["unpinned"])
    with pytest.raises(SystemExit):
        cli.main()
    assert len(served) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--mode", "stripp"], "unpinned: --mode is 'stripp', but must be auto or strip or recover or observe.\n"),
        (
            ["--mod", "strip"],
            "unpinned: unrecognized arguments: --mod (did you mean --mode?); see unpinned serve --help.\n",
        ),
        (["check", "--max_body", "1"], "unpinned: unrecognized arguments: --max_body (did you mean --max-body?); see"),
        (["explain", "--fail-no=lossy"], "unpinned: unrecognized arguments: --fail-no (did you mean --fail-on?); see"),
        (["--xyz"], "unpinned: unrecognized arguments: --xyz; see unpinned serve --help.\n"),
        (["--mode"], "unpinned: argument --mode: expected one argument; see unpinned serve --help.\n"),
        (["fake-openai", "--listen", "x"], "unpinned: --listen is 'x', but must be HOST:PORT"),
        (["fake-openai", "--listen", "unix:/x"], "unpinned: --listen is unix:/x, but must be HOST:PORT"),
        (["dance"], "unpinned: there is no command 'dance'; see unpinned --help.\n"),
        (["chekc"], "unpinned: there is no command 'chekc' (did you mean check?); see unpinned --help.\n"),
        (["--mode", "strip", "chekc"], "unpinned: there is no command 'chekc' (did you mean check?); see"),
        (["store", "puge"], "unpinned: there is no command 'puge' (did you mean purge?); see unpinned store --help.\n"),
        (["store"], "unpinned: the following arguments are required: COMMAND; see unpinned store --help.\n"),
    ],
)
def test_mistakes(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake is one sentence on standard error, and code 2."""
    assert exit_code(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(sentence)
    assert printed.err.count("\n") == 1


def test_mistyped_flags_show_no_credentials(capsys: pytest.CaptureFixture[str]) -> None:
    """A URL after a flag that does not exist is shown without its credentials."""
    assert exit_code("--upstream-prox", "http://user:hunter2@proxy:3128") == 2
    assert exit_code("--upstream-prox=http://user:hunter2@proxy:3128") == 2
    assert "hunter2" not in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "leave_running"), [([], False), (["--serve"], True)])
def test_demo(arguments: list[str], leave_running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`demo` ends with the demonstration's code."""
    seen: list[bool] = []

    def demonstrate(*, leave_running: bool) -> int:
        seen.append(leave_running)
        return 1

    monkeypatch.setattr("proxy.demo.demonstration.main", demonstrate)
    assert exit_code("demo", *arguments) == 1
    assert seen == [leave_running]


def test_fake_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    """`fake-openai` serves the fake API where it is told to."""
    seen: list[Any] = []
    monkeypatch.setattr("proxy.fake_openai.serve", lambda *where, **options: seen.append((where, options)))
    assert exit_code("fake-openai", "--listen", "[::1]:9", "--profile", "azure", "--delay", "0.5") == 0
    assert seen == [(("::1", 9), {"profile": "azure", "delay": 0.5, "refusals": "status", "socket_age": 3600.0})]


def test_the_fake_apis_shapes_of_refusals() -> None:
    """The command line offers those that the fake API has."""
    assert cli.REFUSALS == SHAPES


def test_as_a_module() -> None:
    """`python -m proxy` is `unpinned`."""
    done = subprocess.run([sys.executable, "-m", "proxy", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"unpinned {__version__} ({build()})\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--store-keyy", "SECRET"],
        ["--store-keyy=SECRET"],
        ["serve", "SECRET"],
        ["--store-key", "KEY", "SECRET"],
        ["SECRET"],
    ],
)
def test_a_mistyped_flag_shows_no_secret(arguments: list[str], capsys: Any) -> None:
    """What stands behind a flag that is unknown may be a key: the flag is named, and its value is not."""
    with pytest.raises(SystemExit):
        cli.main(arguments)
    said = capsys.readouterr().err
    assert "unrecognized arguments" in said or "there is no command of that name" in said
    assert "SECRET" not in said


@pytest.mark.parametrize(
    ("given", "ordered"),
    [
        (["--upstream", "http://a.test", "check"], ["check", "--upstream", "http://a.test"]),
        (["--mode=strip", "check", "--keep-last", "2"], ["check", "--mode=strip", "--keep-last", "2"]),
        (["--json", "explain", "file"], ["explain", "--json", "file"]),
        (["--store", "memory", "store", "check"], ["store", "check", "--store", "memory"]),
        (["store", "--store", "memory", "purge", "--all"], ["store", "purge", "--store", "memory", "--all"]),
        (["--store", "demo"], ["demo", "--store"]),
        (["--store-scope", "demo"], ["serve", "--store-scope", "demo"]),
        (["explain", "--mode", "strip", "demo"], ["explain", "demo", "--mode", "strip"]),
        (["--log-level", "debug"], ["serve", "--log-level", "debug"]),
    ],
    ids=" ".join,
)
def test_flags_before_or_after_the_command(given: list[str], ordered: list[str]) -> None:
    """A flag means the same in front of a command and behind it, and its value is no command."""
    assert cli.parsed(given) == cli.parsed(ordered)


def test_help_of_a_command_in_any_order(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` in front of a command is that command's."""
    assert exit_code("--help", "check") == 0
    assert capsys.readouterr().out.startswith("usage: unpinned check ")
