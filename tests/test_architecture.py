"""The shape of the program: who imports whom, what is pure, how large things are. Read from the sources, not run."""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from io import StringIO
from pathlib import Path
from statistics import quantiles
from tokenize import COMMENT, generate_tokens
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]

# Imports go down only, and never sideways between two parts of one layer.
LAYERS = (
    ("proxy.__main__",),
    ("proxy.cli", "proxy.testing"),
    ("proxy.commands", "proxy.demo"),
    ("proxy.app", "proxy.transports"),
    ("proxy.server",),
    ("proxy.admin", "proxy.fake_openai", "proxy.settings"),
    ("proxy.middleware", "proxy.observers", "proxy.upstream"),
    ("proxy.drivers",),
    ("proxy.store",),
    ("proxy.http",),
    ("proxy.streams",),
    ("proxy.responses",),
    ("proxy.events",),
    ("proxy.report",),
    ("proxy.hints",),
    ("proxy.build",),
)

# The top of the package, and nothing beside it.
ROOMS = frozenset({
    "__init__", "__main__", "admin", "app", "build", "cli", "commands", "demo", "drivers", "events", "fake_openai",
    "hints", "http", "middleware", "observers", "report", "responses", "server", "settings", "store", "streams",
    "testing", "transports", "upstream",
})  # fmt: skip

# Within the core as well imports go down only.
CORE = (
    ("session",),
    ("exchange",),
    ("attempts", "outcome"),
    ("early", "recovery.budget", "recovery.ladders", "recovery.learning"),
    ("conversations",),
    ("history",),
    ("recovery",),
    ("rewrite",),
    ("left_out",),
    ("event_parser",),
    ("body",),
    ("frames", "items", "policy", "routes", "steps"),
)
# Parts of one room that do not know each other, and the modules of the room that they may share.
SIBLINGS = {
    "proxy.drivers": {
        "attempt",
        "conversation_routes",
        "conversation_turn",
        "feed",
        "first_events",
        "hearing",
        "interface",
        "loop",
        "memory",
        "offload",
        "performer",
        "recorder",
        "request_body",
        "session",
        "session_terms",
        "stall",
        "turn_records",
        "work",
    },
    "proxy.middleware": set(),
    "proxy.observers": {"endings", "forms", "gauges", "lines", "metrics", "redaction"},
}

PURE = ("proxy.responses", "proxy.events", "proxy.http", "proxy.report", "proxy.hints")
WAITS = frozenset({"proxy.http.context", "proxy.http.receive"})  # of these rooms, the modules that await a client
PURE_IMPORTS = frozenset({
    "_sha2", "_sha256", "ast", "bisect", "brotli", "collections", "dataclasses", "enum", "functools", "hashlib",
    "itertools", "json", "math", "msgspec", "operator", "orjson", "proxy", "re", "starlette", "types", "typing",
    "urllib", "zlib", "zstandard",
})  # fmt: skip
IMPURE_CALLS = frozenset({"open", "print", "input", "exec", "eval", "__import__"})
NAMES_THAT_SAY_NOTHING = re.compile(r"utils?|helpers?|base|manager|handler|common|misc")

# Where packages come from, and where somebody's machine keeps things, is nobody's business but theirs.
PRIVATE = re.compile(
    r"https?://[^\s/]+/(simple|packages)\b|https?://\S+/-/\S+\.tgz|(index|find)-links?\b|/(work|farm)/"
)
TEXT = frozenset({"", ".cfg", ".conf", ".css", ".html", ".json", ".md", ".py", ".sh", ".toml", ".txt", ".yaml", ".yml"})
BUILT = frozenset({"__pycache__", "build", "dist"})


class Module(NamedTuple):
    """One source file of the package."""

    name: str
    path: Path
    tree: ast.Module


@cache
def modules() -> tuple[Module, ...]:
    """Every module of the implementation, and of the package that applications import."""
    found = []
    for path in sorted([*(ROOT / "proxy").rglob("*.py"), *(ROOT / "unpinned").rglob("*.py")]):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append(Module(name, path, ast.parse(path.read_text())))
    return tuple(found)


