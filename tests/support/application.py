"""An application with a portable transport in its client: of httpx2 or httpx, synchronous or not, all used alike.

with applied("httpx2", "sync", mode="strip") as application:
    seen = application.post(upstream.url, payload)     # .status .fields .body .failure .report
"""

import asyncio
import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from unpinned import AsyncPortableTransport, PortableTransport

KINDS = [("httpx2", "sync"), ("httpx2", "async"), ("httpx", "sync"), ("httpx", "async")]
_JSON = (b"Content-Type", b"application/json")


@dataclass
class Seen:
    """An answer as the application sees it: the pieces of its body as they came, and what broke them off."""

    status: int
    fields: list[tuple[bytes, bytes]]
    pieces: list[bytes] = field(default_factory=list)
    failure: Exception | None = None

    @property
    def body(self) -> bytes:
        """The body as it came, coded as it was."""
        return b"".join(self.pieces)

    @property
    def report(self) -> dict[str, str]:
        """The report's fields without their prefix, and without the id."""
        prefix = b"x-unpinned-"
        named = {
            name.lower().removeprefix(prefix).decode(): value.decode()
            for name, value in self.fields
            if name.lower().startswith(prefix)
        }
        named.pop("request-id", None)
        return named

    def values(self, name: bytes) -> list[bytes]:
        """The values of the fields called so, in order."""
        return [value for key, value in self.fields if key.lower() == name]


class Application:
    """A client with its transport, in the synchronous or the asynchronous form."""

    def __init__(self, package: str, form: str, options: dict[str, Any]) -> None:
        self.package: Any = importlib.import_module(package)
        self.runner = asyncio.Runner() if form == "async" else None
        self.transport: Any = AsyncPortableTransport(**options) if self.runner else PortableTransport(**options)
        self.client: Any = self.new_client()

    def new_client(self) -> Any:
        """Another client on the same transport."""
        kind = self.package.AsyncClient if self.runner else self.package.Client
        return kind(transport=self.transport, timeout=20)

    def post(self, url: str, payload: Any, *fields: tuple[bytes, bytes], **more: Any) -> Seen:
        """POST to `/v1/responses` and read the answer; what breaks it off is noted, what prevents it is raised."""
        target = more.pop("target", "/v1/responses")
        content = json.dumps(payload).encode() if isinstance(payload, dict | list) else payload
        sent = dict(method="POST", url=url + target, content=content, headers=[_JSON, *fields], **more)
        return self.runner.run(self._read(sent)) if self.runner else self._read_now(sent)

    def _read_now(self, sent: dict[str, Any]) -> Seen:
        with self.client.stream(**sent) as response:
            seen = Seen(response.status_code, response.headers.raw)
            try:
                seen.pieces.extend(response.iter_raw())
            except self.package.HTTPError as failure:
                seen.failure = failure
        return seen

    async def _read(self, sent: dict[str, Any]) -> Seen:
        async with self.client.stream(**sent) as response:
            seen = Seen(response.status_code, response.headers.raw)
            try:
                async for piece in response.aiter_raw():
                    seen.pieces.append(piece)
            except self.package.HTTPError as failure:
                seen.failure = failure
        return seen

    def close(self, client: Any = None) -> None:
        """Close a client: this one, or another on the same transport."""
        client = client or self.client
        if self.runner:
            self.runner.run(client.aclose())
        else:
            client.close()


@contextmanager
def applied(package: str = "httpx2", form: str = "sync", **options: Any) -> Iterator[Application]:
    """An application; in the end its client is closed."""
    application = Application(package, form, options)
    try:
        yield application
    finally:
        with suppress(RuntimeError):
            application.close()
        if application.runner:
            application.runner.close()
