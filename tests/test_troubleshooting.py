"""Troubleshooting by error message is whole and true, beside the catalogue of refusals and the table of faults."""

import ast
import re
from collections.abc import Iterator
from typing import Final

import pytest

from proxy.http.faults import HOP
from tests.support.pages import ROOT, between, page
from tests.support.refusals import CATALOGUE
from tests.support.sentences import sentences

PAGE: Final = page("troubleshooting")
SECTIONS: Final = [section for section in re.split(r"^## ", PAGE, flags=re.MULTILINE) if "<!-- refusal: " in section]
FAULTS: Final = re.findall(r"^\| `(\w+)` \| (\d+) \| (.+?) \| .+ \|$", between("faults", PAGE), re.MULTILINE)


def kind_of(section: str) -> str:
    """The kind of refusal that a section is about; `none` where Unpinned relays it."""
    [kind] = re.findall(r"<!-- refusal: (\w+) -->", section)
    return str(kind)


def quoted(section: str) -> list[str]:
    """The sentences that a section is about."""
    return section.partition("```text\n")[2].partition("```")[0].splitlines()


@pytest.mark.parametrize(("status", "body", "kind"), [row for row in CATALOGUE if row[0] >= 400 and sentences(row[1])])
def test_each_sentence_is_explained(status: int, body: object, kind: str | None) -> None:
    """What a refusal of the catalogue says stands in a section about its kind, so that a search finds it."""
    shown = {line for section in SECTIONS if kind_of(section) == (kind or "none") for line in quoted(section)}
    assert shown & set(sentences(body)), (status, sentences(body))


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.splitlines()[0])
def test_each_section_answers(section: str) -> None:
    """A section quotes sentences that have been seen, and says what they mean, what Unpinned does, and what helps."""
    seen = {said for _, body, _ in CATALOGUE for said in sentences(body)}
    assert quoted(section)
    assert set(quoted(section)) <= seen
    assert re.findall(r"^\*\*(.+?):\*\*", section, re.MULTILINE) == ["It means", "Unpinned", "Without it"]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.splitlines()[0])
def test_each_section_is_about_its_kind(section: str) -> None:
    """The program reads each quoted sentence as the kind of refusal that the section is about."""
    kinds = {kind for _, body, kind in CATALOGUE for said in sentences(body) if said in quoted(section)}
    assert kind_of(section) in {kind or "none" for kind in kinds}


@pytest.mark.parametrize("section", [section for section in SECTIONS if kind_of(section) != "none"])
def test_the_first_screen_names_it(section: str) -> None:
    """Who comes with a message that Unpinned cures finds its words in front of README's first command."""
    screen = (ROOT / "README.md").read_text().partition("```sh")[0]
    phrases = [*re.findall(r"`([^`\n]{12,})`", screen), screen.partition("'message': \"")[2][:40]]
    patterns = [".*".join(map(re.escape, phrase.split("…"))) for phrase in phrases]
    assert any(re.search(pattern, said) for pattern in patterns for said in quoted(section))


def raised_elsewhere() -> Iterator[tuple[str, str]]:
    """Code and status of each fault that is raised outside of the table of the hop."""
    for path in (ROOT / "proxy").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(ast.Name("Fault"), [ast.Constant(int(status)), ast.Constant(str(code)), *_]):
                    yield code, str(status)


def test_each_fault_is_explained() -> None:
    """Every answer that Unpinned itself gives is in the table, by its code, with its status and its words."""
    rows = {code: (status, said) for code, status, said in FAULTS}
    hop = {code: (str(row.status), row.message) for code, row in HOP.items()}
    assert {code: rows.get(code) for code in hop} == hop
    elsewhere = {(code, status) for code, (status, _) in rows.items() if code not in hop}
    assert elsewhere == {(code, status) for code, status in raised_elsewhere() if code not in hop}
