"""What applications import: a documented surface, whose examples run."""

import ast
import asyncio
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import unpinned
from proxy.transports.portable import Portable

PAGE = (Path(__file__).parents[1] / "docs" / "library.md").read_text()
PUBLIC = [name for name in unpinned.__all__ if name != "__version__"]
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(text: str) -> list[str]:
    """The Python in a text."""
    return _BLOCK.findall(inspect.cleandoc(text))


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK wants one."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")


@pytest.mark.parametrize("name", PUBLIC)
def test_each_name_has_an_example_that_runs(name: str) -> None:
    """Each public name is documented, with an example, which is run, and has a line in the package's table."""
    public: Any = getattr(unpinned, name)
    [example] = blocks(public.__doc__ or "")
    assert f"| `{name}` |" in (unpinned.__doc__ or "")
    names: dict[str, Any] = {}
    exec(compile(example, name, "exec"), names)
    for made in names.values():
        if hasattr(made, "close") and not inspect.isclass(made):
            closing = made.close()
            if inspect.isawaitable(closing):
                asyncio.run(_awaited(closing))


async def _awaited(closing: Any) -> None:
    await closing


def test_each_argument_is_explained() -> None:
    """The page explains each argument of a transport, with its default."""
    explained = dict(re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", PAGE, re.MULTILINE))
    signature = inspect.signature(Portable)
    defaults = {name: repr(each.default).replace("'", '"') for name, each in signature.parameters.items()}
    assert explained == defaults


def test_its_python_is_python() -> None:
    """All code of the page can be compiled, and imports nothing from Unpinned but what it may."""
    for code in blocks(PAGE):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module == "unpinned":
                assert {alias.name for alias in node.names} <= set(unpinned.__all__)
