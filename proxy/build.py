"""How the package that runs was built."""

from importlib.util import find_spec
from typing import Literal


def build() -> Literal["compiled", "interpreted"]:
    """Whether the core was compiled when the package was built (`UNPINNED_COMPILE=1`, see hatch_build.py)."""
    core = find_spec("proxy.responses.exchange")
    return "interpreted" if core is None or str(core.origin).endswith(".py") else "compiled"
