"""Unpinned inside an application: conversations with the Responses API go on on any server, key, project or region.

This package holds what an application may rely on; `proxy` is the implementation, and may change in any version. Each
name is imported when it is asked for, and nothing before. `unpinned.testing` is for an application's tests.

| name | for |
|---|---|
| `PortableTransport` | a synchronous client of httpx or httpx2, as OpenAI's SDK has one |
| `AsyncPortableTransport` | an asynchronous one |
| `PortableMiddleware` | an ASGI app that answers for upstream, as one's own gateway |
| `Policy` | what the middleware may do to a request |
| `ReverseProxy` | an ASGI app that forwards requests upstream |
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from proxy import __version__
    from proxy.drivers.asgi import PortableMiddleware
    from proxy.responses.policy import Policy
    from proxy.transports.asynchronous import AsyncPortableTransport
    from proxy.transports.synchronous import PortableTransport
    from proxy.upstream.reverse_proxy import ReverseProxy

__all__ = [
    "AsyncPortableTransport",
    "Policy",
    "PortableMiddleware",
    "PortableTransport",
    "ReverseProxy",
    "__version__",
]

_HOMES: Final = {
    "AsyncPortableTransport": "proxy.transports.asynchronous",
    "Policy": "proxy.responses.policy",
    "PortableMiddleware": "proxy.drivers.asgi",
    "PortableTransport": "proxy.transports.synchronous",
    "ReverseProxy": "proxy.upstream.reverse_proxy",
    "__version__": "proxy",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
