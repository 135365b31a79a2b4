"""Settings from a file, and variables that look like settings and are none."""

from pathlib import Path

import pytest

from proxy.settings import SettingsError, load, wants_color, warnings


def _file(directory: Path, text: str) -> str:
    path = directory / "unpinned.toml"
    path.write_text(text)
    return str(path)


def test_a_file(tmp_path: Path) -> None:
    """A file sets what nothing else does; switches and numbers may be written as such."""
    path = _file(
        tmp_path, 'mode = "recover"\nkeep_last = 5\nreport = false\ndrop_conversation = true\nconnect_timeout = 2.5\n'
    )
    settings = load({"mode": "observe", "keep_last": None}, {"UNPINNED_CONFIG": path, "UNPINNED_KEEP_LAST": "4"})
    assert (settings.mode, settings.keep_last, settings.connect_timeout) == ("observe", 4, 2.5)
    assert (settings.report, settings.drop_conversation) == (False, True)


def test_which_file(tmp_path: Path) -> None:
    """The command line's file comes before the environment's."""
    path = _file(tmp_path, 'mode = "recover"\n')
    assert load({"config": path}, {"UNPINNED_CONFIG": "/nowhere"}).mode == "recover"
    assert load({}, {}).mode == "auto"


@pytest.mark.parametrize("key", ["max_body", "max-body"])
def test_names_in_a_file(tmp_path: Path, key: str) -> None:
    """A line has the name of a setting with underscores, or with hyphens as its flag has."""
    assert load({"config": _file(tmp_path, f"{key} = 7\n")}, {}).max_body == 7


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('mod = "strip"', "sets 'mod', which is no setting (did you mean mode?)."),
        ("kep-last = 5", "sets 'kep-last', which is no setting (did you mean keep-last?)."),
        ("xyz = 1", "sets 'xyz', which is no setting."),
        ("mode = [1]", "sets mode to something that is neither a text nor a number."),
        ("mode = ", "is no TOML: "),
        ('mode = "fast"', "mode in "),
        ("max-body = 1\nmax_body = 1", "sets max_body twice, with a hyphen and with an underscore."),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, text: str, sentence: str) -> None:
    """What is wrong with a file is said in a sentence that names it."""
    path = _file(tmp_path, text)
    with pytest.raises(SettingsError) as error:
        load({"config": path}, {})
    assert sentence in str(error.value)
    assert path in str(error.value)


def test_no_file() -> None:
    """A file that is not there is no reason to start without it."""
    with pytest.raises(SettingsError, match=r"^/nowhere cannot be read: No such file or directory\.$"):
        load({"config": "/nowhere"}, {})


def test_no_text(tmp_path: Path) -> None:
    """A file that is no UTF-8 is no TOML."""
    path = tmp_path / "unpinned.toml"
    path.write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="is no TOML"):
        load({"config": str(path)}, {})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("UNPINNED_MOD", " (did you mean UNPINNED_MODE?)"),
        ("UNPINNED_CONFG", " (did you mean UNPINNED_CONFIG?)"),
        ("UNPINNED_X", ""),
    ],
)
def test_unknown_variables(name: str, meant: str) -> None:
    """A variable that is no setting is told of, with the nearest that is one."""
    assert warnings({}, {name: "x", "UNPINNED_MODE": "strip", "PATH": "/bin"}) == [
        f"{name} is no setting of Unpinned's{meant}; it is not read"
    ]


@pytest.mark.parametrize(
    "name",
    [
        "UNPINNED_SERVICE_HOST",
        "UNPINNED_SERVICE_PORT",
        "UNPINNED_SERVICE_PORT_HTTP",
        "UNPINNED_PORT",
        "UNPINNED_PORT_8080_TCP",
        "UNPINNED_PORT_8080_TCP_PROTO",
        "UNPINNED_PORT_8080_TCP_PORT",
        "UNPINNED_PORT_8080_TCP_ADDR",
        "UNPINNED_ADMIN_SERVICE_HOST",
        "UNPINNED_ADMIN_PORT_8081_TCP_ADDR",
        "UNPINNED_CONFIG",
    ],
)
def test_variables_of_kubernetes(name: str) -> None:
    """What Kubernetes injects for a service called unpinned is nobody's mistake."""
    assert warnings({}, {name: "/dev/null"}) == []


def test_colors() -> None:
    """NO_COLOR, with any value but none, means that no colors are wanted (no-color.org)."""
    assert (wants_color({}), wants_color({"NO_COLOR": ""}), wants_color({"NO_COLOR": "1"})) == (True, True, False)
