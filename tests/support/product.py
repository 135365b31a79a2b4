"""The product as tests use it: middleware and reverse proxy under a real server, in front of any upstream."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from proxy.drivers.asgi import PortableMiddleware
from proxy.events import Event
from proxy.http.base_url import base_url
from proxy.responses.policy import Policy
from proxy.upstream.client import Http1Client
from proxy.upstream.reverse_proxy import ReverseProxy
from tests.support.serving import serving


class Notebook:
    """An observer that writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def notice(self, request_id: str, event: Event) -> None:
        """Take note."""
        assert isinstance(request_id, str)
        self.events.append(event)


@contextmanager
def unpinned(url: str, policy: Policy | None = None, notebook: Notebook | None = None, **options: Any) -> Iterator[int]:
    """The product in front of the upstream at `url`; the value is its port. `options` are the middleware's."""
    observer = notebook or Notebook()
    upstream = base_url(url)
    app = PortableMiddleware(
        ReverseProxy(Http1Client(upstream), upstream, observer), policy, observer=observer, **options
    )
    with serving(app) as port:
        yield port
