"""Unpinned: a stateless reverse proxy for the OpenAI Responses API."""

from importlib.util import find_spec
from typing import Literal

__version__ = "0.1.0"


def build() -> Literal["compiled", "interpreted"]:
    """Whether the core that runs was compiled when the package was built (`UNPINNED_COMPILE=1`, see hatch_build.py)."""
    core = find_spec("proxy.responses.exchange")
    return "interpreted" if core is None or str(core.origin).endswith(".py") else "compiled"
