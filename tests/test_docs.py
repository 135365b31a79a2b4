"""The pages are true: what they name exists, links resolve, the site builds, and the picture matches the code."""

import ast
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from proxy.settings.table import TABLE

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"

DOCS = (*sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md")
LINKED = (*DOCS, ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "deploy" / "README.md")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("0*.md"))

NAMED_PATH = re.compile(r"(?<![\w/.-])(?:proxy|tests|docs|deploy|\.ci|\.github)/(?:[\w./-]*\w)?")
NAMED_MODULE = re.compile(r"(?<![\w/.-])(?:proxy|tests)(?:\.\w+)+")
OTHERS = frozenset({"proxy.py", "tests/requests/replayed.json"})
"""Names in pages that are not of this repository: another distribution, a file of an application's tests."""

NO_SETTINGS = frozenset({"UNPINNED_COMPILE", "UNPINNED_CONFIG", "UNPINNED_PORT", "UNPINNED_UPSTREAM_CLIENT"})
"""The variables that compile and that name the file, one of Kubernetes', and one of earlier versions."""

every_page = pytest.mark.parametrize("page", LINKED, ids=lambda page: page.relative_to(ROOT).as_posix())
every_decision = pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)


def is_here(path: str) -> bool:
    """Whether the repository has `path`; the source distribution is made without .github."""
    return (ROOT / path).exists() or (path.startswith(".github") and not GITHUB.is_dir())


def prose(page: Path) -> str:
    """A page without its fenced blocks, in which brackets are no links."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_named_paths_exist(page: Path) -> None:
    """Every file and folder of the repository that a page names is there."""
    named = set(NAMED_PATH.findall(page.read_text())) - OTHERS
    assert not {path for path in named if not is_here(path)}


@every_page
def test_named_modules_exist(page: Path) -> None:
    """Every module that a page names can be found."""
    named = set(NAMED_MODULE.findall(page.read_text())) - OTHERS
    paths = {name: ROOT / name.replace(".", "/") for name in named}
    assert not {name for name, path in paths.items() if not path.is_dir() and not path.with_suffix(".py").is_file()}


@every_page
def test_links_resolve(page: Path) -> None:
    """Every relative link leads to a file, and to a heading where it names one."""
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists() or is_here(target.relative_to(ROOT).as_posix()), link
        assert not anchor or anchor in anchors(target), link


@every_page
def test_named_settings_exist(page: Path) -> None:
    """Every variable that a page names is a setting."""
    named = set(re.findall(r"UNPINNED_[A-Z_]+[A-Z]", page.read_text()))
    assert named <= {row.variable for row in TABLE} | NO_SETTINGS


def layers() -> list[set[str]]:
    """The rooms of each layer, from the top, as the architecture's own test has them."""
    tree = ast.parse((ROOT / "tests" / "test_architecture.py").read_text())
    [value] = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LAYERS"
    ]  # fmt: skip
    return [{name.removeprefix("proxy.") for name in layer} for layer in ast.literal_eval(value)]


