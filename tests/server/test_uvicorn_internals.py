"""The private parts of uvicorn that the server relies on exist in the installed version, and all of them are listed."""

import ast
import inspect
import re
from functools import cache
from pathlib import Path

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from proxy.server import draining, pipeline, protocol
from proxy.server.cycle import Cycle
from proxy.server.uvicorn_internals import ATTRIBUTES, METHODS


def has_attribute(owner: type, name: str) -> bool:
    """Whether a class of uvicorn's gives its instances this attribute."""
    given = rf"\bself\.{name}\b(: [^=]+)? = |^    {name}: "
    return re.search(given, inspect.getsource(owner), re.MULTILINE) is not None


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner in METHODS for name in METHODS[owner]])
def test_each_method_exists(owner: type, name: str) -> None:
    """A method that is called or overridden is one of uvicorn's."""
    assert callable(getattr(owner, name, None)), f"uvicorn {uvicorn.__version__} has no {owner.__name__}.{name}"


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner in ATTRIBUTES for name in ATTRIBUTES[owner]])
def test_each_attribute_exists(owner: type, name: str) -> None:
    """An attribute that is read or set is one that uvicorn itself gives to an instance."""
    assert has_attribute(owner, name), f"uvicorn {uvicorn.__version__} has no {owner.__name__}.{name}"


@cache
def names_of_uvicorn() -> frozenset[str]:
    """Every method and attribute of the listed classes, listed or not."""
    owners = METHODS.keys() | ATTRIBUTES.keys()
    assigned = {name for owner in owners for name in re.findall(r"\bself\.(\w+)\b", inspect.getsource(owner))}
    return frozenset(assigned | {name for owner in owners for name in vars(owner) if not name.startswith("__")})


@pytest.mark.parametrize("module", [draining, pipeline, protocol], ids=lambda module: module.__name__)
def test_each_part_that_is_used_is_listed(module: object) -> None:
    """No module uses, overrides or shadows a name of uvicorn's that is not in the list."""
    tree = ast.parse(Path(inspect.getsourcefile(module) or "").read_text())  # type: ignore[arg-type]
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    used |= {target.id for target in ast.walk(tree) if isinstance(target, ast.Name) and target.id.startswith("_")}
    listed = {name for table in (METHODS, ATTRIBUTES) for names in table.values() for name in names}
    unlisted = sorted(used & names_of_uvicorn() - listed)
    assert not unlisted, f"not listed in uvicorn_internals: {unlisted}"


def test_what_a_lost_connection_reads_of_a_cycle() -> None:
    """Uvicorn's protocol asks nothing of a cycle but what ours has as well."""
    read = set(re.findall(r"self\.cycle\.(\w+)", inspect.getsource(HttpToolsProtocol.connection_lost)))
    assert read == {"response_complete", "disconnected", "message_event"}
    assert read <= {*vars(Cycle), *re.findall(r"self\.(\w+) = ", inspect.getsource(Cycle.__init__))}


def test_the_construction_of_a_protocol() -> None:
    """A protocol is constructed of the configuration, the server's state and the lifespan's, in this order."""
    parameters = list(inspect.signature(HttpToolsProtocol).parameters)
    assert parameters[:3] == ["config", "server_state", "app_state"]
