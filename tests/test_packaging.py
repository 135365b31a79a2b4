"""What is published: a source distribution whose tests can be run, and a wheel with nothing but the program."""

import io
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from proxy import __version__

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which both were built, the wheel from the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(published: Path) -> zipfile.ZipFile:
    """The wheel."""
    [path] = published.glob("*.whl")
    return zipfile.ZipFile(io.BytesIO(path.read_bytes()))


def package() -> set[str]:
    """The files of both packages: modules, and what they show."""
    found = [path for name in ("proxy", "unpinned") for path in (ROOT / name).rglob("*")]
    files = (path for path in found if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in files}


def test_the_wheel_is_the_program(wheel: zipfile.ZipFile) -> None:
    """The wheel has both packages whole, the mark that it is typed, the license, and nothing else of the repository."""
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert {"proxy/py.typed", "unpinned/py.typed"} <= names
    assert package() <= names
    assert all(name.startswith(("proxy/", "unpinned/")) for name in names)
    assert any(name.endswith("/licenses/LICENSE") for name in wheel.namelist())


def test_the_wheel_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    """Name, version, license and command are in its metadata; the version is the package's."""
    folder = f"unpinned-{__version__}.dist-info"
    about = Parser().parsestr(wheel.read(f"{folder}/METADATA").decode())
    assert (about["Name"], about["Version"], about["License-Expression"]) == ("unpinned", __version__, "MIT")
    assert "unpinned = proxy.cli:main" in wheel.read(f"{folder}/entry_points.txt").decode()


def test_the_source_distribution_can_be_tested(published: Path) -> None:
    """The source distribution has the program, its tests and the files to deploy it with, and no left-overs."""
    [path] = published.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    kept = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    expected = set(kept.stdout.splitlines()) - {".gitignore"} or package()
    assert {name for name in expected if not name.startswith(".github/")} <= names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
