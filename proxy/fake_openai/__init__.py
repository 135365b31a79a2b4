"""A fake of OpenAI's Responses API: strict, deterministic, and independent of everything else in this package.

An instance remembers items, responses and conversations per key; nothing of one is known to another. Imports nothing
of `proxy` outside this folder but the frames of WebSockets, so that it can refuse for reasons the proxy did not think
of.
"""

from .app import build
from .server import running, serve
from .state import Options

__all__ = ["Options", "build", "running", "serve"]
