"""`Dockerfile` and what it installs, as far as can be seen without building; `python -m tests.deploy.image` builds."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.balancers import program
from tests.support.process import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
PINNED = re.compile(r"^([\w.-]+)==(\S+)(?: ; .+?)?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE)


def lint(text: str, folder: Path) -> str:
    """What hadolint has against a Dockerfile."""
    path = folder / "Dockerfile"
    path.write_text(text)
    done = subprocess.run([program("hadolint"), str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (done.stdout + done.stderr == "")
    return done.stdout + done.stderr


def test_hadolint_has_nothing_against_it(tmp_path: Path) -> None:
    """A linter reads the Dockerfile and finds nothing."""
    assert lint(DOCKERFILE, tmp_path) == ""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("EXPOSE 8080 8081", "EXPOSED 8080 8081"), ("WORKDIR /src", "WORKDIR src"), ('CMD ["unpinned"', "CMD [unpinned")],
)
def test_a_typo_would_be_seen(right: str, wrong: str, tmp_path: Path) -> None:
    """The linter rejects a planted typo."""
    assert right in DOCKERFILE
    assert lint(DOCKERFILE.replace(right, wrong), tmp_path)


def pinned(file: str) -> dict[str, str]:
    """Name and version of what a file pins; each with the hashes of its files, and nothing else is in it."""
    text = (ROOT / "deploy" / file).read_text()
    found: dict[str, str] = {canonicalize_name(each[1]): each[2] for each in PINNED.finditer(text)}
    rest = PINNED.sub("", text).splitlines()
    assert not [line for line in rest if line.strip() and not line.strip().startswith("#")]
    return found


def test_what_the_package_needs_is_pinned() -> None:
    """Each dependency, of stores and traces too, is pinned at a version that the package accepts; so is its builder."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = [project["project"]["optional-dependencies"][name] for name in ("redis", "sql", "encryption", "otel")]
    demanded = {
        "requirements.txt": sum(extras, project["project"]["dependencies"]),
        "build-requirements.txt": project["build-system"]["requires"],
    }
    for file, requirements in demanded.items():
        versions = pinned(file)
        for requirement in map(Requirement, requirements):
            assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement


def test_only_what_is_pinned_gets_in() -> None:
    """Each installation demands hashes, or takes nothing from outside."""
    commands = re.split(r"&&|^[A-Z]+ ", DOCKERFILE.replace("\\\n", " "), flags=re.MULTILINE)
    installations = [command for command in commands if re.search(r"/pip .*\b(install|wheel)\b", command)]
    assert len(installations) == 4
    assert all("--require-hashes" in each or "--no-index" in each for each in installations)


def test_what_it_copies_gets_in() -> None:
    """Everything that the Dockerfile copies from the repository is let through by `.dockerignore`."""
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {word for line in re.findall(r"^COPY ([^-].*)", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]}
    assert copied == let_through
    assert all((ROOT / name).exists() for name in copied)
