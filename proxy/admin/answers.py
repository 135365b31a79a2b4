"""How the admin listener answers: a path for each page, GET and HEAD, over ASGI.

An application of Starlette's would do the same, and take 2 MiB more in each process (measured 2026-11-30): forms,
cookies, entities of HTML and an HTTP client come with it, none of which these few pages need.
"""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final, NamedTuple

from starlette.types import Receive, Scope, Send

from proxy.http.headers import value

_EMPTY: Final = frozenset({HTTPStatus.NOT_MODIFIED})
_METHODS: Final = ("GET", "HEAD")


class Request(NamedTuple):
    """What is asked for, beside its path."""

    fields: list[tuple[bytes, bytes]]

    def field(self, name: bytes, default: str = "") -> str:
        """The first field of this name."""
        found = value(self.fields, name)
        return default if found is None else found.decode("latin-1")


class Answer(NamedTuple):
    """What is answered; `fields` are those beside the body's own."""

    body: bytes = b""
    status: int = HTTPStatus.OK
    media_type: str = "text/plain; charset=utf-8"
    fields: Mapping[str, str] = {}

    async def send(self, send: Send) -> None:
        """Send it."""
        told = dict(self.fields)
        if self.status not in _EMPTY:
            told |= {"content-type": self.media_type, "content-length": str(len(self.body))}
        head = [(name.encode(), content.encode()) for name, content in told.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": head})
        await send({"type": "http.response.body", "body": self.body})


Page = Callable[[Request], Awaitable[Answer]]


class Site:
    """The pages by their paths, as an ASGI app; a slash at the end of a path changes nothing."""

    def __init__(self, pages: Mapping[str, Page]) -> None:
        self._pages = pages

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Answer a request."""
        page = self._pages.get(scope["path"].rstrip("/") or "/")
        if page is None:
            answer = Answer(b"Not Found", HTTPStatus.NOT_FOUND)
        elif scope["method"] not in _METHODS:
            answer = Answer(b"Method Not Allowed", HTTPStatus.METHOD_NOT_ALLOWED, fields={"allow": ", ".join(_METHODS)})
        else:
            answer = await page(Request(scope["headers"]))
        await answer.send(send)
