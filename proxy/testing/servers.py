"""Servers on 127.0.0.1 for the tests of an application: instances of the fake API, and a proxy in front of them.

A `Fake` is one server. A `Pair` are two of them behind one address, of which a conversation has another one after each
answer: whoever asks again before that, asks the same.
"""

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy import fake_openai
from proxy.demo.stage import serving, unpinned
from proxy.responses.routes import route_of
from proxy.settings import load

VERSION: Final = "/v1"


@dataclass
class Recorded:
    """One request that a server received, and its answer."""

    method: str
    path: str
    body: bytes = b""
    status: int = 0
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Of the answer."""
    answer: bytes = b""
    is_whole: bool = False
    """The client read the answer to its end."""

    @property
    def is_turn(self) -> bool:
        """Whether it asked for a response, and got one."""
        return route_of(self.method, self.path.encode()) == "responses" and 200 <= self.status < 300


class Recorder:
    """An ASGI app around a server that keeps its requests."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.requests: list[Recorded] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the server answer."""
        await self.record(Recorded(scope.get("method", ""), scope["path"]), scope, receive, send)

    async def record(self, recorded: Recorded, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the server answer a request, and write down what it was."""
        self.requests.append(recorded)

        async def received() -> Message:
            message = await receive()
            recorded.body += message.get("body", b"")
            return message

        def answered(message: Message) -> Awaitable[None]:
            recorded.status = message.get("status", recorded.status)
            recorded.fields += message.get("headers", ())
            recorded.answer += message.get("body", b"")
            recorded.is_whole = message["type"] == "http.response.body" and not message.get("more_body", False)
            return send(message)

        await self._app(scope, received, answered)


@dataclass
class Fake:
    """An instance of the fake API: a real server, strict as the real one, which knows no other instance's ids."""

    url: str
    """Its base URL, with `/v1`."""
    requests: list[Recorded]
    """What it received, in order."""


@dataclass
class Pair(Fake):
    """Two instances that do not know each other's ids; `url` leads to one, and after each answer to the other."""

    here: Fake
    there: Fake


class _Alternating:
    """An ASGI app that has the next server answer once this one has."""

    def __init__(self, *servers: Recorder) -> None:
        self._servers = servers
        self._turns = 0
        self.requests: list[Recorded] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the server answer whose turn it is."""
        server = self._servers[self._turns % len(self._servers)]
        recorded = Recorded(scope.get("method", ""), scope["path"])
        self.requests.append(recorded)

        def answered(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                self._turns += recorded.is_turn
            return send(message)

        await server.record(recorded, scope, receive, answered)


@contextmanager
def fake(name: str) -> Iterator[Fake]:
    """An instance with a name of its own."""
    recorder = Recorder(fake_openai.build(instance=name))
    with serving(recorder) as url:
        yield Fake(url + VERSION, recorder.requests)


@contextmanager
def pair() -> Iterator[Pair]:
    """Two instances, and an address that leads to both."""
    recorders = [Recorder(fake_openai.build(instance=name)) for name in ("here", "there")]
    alternating = _Alternating(*recorders)
    with serving(recorders[0]) as here, serving(recorders[1]) as there, serving(alternating) as url:
        fakes = [Fake(url + VERSION, one.requests) for url, one in zip((here, there), recorders, strict=True)]
        yield Pair(url + VERSION, alternating.requests, *fakes)


@contextmanager
def proxy(upstream: str, **settings: str) -> Iterator[str]:
    """An Unpinned in front of a base URL, under settings as the environment has them; the value is its base URL."""
    with unpinned(load({"upstream": upstream, **settings}, {})) as url:
        yield url + VERSION
