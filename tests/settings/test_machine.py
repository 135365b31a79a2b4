"""How much memory the process may use."""

from pathlib import Path

import pytest

from proxy.settings import load, machine


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of the system's control groups."""
    monkeypatch.setattr(machine, "_CGROUP_2", tmp_path / "2")
    monkeypatch.setattr(machine, "_CGROUP_1", tmp_path / "1")
    return tmp_path


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, None),
        ({"2": "max\n"}, None),
        ({"2": "536870912\n"}, 536_870_912),
        ({"1": "536870912\n"}, 536_870_912),
        ({"1": "9223372036854771712\n"}, None),
        ({"2": "nonsense"}, None),
    ],
)
def test_the_limit(groups: Path, files: dict[str, str], limit: int | None) -> None:
    """The container's limit counts where it has one, of either version; else the machine's memory."""
    whole = machine.memory_limit()
    for name, content in files.items():
        (groups / name).write_text(content)
    assert machine.memory_limit() == (limit or whole)


def test_the_default_is_half(groups: Path) -> None:
    """Without a setting, bodies may take half of it."""
    (groups / "2").write_text("1073741824")
    assert load({}, {}).max_memory == 536_870_912
    assert load({"max_memory": "64MiB"}, {}).max_memory == 64 * 1024 * 1024
