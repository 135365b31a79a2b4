"""uvicorn's package without its command line, for a process that only serves.

Whoever imports a part of uvicorn runs `uvicorn/__init__.py`, which imports its command line: click, multiprocessing and
a reloader, 1.5 MiB in each process (measured 2026-11-30) that nothing here calls. The package that takes its place has
the same parts, and becomes the real one as soon as somebody asks it for more.
"""

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any, Final

_PARTS: Final = {"Config": "uvicorn.config", "Server": "uvicorn.server"}
"""What the package's own modules take from it, and where that is."""


def without_command_line() -> None:
    """Have uvicorn imported so from now on; a process that has it already goes on as it is."""
    if "uvicorn" in sys.modules or (spec := find_spec("uvicorn")) is None:
        return
    package = module_from_spec(spec)
    vars(package)["__getattr__"] = lambda name: _found(package, name)
    sys.modules["uvicorn"] = package


def _found(package: ModuleType, name: str) -> Any:
    """What the package has been asked for and has not got."""
    if name in _PARTS:
        return getattr(import_module(_PARTS[name]), name)
    vars(package).pop("__getattr__", None)
    if package.__spec__ is not None and package.__spec__.loader is not None:
        package.__spec__.loader.exec_module(package)
    return getattr(package, name)
