"""The reverse proxy as an ASGI app: any method and any path, bodies streamed both ways, nothing buffered.

It knows HTTP, and nothing of what it carries. Before the first byte of an answer an error is a fault that the client
reads; after it there are two endings: complete, or visibly cut. A cut is made by returning before the last chunk is
sent, on which uvicorn closes the connection.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable
from typing import Final, Self, TypeVar
from urllib.parse import quote

from starlette.types import Message, Receive, Scope, Send

from proxy.events import Observer, Observers, UpstreamFailed
from proxy.http import headers
from proxy.http.base_url import BaseUrl, base_url, climbs
from proxy.http.context import Sent, answer_fault, context_of
from proxy.http.faults import Fault, hop_fault
from proxy.http.metadata import Metadata
from proxy.http.receive import ClientGone
from proxy.http.via import Via
from proxy.streams.offer import START, Offer, offer_in
from proxy.streams.stream import Stream
from proxy.streams.tunnel import relay
from proxy.upstream.client import Http1Client
from proxy.upstream.interface import Answer, Client, Request, Tunnel
from proxy.upstream.upload import Upload, Watches

Reached = TypeVar("Reached")
WEBSOCKET: Final = b"websocket"


class ReverseProxy:
    """Sends every request to `upstream` through `client`, and relays the answer as it arrives.

    `upload_idle_timeout`: how long a client may pause while it sends a body, in seconds. Where it is mounted under a
    path of another app (the scope's `root_path`), paths go upstream without that.

    ```python
    from unpinned import ReverseProxy

    app = ReverseProxy.to("https://api.openai.com/v1")
    ```
    """

    def __init__(
        self, client: Client, upstream: BaseUrl, observer: Observer, *, upload_idle_timeout: float = 60.0
    ) -> None:
        self.client = client
        self.upstream = upstream
        self.authority = upstream.authority
        self.observer = observer
        self.upload_idle_timeout = upload_idle_timeout
        self.via = Via(secrets.token_hex(8))
        self.watches = Watches()

    @classmethod
    def to(cls, url: str, observer: Observer | None = None) -> Self:
        """A reverse proxy to a base URL, with a client of its own. Raises ValueError where `url` is none."""
        upstream = base_url(url)
        return cls(Http1Client(upstream), upstream, observer or Observers())

    async def close(self) -> None:
        """Close all connections; where an app that mounts it has a lifespan of its own, at its end."""
        await self.client.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, refuse one WebSocket, or take part in the server's lifespan."""
        match scope["type"]:
            case "http":
                await _Hop(self, scope, send).perform(receive)
            case "websocket":
                await refuse_websocket(scope, receive, send)
            case _:
                await self._lifespan(receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})


