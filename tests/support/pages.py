"""The pages that users read: the README and what lies under docs/, as text and as blocks."""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
README: Final = (ROOT / "README.md").read_text()
PAGES: Final = (ROOT / "README.md", *sorted(DOCS.glob("*.md")))


def page(name: str) -> str:
    """The text of a page under docs/."""
    return (DOCS / f"{name}.md").read_text()


def blocks(language: str, text: str) -> list[str]:
    """The fenced blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def between(mark: str, text: str) -> str:
    """What stands between `<!-- mark -->` and `<!-- /mark -->`."""
    return text.partition(f"<!-- {mark} -->\n")[2].partition(f"\n<!-- /{mark} -->")[0]
