"""What of uvicorn's private parts we rely on is there, in the version that is installed."""

import inspect
import re

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from proxy.server.cycle import Cycle, OldCycle
from proxy.server.uvicorn_internals import ATTRIBUTES, METHODS


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner in METHODS for name in METHODS[owner]])
def test_each_method_is_there(owner: type, name: str) -> None:
    """A method that is called or overridden is one of uvicorn's."""
    assert callable(getattr(owner, name, None)), f"uvicorn {uvicorn.__version__} has no {owner.__name__}.{name}"


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner in ATTRIBUTES for name in ATTRIBUTES[owner]])
def test_each_attribute_is_there(owner: type, name: str) -> None:
    """An attribute that is read or set is one that uvicorn itself gives to an instance."""
    given = re.search(rf"\bself\.{name}\b(: [^=]+)? = |^    {name}: ", inspect.getsource(owner), re.MULTILINE)
    assert given, f"uvicorn {uvicorn.__version__} has no {owner.__name__}.{name}"


@pytest.mark.parametrize("ours", [Cycle, OldCycle])
def test_a_cycle_may_change_its_class(ours: type[Cycle]) -> None:
    """Our cycle takes over an instance of uvicorn's as it is: neither has slots, and ours has no constructor."""
    assert not any({"__init__", "__new__", "__slots__"} & vars(kind).keys() for kind in ours.__mro__[:-2])
    cycle = RequestResponseCycle.__new__(RequestResponseCycle)
    cycle.keep_alive = True
    cycle.response_complete = cycle.more_body = False
    before = dict(vars(cycle))
    cycle.__class__ = ours
    assert vars(cycle) == before
    assert cycle.keep_alive


def test_the_private_start_of_a_task() -> None:
    """A request begins in `_start_asgi_task`, which takes the cycle and the application and starts `run_asgi`."""
    assert list(inspect.signature(HttpToolsProtocol._start_asgi_task).parameters) == ["self", "cycle", "app"]
    assert "cycle.run_asgi(app)" in inspect.getsource(HttpToolsProtocol._start_asgi_task)
