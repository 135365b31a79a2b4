"""The reverse proxy under a real server, before a scripted upstream: directly, and through a proxy."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from proxy.events import Event, UpstreamFailed
from proxy.http.base_url import OutboundProxy, base_url
from proxy.http.context import context_of
from proxy.settings.outbound_proxy import outbound_proxy
from proxy.upstream.client import Http1Client
from proxy.upstream.interface import Client, Deadlines, Limits
from proxy.upstream.reverse_proxy import ReverseProxy
from tests.support.connect_proxy import ConnectProxy
from tests.support.raw_client import RawAnswer, RawClient, exchange
from tests.support.serving import Stage, staged
from tests.support.upstream_server import ScriptedUpstream

MakeClient = Callable[..., Client]


@dataclass
class Proxied:
    """A running proxy: its port, and the events its observer received."""

    port: int = 0
    events: list[tuple[str, Event]] = field(default_factory=list)

    def notice(self, request_id: str, event: Event) -> None:
        """Keep what happened."""
        self.events.append((request_id, event))

    @property
    def causes(self) -> list[str]:
        """The causes of upstream's failures, in order."""
        return [event.cause for _, event in self.events if isinstance(event, UpstreamFailed)]

    def exchange(self, raw: bytes) -> RawAnswer:
        """One request on a connection of its own, and its answer."""
        return exchange(self.port, raw)

    def connect(self) -> RawClient:
        """A connection of one's own."""
        return RawClient(self.port)


Start = Callable[..., Proxied]
directly = pytest.mark.parametrize("make_client", ["directly"], indirect=True)


@pytest.fixture(params=["directly", "through a proxy"])
def make_client(request: pytest.FixtureRequest) -> Iterator[MakeClient]:
    """What makes a client of upstream, for each way to it."""
    if request.param == "directly":
        yield Http1Client
    else:
        with ConnectProxy(credentials="user:secret") as proxy:
            yield partial(Http1Client, proxy=outbound_proxy(proxy.url))


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """The server of all proxies, one after the other."""
    with staged() as stage:
        yield stage


@pytest.fixture
def start(upstream: ScriptedUpstream, make_client: MakeClient, stage: Stage) -> Iterator[Start]:
    """Start a proxy before the scripted upstream (or `url`), its API below `path`, with these deadlines and limits."""
    with ExitStack() as running:

        def started(
            path: str = "",
            url: str = "",
            upload_idle_timeout: float = 60.0,
            tls: ssl.SSLContext | None = None,
            proxy: OutboundProxy | None = None,
            **settings: Any,
        ) -> Proxied:
            proxied = Proxied()
            origin = base_url((url or upstream.url) + path)
            deadlines = Deadlines(**{name: settings[name] for name in settings if name in Deadlines._fields})
            limits = Limits(**{name: settings[name] for name in settings if name in Limits._fields})
            way = {"proxy": proxy} if proxy else {}
            client = make_client(origin, deadlines, limits, tls=tls, **way)
            app = ReverseProxy(client, origin, proxied, upload_idle_timeout=upload_idle_timeout)

            async def identified(scope: Scope, receive: Receive, send: Send) -> None:
                context_of(scope).request_id = "req-000000000001"
                await app(scope, receive, send)

            running.callback(lambda: stage.run(client.close()))
            proxied.port = stage.show(identified)
            return proxied

        yield started


@pytest.fixture
def proxied(start: Start) -> Proxied:
    """A proxy with every setting at its default."""
    return start()


@pytest.fixture
def deaf() -> Iterator[str]:
    """The URL of a listener whose queue of connections is full, so that another is neither accepted nor refused."""
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