def imported(module: Module) -> set[str]:
    """The absolute names of the modules that a module imports, wherever in its text."""
    names = {each.name for each in modules()}
    found = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(module, node)
            found |= {full if (full := f"{origin}.{alias.name}") in names else origin for alias in node.names}
    return found


def _origin(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module.name.split(".") + (["__init__"] if module.path.name == "__init__.py" else [])
    return ".".join(filter(None, [*package[: -node.level], node.module]))


def is_in(name: str, part: str) -> bool:
    """Whether a module is `part` or in it."""
    return name == part or name.startswith(part + ".")


def layer_and_part(name: str) -> tuple[int, str]:
    """Where a module stands, from the top; what applications import is above the rooms."""
    if is_in(name, "unpinned"):
        return -1, "unpinned"
    return next((layer, part) for layer, parts in enumerate(LAYERS) for part in parts if is_in(name, part))


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a module."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The length of a function."""
    return (node.end_lineno or 0) - node.lineno + 1


every_module = pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)


@every_module
def test_imports_go_down(module: Module) -> None:
    """A module imports nothing from a layer above its own, and nothing from its neighbours in the same layer."""
    if module.name == "proxy":
        assert not imported(module)
        return
    layer, part = layer_and_part(module.name)
    for name in imported(module):
        if name.startswith(("proxy.", "unpinned")):
            below, other = layer_and_part(name)
            assert other == part or below > layer, f"{module.name} imports {name}"


def test_the_rooms() -> None:
    """The package has these rooms and no others: a newcomer reads their names, and knows where to look."""
    here = {path.stem for path in (ROOT / "proxy").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert here == ROOMS


def _place_in_core(name: str) -> int:
    inside = name.removeprefix("proxy.responses.")
    found = [(len(part), place) for place, parts in enumerate(CORE) for part in parts if is_in(inside, part)]
    return max(found)[1]  # the longest name is the closest


@every_module
def test_the_core_imports_down(module: Module) -> None:
    """Within the core an exchange knows attempts, attempts know ladders, ladders know rules, rules know bodies."""
    if not is_in(module.name, "proxy.responses") or module.path.name == "__init__.py":
        return
    for name in imported(module):
        if is_in(name, "proxy.responses"):
            same_part = name.rpartition(".")[0] == module.name.rpartition(".")[0] != "proxy.responses"
            assert same_part or _place_in_core(name) > _place_in_core(module.name), f"{module.name} imports {name}"


@every_module
def test_siblings_do_not_know_each_other(module: Module) -> None:
    """A middleware, a driver or an observer imports none of its kind, but what the room shares."""
    room = module.name.rpartition(".")[0]
    if room in SIBLINGS:
        siblings = {name.rpartition(".")[2] for name in imported(module) if name.rpartition(".")[0] == room}
        assert siblings <= SIBLINGS[room]


def test_no_cycles() -> None:
    """No module imports itself, by whatever way round."""
    graph = {module.name: imported(module) - {module.name} for module in modules()}
    assert list(TopologicalSorter(graph).static_order())


@every_module
def test_purity(module: Module) -> None:
    """What decides performs no I/O, reads no clock, writes no log and rolls no dice: it imports from a short list."""
    if module.name in WAITS or not any(is_in(module.name, part) for part in PURE):
        return
    foreign = {name.partition(".")[0] for name in imported(module)} - PURE_IMPORTS
    called = {name for node in ast.walk(module.tree) if (name := _plainly_called(node))}
    assert not foreign, f"{module.name} imports {foreign}"
    assert not called & IMPURE_CALLS


def _plainly_called(node: ast.AST) -> str:
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""


@every_module
def test_the_core_has_no_coroutines(module: Module) -> None:
    """Nothing in `responses/` waits."""
    if is_in(module.name, "proxy.responses"):
        assert not [node for node in functions(module) if isinstance(node, ast.AsyncFunctionDef)]


@every_module
def test_the_fake_api_is_independent(module: Module) -> None:
    """The fake API shares only RFC 6455 with the proxy, so that it can refuse for reasons not thought of here."""
    if is_in(module.name, "proxy.fake_openai"):
        own = {name for name in imported(module) if is_in(name, "proxy")} - {"proxy.responses.frames"}
        assert all(is_in(name, "proxy.fake_openai") for name in own)


@every_module
def test_one_reader_of_the_environment(module: Module) -> None:
    """One module of the settings reads the environment."""
    named = {node.attr for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)}
    named |= {node.id for node in ast.walk(module.tree) if isinstance(node, ast.Name)}
    if module.name != "proxy.settings.loading":
        assert not named & {"environ", "environb", "getenv", "getenvb"}


