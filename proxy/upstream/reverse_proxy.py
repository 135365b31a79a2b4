"""The reverse proxy as an ASGI app: any method and any path, bodies streamed both ways, nothing buffered.

It knows HTTP, and nothing of what it carries. Before the first byte of an answer an error is a fault that the client
reads; after it there are two endings: complete, or visibly cut. A cut is made by returning before the last chunk is
sent, on which uvicorn closes the connection.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable
from urllib.parse import quote

from starlette.types import Message, Receive, Scope, Send

from proxy.events import Observer, UpstreamFailed
from proxy.http import headers
from proxy.http.base_url import BaseUrl, climbs
from proxy.http.context import answer_fault, context_of
from proxy.http.faults import Fault, hop_fault
from proxy.http.receive import ClientGone
from proxy.http.via import Via
from proxy.upstream.interface import Answer, Client, Request
from proxy.upstream.upload import Upload


class ReverseProxy:
    """Sends every request to `upstream` through `client`, and relays the answer as it arrives.

    `upload_idle_timeout`: how long a client may pause while it sends a body, in seconds.
    """

    def __init__(
        self, client: Client, upstream: BaseUrl, observer: Observer, *, upload_idle_timeout: float = 60.0
    ) -> None:
        self.client = client
        self.upstream = upstream
        self.observer = observer
        self.upload_idle_timeout = upload_idle_timeout
        self.via = Via(secrets.token_hex(8))

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
        await self.client.close()
        await send({"type": "lifespan.shutdown.complete"})


class _Hop:
    """One request on its way to upstream, and its answer on the way back."""

    def __init__(self, proxy: ReverseProxy, scope: Scope, send: Send) -> None:
        self.proxy = proxy
        self.scope = scope
        self.send = send
        self.committed = False

    async def perform(self, receive: Receive) -> None:
        """Send, relay, and release both sides in every case."""
        upload = Upload(receive, self.proxy.upload_idle_timeout)
        try:
            await self._relay(await self._answer(await self._request(upload)), upload)
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

    async def _answer(self, request: Request) -> Answer:
        """Upstream's answer; the time it takes is added to the request's context."""
        context = context_of(self.scope)
        context.is_forwarded = True
        began = time.monotonic()
        try:
            return await self.proxy.client.send(request)
        finally:
            context.upstream_wait += time.monotonic() - began

    async def _request(self, upload: Upload) -> Request:
        scope = self.scope
        fields: headers.Fields = scope["headers"]
        of_the_hop = headers.hop_fields(fields)
        if headers.upgrades_to(of_the_hop, b"websocket"):
            raise hop_fault("websocket_unsupported")
        if self.proxy.via.has_passed(of_the_hop):
            raise hop_fault("loop_detected")
        raw_path: bytes = scope.get("raw_path") or quote(scope["path"]).encode("ascii")
        if self.proxy.upstream.path and climbs(raw_path):
            raise hop_fault("invalid_path")
        target = self.proxy.upstream.target(raw_path, scope["query_string"])
        if context_of(scope).has_bare_query:
            target += b"?"
        body = await self._body(upload, of_the_hop)
        size = len(body) if isinstance(body, bytes) else None
        sent = headers.request_fields(fields, self.proxy.upstream.authority, size)
        sent.append(self.proxy.via.field)
        return Request(scope["method"].encode("ascii"), target, sent, body)

    async def _body(self, upload: Upload, fields: headers.Fields) -> bytes | AsyncIterator[bytes]:
        if headers.value(fields, b"expect") is not None:
            return upload.chunks()  # read, and so invited with 100 Continue, only when upstream wants it
        body = await upload.body()
        if isinstance(body, bytes) and headers.is_body_lost(fields, len(body)):
            raise hop_fault("incomplete_body")
        return body

    async def _relay(self, answer: Answer, upload: Upload) -> None:
        try:
            if not 200 <= answer.status < 600:
                raise hop_fault("upstream_invalid_answer")
            await self._commit(answer)
            send = self.send

            def write(chunk: bytes, more: bool) -> Awaitable[None]:
                if not more:
                    upload.disarm()
                return send({"type": "http.response.body", "body": chunk, "more_body": more})

            await answer.relay(write)
        finally:
            await answer.close()

    async def _commit(self, answer: Answer) -> None:
        fields = headers.response_fields(answer.status, answer.fields)
        start: Message = {"type": "http.response.start", "status": answer.status, "headers": fields}
        answer.fields = []  # a stream may last an hour
        self.committed = True
        await self.send(start)

    async def _fail(self, fault: Fault) -> None:
        if fault.is_upstreams:
            self.proxy.observer.notice(context_of(self.scope).request_id, UpstreamFailed(fault.code))
        if not self.committed:
            await answer_fault(fault, self.scope, self.send)


async def refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a WebSocket handshake with 426, on which clients turn to HTTP."""
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    for message in hop_fault("websocket_unsupported").messages():
        await send({**message, "type": f"websocket.{message['type']}"})
