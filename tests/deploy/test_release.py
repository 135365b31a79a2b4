"""What a release is made of: its notes, its workflow, and the Pythons that it is said to run on."""

import re
import subprocess
import tomllib
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from typing import Any

import pytest

from tests.deploy.balancers import program
from tests.support.process import ROOT

SCRIPT = ROOT / ".ci" / "release-notes"
WORKFLOWS = ROOT / ".github" / "workflows"
CHANGELOG = """# Changelog

## 1.1.0 (not released)

- New.

## 1.0.0 (2026-12-01)

- First.
- Second.

## 0.9 (2026-01-01)
"""

in_a_checkout = pytest.mark.skipif(not WORKFLOWS.is_dir(), reason="the source distribution is made without .github")


@pytest.fixture(scope="module")
def script() -> Any:
    """The script as a module."""
    loader = SourceFileLoader("release_notes", str(SCRIPT))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_the_notes_are_the_section_of_the_changelog(script: Any) -> None:
    """A release's notes are its section of the changelog, no more and no less."""
    assert script.notes("v1.0.0", CHANGELOG, "1.0.0") == "- First.\n- Second."


@pytest.mark.parametrize(
    ("tag", "version", "sentence"),
    [
        ("v1.0.0", "1.1.0", "The tag is v1.0.0, but the package is version 1.1.0: v1.1.0 would be its tag."),
        ("1.0.0", "1.0.0", "The tag is 1.0.0, but the package is version 1.0.0: v1.0.0 would be its tag."),
        ("v1.1.0", "1.1.0", "CHANGELOG.md says 1.1.0 is not released, but must give the date of the release."),
        ("v2.0.0", "2.0.0", "CHANGELOG.md has no section for 2.0.0."),
        ("v0.9", "0.9", "CHANGELOG.md has no section for 0.9."),
    ],
)
def test_what_cannot_be_released(script: Any, tag: str, version: str, sentence: str) -> None:
    """A tag that is not the package's version, and a version without a dated section, is refused in one sentence."""
    with pytest.raises(ValueError, match="^" + re.escape(sentence) + "$"):
        script.notes(tag, CHANGELOG, version)


def test_it_runs_by_itself() -> None:
    """As the workflow runs it, it says why this version is not released yet, or what is in it."""
    version = re.findall(r'__version__ = "(.+)"', (ROOT / "proxy" / "__init__.py").read_text())[0]
    done = subprocess.run([str(SCRIPT), f"v{version}"], capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == bool(done.stdout)
    assert done.stderr.count("\n") == done.returncode


@in_a_checkout
@pytest.mark.parametrize("name", ["ci.yml", "release.yml"])
def test_the_workflows_are_workflows(name: str) -> None:
    """Each workflow is what GitHub's schema allows."""
    command = [program("check-jsonschema"), "--builtin-schema", "vendor.github-workflows", str(WORKFLOWS / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@in_a_checkout
def test_the_pythons_are_the_same_everywhere() -> None:
    """The versions of Python that the package names are those that CI and a release run on, from the oldest allowed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert project["requires-python"] == f">={named[0]}"
    for name in ("ci.yml", "release.yml"):
        [listed] = re.findall(r"python: \[(.*)\]", (WORKFLOWS / name).read_text())
        assert re.findall(r"3\.\d+", listed) == named


@in_a_checkout
def test_nothing_is_published_before_everything_is_built() -> None:
    """What publishes waits, directly or not, for the checks, all packages, the bill and the image."""
    yaml = pytest.importorskip("yaml", reason="pip install '.[test-deploy]'")
    jobs = yaml.safe_load((WORKFLOWS / "release.yml").read_text())["jobs"]

    def before(name: str) -> set[str]:
        needs = jobs[name].get("needs", [])
        direct = {needs} if isinstance(needs, str) else set(needs)
        return direct.union(*map(before, direct))

    assert before("pypi") == {"check", "packages", "install", "wheels", "bill", "image"}
    assert before("release") == before("pypi") | {"pypi"}
    assert {name for name, job in jobs.items() if job.get("permissions")} == {"pypi", "release"}