class _Hop:
    """One request on its way to upstream, and its answer on the way back."""

    def __init__(self, proxy: ReverseProxy, scope: Scope, send: Send) -> None:
        self.proxy = proxy
        self.scope = scope
        self.context = context_of(scope)
        self.send = send
        self.committed = False

    async def perform(self, receive: Receive) -> None:
        """Send, relay, and release both sides in every case."""
        proxy = self.proxy
        upload = Upload(receive, proxy.upload_idle_timeout, self.context, proxy.watches)
        try:
            offer = offer_in(self.scope)
            if offer is None:
                await self._relay(await self._reached(proxy.client.send(await self._request(upload))), upload)
            else:
                await self._open(offer, upload)
        except ClientGone:
            return
        except asyncio.CancelledError as reason:
            if not upload.explains(reason):
                raise
        except Fault as fault:
            upload.disarm()
            await self._fail(fault)
        finally:
            upload.disarm()

    async def _reached(self, answering: Awaitable[Reached]) -> Reached:
        """Upstream's answer; the time it takes is added to the request's context."""
        context = self.context
        context.is_forwarded = True
        began = time.monotonic()
        try:
            return await answering
        finally:
            context.upstream_wait += time.monotonic() - began

    async def _request(self, upload: Upload) -> Request:
        fields: headers.Fields = self.scope["headers"]
        metadata = Metadata(fields)
        if metadata.upgrades_to(WEBSOCKET):
            raise hop_fault("websocket_unsupported")
        target = self._target(metadata)
        body = await self._body(upload, metadata)
        size = len(body) if isinstance(body, bytes) else None
        sent = headers.request_fields(fields, metadata, self.proxy.authority, size)
        sent.append(self.proxy.via.field)
        return Request(self.scope["method"].encode("ascii"), target, sent, body)

    def _target(self, metadata: Metadata) -> bytes:
        """The target upstream; raises a Fault where the request must not go there."""
        scope, proxy = self.scope, self.proxy
        if metadata.via and proxy.via.has_passed(metadata.via):
            raise hop_fault("loop_detected")
        raw_path: bytes = scope.get("raw_path") or quote(scope["path"]).encode("ascii")
        if scope.get("root_path"):
            raw_path = raw_path.removeprefix(quote(scope["root_path"]).encode("ascii")) or b"/"
        if proxy.upstream.path and climbs(raw_path):
            raise hop_fault("invalid_path")
        target = proxy.upstream.target(raw_path, scope["query_string"])
        return target + b"?" if self.context.has_bare_query else target

    async def _body(self, upload: Upload, metadata: Metadata) -> bytes | AsyncIterator[bytes]:
        if metadata.expects:
            return upload.chunks()  # read, and so invited with 100 Continue, only when upstream wants it
        body = await upload.body()
        if isinstance(body, bytes) and metadata.is_body_lost(len(body)):
            raise hop_fault("incomplete_body")
        return body

    async def _open(self, offer: Offer, upload: Upload) -> None:
        """Ask upstream for the tunnel that the client offers, and connect both until they are gone."""
        handshake = await self._handshake(upload)
        reached = await self._reached(self.proxy.client.open(handshake))
        if not isinstance(reached, Tunnel):
            return await self._relay(reached, upload)
        upload.disarm()
        try:
            await self._switch(reached.fields)
            await self._converse(_accepted(offer), reached.stream)
        finally:
            reached.stream.abort()

    async def _handshake(self, upload: Upload) -> Request:
        fields: headers.Fields = self.scope["headers"]
        metadata = Metadata(fields)
        target = self._target(metadata)
        await upload.body()  # there is none; from here on a client that leaves ends the handshake
        extensions = self.context.conversation is None
        authority = self.proxy.authority
        sent = headers.upgrade_request_fields(fields, metadata, authority, WEBSOCKET, extensions=extensions)
        sent.append(self.proxy.via.field)
        return Request(b"GET", target, sent, b"")

    async def _switch(self, fields: headers.Fields) -> None:
        metadata = Metadata(fields)
        if WEBSOCKET not in metadata.protocols:
            raise hop_fault("upstream_invalid_answer")
        self.committed = True
        await self.send({"type": START, "headers": headers.switching_fields(fields, metadata, WEBSOCKET)})

    async def _converse(self, client: Stream, upstream: Stream) -> None:
        context = self.context
        try:
            await (context.conversation or relay)(client, upstream)
        finally:
            if context.socket is not None:
                context.socket.client_bytes, context.socket.upstream_bytes = client.received, upstream.received

    async def _relay(self, answer: Answer, upload: Upload) -> None:
        try:
            if not 200 <= answer.status < 600:
                raise hop_fault("upstream_invalid_answer")
            await self._commit(answer)
            send = self.send

            def write(chunk: bytes, more: bool) -> Sent:
                if not more:
                    upload.disarm()
                return send({"type": "http.response.body", "body": chunk, "more_body": more})

            await answer.relay(write)
        finally:
            await answer.close()

    async def _commit(self, answer: Answer) -> None:
        fields = headers.response_fields(answer.status, answer.fields, answer.metadata)
        start: Message = {"type": "http.response.start", "status": answer.status, "headers": fields}
        answer.fields = []  # a stream may last an hour
        self.committed = True
        await self.send(start)

    async def _fail(self, fault: Fault) -> None:
        if fault.is_upstreams:
            self.proxy.observer.notice(self.context.request_id, UpstreamFailed(fault.code))
        if not self.committed:
            await answer_fault(fault, self.scope, self.send)


def _accepted(offer: Offer) -> Stream:
    try:
        return offer.accept()
    except ConnectionResetError:
        raise ClientGone from None


async def refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a WebSocket handshake with 426, on which clients turn to HTTP."""
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    for message in hop_fault("websocket_unsupported").messages():
        await send({**message, "type": f"websocket.{message['type']}"})