@every_module
def test_no_base_http_middleware(module: Module) -> None:
    """Middleware is pure ASGI: Starlette's BaseHTTPMiddleware costs a stream tens of milliseconds."""
    assert not any(name.startswith("starlette.middleware") for name in imported(module))


@every_module
def test_names(module: Module) -> None:
    """A module is called for what is in it."""
    assert not NAMES_THAT_SAY_NOTHING.fullmatch(module.name.rpartition(".")[2])


@every_module
def test_sizes(module: Module) -> None:
    """A module fits into 300 lines and says what it is for; a function fits into 60."""
    assert len(module.path.read_text().splitlines()) <= 300
    assert ast.get_docstring(module.tree)
    long = {node.name: lines(node) for node in functions(module) if lines(node) > 60}
    assert not long


def test_functions_are_short() -> None:
    """Half of all functions have at most 8 lines, nine tenths at most 30."""
    sizes = [lines(node) for module in modules() for node in functions(module)]
    tenths = quantiles(sizes, n=10, method="inclusive")
    assert (tenths[4], tenths[8]) <= (8, 30)
    assert tenths[8] <= 30


# Words that stand in for a term of the field: a caller, a client, a result, a request.
STAND_INS = re.compile(
    r"\b(?:whoever|whose|whom?|nobody|somebody|he|him|his|told|asked|came|whatever|nothing but|at once)\b",
    re.IGNORECASE,
)


def test_english_is_plain() -> None:
    """Comments and docstrings use the field's terms: of a thousand words fewer than three stand in for one."""
    words = stand_ins = 0
    for module in modules():
        for text in _prose(module):
            words += len(text.split())
            stand_ins += len(STAND_INS.findall(text))
    assert 1000 * stand_ins / words < 3


def _prose(module: Module) -> Iterator[str]:
    """The docstrings and the comments of a module."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value
    for token in generate_tokens(StringIO(module.path.read_text()).readline):
        if token.type == COMMENT:
            yield token.string


def sources() -> Iterator[Path]:
    """Every text file of the repository."""
    for path in sorted(ROOT.rglob("*")):
        inside = path.relative_to(ROOT).parts
        hidden = any(part.startswith(".") and part not in (".ci", ".github") for part in inside)
        if path.suffix in TEXT and not hidden and not BUILT & set(inside) and path.is_file():
            yield path


def test_nothing_private() -> None:
    """No file names a package index, a download address or somebody's machine."""
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources()
        if path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if PRIVATE.search(line)
    ]
    assert not found


def test_start_up_is_light() -> None:
    """What `--help` and `--version` need is in the standard library, but for the proxy's own few modules."""
    known = {module.name: module for module in modules()}
    seen: set[str] = set()
    left = {"proxy.cli", "proxy.__main__"}
    while left:
        name = left.pop()
        seen.add(name)
        outside = {other for other in _at_once(known[name]) if other not in known}
        assert {other.partition(".")[0] for other in outside} <= sys.stdlib_module_names, name
        left |= (_at_once(known[name]) & set(known)) - seen


def _at_once(module: Module) -> set[str]:
    """What a module imports when it is imported itself."""
    at_once: list[ast.stmt] = [node for node in module.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return imported(module._replace(tree=ast.Module(at_once, [])))