def test_the_picture_shows_every_room() -> None:
    """The picture has every room of the package, in the layers that imports go down."""
    picture = ARCHITECTURE.partition("<!-- rooms -->")[2].partition("<!-- /rooms -->")[0]
    shown = [set(re.findall(r"\w+", line.split("│")[1])) for line in picture.splitlines() if "│" in line]
    assert shown == layers()
    here = {
        path.stem for path in (ROOT / "proxy").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert here - {"__init__"} == set().union(*shown)


def test_every_room_has_its_line() -> None:
    """Each room of the picture has a row that says what it is for."""
    rooms = set().union(*layers()) - {"__main__"}
    assert rooms == set(re.findall(r"^\| `proxy/(\w+)(?:/|\.py)` \|", ARCHITECTURE, re.MULTILINE))


def test_what_is_looked_for_is_there() -> None:
    """Where a page names a thing in a file, the file has that name."""
    rows = re.findall(r"^\| .* \| `(proxy/[\w/]+\.py)` \| `(\w+)` \|$", ARCHITECTURE, re.MULTILINE)
    assert len(rows) > 20
    for page in DOCS:
        rows += [(path, name) for name, path in re.findall(r"`(\w+)`\s+in\s+`([\w/]+\.py)`", page.read_text())]
    missing = [row for row in rows if not re.search(rf"\b{row[1]}\b", (ROOT / row[0]).read_text())]
    assert not missing


@every_decision
def test_a_decision_has_its_parts(page: Path) -> None:
    """A decision has its number, its date, its context, its consequences and its sources."""
    text = page.read_text()
    assert text.startswith(f"# {int(page.name[:4])}. ")
    assert re.match(r"\d{4}-\d\d-\d\d", text.splitlines()[2])
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert "\nSources: " in text


def test_decisions_are_listed() -> None:
    """The list of decisions has every one, under consecutive numbers."""
    listed = re.findall(
        r"^\| \[(\d{4})\]\((\1-[\w-]+\.md)\)", (ROOT / "docs/decisions/README.md").read_text(), re.MULTILINE
    )
    assert [name for _, name in listed] == [page.name for page in DECISIONS]
    assert [int(number) for number, _ in listed] == list(range(1, len(DECISIONS) + 1))


def test_the_code_it_quotes() -> None:
    """The worked example quotes lines that stand in the files named above them."""
    quoted = re.findall(r"^```python\n# (\S+)\n(.*?)^```", CONTRIBUTING, re.DOTALL | re.MULTILINE)
    assert len(quoted) == CONTRIBUTING.count("```python")
    for path, code in quoted:
        assert code in (ROOT / path).read_text(), path


def test_every_folder_of_tests_is_described() -> None:
    """A contributor finds what each folder of tests is for."""
    folders = {path.parent.relative_to(ROOT).parts[1] for path in (ROOT / "tests").glob("*/**/test_*.py")}
    assert folders <= set(re.findall(r"`tests/(\w+)`", CONTRIBUTING))


def configured(path: Path) -> Any:
    """The content of a YAML file; skips where there is no reader, or the file is not distributed."""
    yaml = pytest.importorskip("yaml")
    if not path.exists():
        pytest.skip("the source distribution is made without .github")
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("name", ["dependabot.yml", "ISSUE_TEMPLATE/bug.yml", "ISSUE_TEMPLATE/feature.yml"])
def test_github_can_read_them(name: str) -> None:
    """The templates and the settings for GitHub are YAML, with what each must have."""
    content = configured(GITHUB / name)
    if "ISSUE_TEMPLATE" in name:
        assert content.keys() >= {"name", "description", "body"}
        ids = [part["id"] for part in content["body"] if part["type"] != "markdown"]
        assert len(ids) == len(set(ids))
    else:
        assert content["version"] == 2


def test_the_workflow_runs_every_check() -> None:
    """The workflow runs `.ci/run` on each Python that is supported, beginning with the oldest."""
    job = configured(GITHUB / "workflows" / "ci.yml")["jobs"]["ci"]
    versions = job["strategy"]["matrix"]["python"]
    assert f'requires-python = ">={versions[0]}"' in (ROOT / "pyproject.toml").read_text()
    assert all(isinstance(version, str) for version in versions)
    assert job["steps"][-1]["run"] == ".ci/run"


def test_the_hooks_are_the_checks() -> None:
    """The hooks before a commit run the tools of the environment, as `.ci/run` does."""
    [local] = configured(ROOT / ".pre-commit-config.yaml")["repos"]
    ran = (ROOT / ".ci" / "run").read_text()
    assert [hook["id"] for hook in local["hooks"]] == ["ruff-check", "ruff-format", "mypy"]
    assert all(hook["language"] == "system" for hook in local["hooks"])
    assert all(hook["entry"].partition(" --")[0] in ran for hook in local["hooks"])


def test_modules_that_are_run() -> None:
    """Commands of the form `python -m …` name modules that can be imported or run."""
    for page in DOCS:
        for module in re.findall(r"python -m ([\w.]+)", page.read_text()):
            if module.partition(".")[0] not in ("tests", "venv"):
                assert importlib.util.find_spec(module) is not None, module


def test_the_site_builds(tmp_path: Path) -> None:
    """MkDocs builds the site without a warning, every page with its place, a search, and what it loads."""
    pytest.importorskip("mkdocs", reason="pip install '.[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--config-file", "docs/mkdocs.yml"]
    done = subprocess.run(
        [*command, "--site-dir", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    found = json.loads((tmp_path / "search" / "search_index.json").read_text())
    assert any("persisted" in entry["text"] for entry in found["docs"])
    for page in tmp_path.rglob("*/index.html"):
        loaded = re.findall(r"<(?:script|link|img)[^>]* (?:src|href)=\"?([^\"# >]+)", page.read_text())
        assert len(loaded) > 5
        assert all((page.parent / path).is_file() for path in loaded), page
