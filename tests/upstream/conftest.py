"""The reverse proxy under a real server, before a scripted upstream, once with each client of upstream."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from proxy.events import Event, UpstreamFailed
from proxy.http.base_url import base_url
from proxy.http.context import context_of
from proxy.upstream.client import Http1Client
from proxy.upstream.httpx2_client import Httpx2Client
from proxy.upstream.interface import Client, Deadlines, Limits
from proxy.upstream.reverse_proxy import ReverseProxy
from tests.support.raw_client import RawAnswer, RawClient, exchange
from tests.support.serving import Stage, staged
from tests.support.upstream_server import ScriptedUpstream

MakeClient = Callable[..., Client]

# httpx2 reads nothing before it has sent a whole request, and swallows every 1xx.
HTTPX2_CANNOT = {
    "test_an_early_refusal_reaches_a_client_that_still_uploads": "reads no answer while it uploads",
    "test_an_early_refusal_reaches_a_client_whose_upload_stalls": "reads no answer while it uploads",
    "test_an_early_refusal_that_closes_reaches_the_client": "reads no answer while it uploads",
    "test_an_answer_may_stream_while_the_request_does": "reads no answer while it uploads",
    "test_a_connection_is_used_again_after_an_answer_that_came_early": "reads no answer while it uploads",
    "test_an_early_answer_is_cut_when_the_client_falls_silent": "reads no answer while it uploads",
    "test_a_client_that_expects_to_be_invited_is_not_asked_for_a_refused_body": "sends the body without invitation",
    "test_a_refusal_instead_of_an_invitation_may_take_its_time": "sends the body without invitation",
    "test_a_client_that_expects_to_be_invited_waits_for_upstreams_word": "sends the body without invitation",
    "test_an_end_that_tls_does_not_announce_is_a_cut": "takes any end of a TLS connection for an announced one",
    "test_garbage_is_recognised_at_once": "waits for the end of a head that cannot be one",
}


@dataclass
class Proxied:
    """A running proxy: its port, and what its observer was told."""

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


@pytest.fixture(params=[Http1Client, Httpx2Client])
def make_client(request: pytest.FixtureRequest) -> MakeClient:
    """Each client of upstream in turn, but for what it cannot do."""
    made: MakeClient = request.param
    reason = HTTPX2_CANNOT.get(request.function.__name__)
    if made is Httpx2Client and reason is not None:
        pytest.skip(f"httpx2 {reason}")
    return made


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
            **settings: Any,
        ) -> Proxied:
            proxied = Proxied()
            origin = base_url((url or upstream.url) + path)
            deadlines = Deadlines(**{name: settings[name] for name in settings if name in Deadlines._fields})
            limits = Limits(**{name: settings[name] for name in settings if name in Limits._fields})
            client = make_client(origin, deadlines, limits, tls=tls)
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
