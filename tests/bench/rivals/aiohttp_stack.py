"""A rival: uvicorn, a plain ASGI app, aiohttp as the client, orjson for the rewriting. Arguments: PORT UPSTREAM.

The shortest proxy one would write with well-known libraries: every body is decoded, loses its ids and is encoded again.
"""

import sys
from typing import Any

import aiohttp  # type: ignore[import-not-found, unused-ignore]
import orjson
import uvicorn

PORT, UPSTREAM = int(sys.argv[1]), int(sys.argv[2])
KEPT = frozenset({b"host", b"content-length", b"connection", b"transfer-encoding"})


class Stack:
    """The app, with one session for all requests."""

    session: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await _live(receive, send)
            return
        if self.session is None:
            connector = aiohttp.TCPConnector(limit=0)
            self.session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        fields = [(name.decode(), value.decode()) for name, value in scope["headers"] if name not in KEPT]
        url = f"http://127.0.0.1:{UPSTREAM}{scope['raw_path'].decode()}"
        body = _portable(await _body(receive))
        async with self.session.request(scope["method"], url, data=body, headers=fields) as answer:
            await _relay(answer, send)


async def _live(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def _body(receive: Any) -> bytes:
    chunks = []
    more = True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(chunks)


def _portable(body: bytes) -> bytes:
    payload = orjson.loads(body)
    payload.pop("previous_response_id", None)
    for item in payload["input"]:
        item.pop("id", None)
    return orjson.dumps(payload)


async def _relay(answer: Any, send: Any) -> None:
    fields = [field for field in answer.raw_headers if field[0].lower() not in KEPT - {b"content-length"}]
    await send({"type": "http.response.start", "status": answer.status, "headers": fields})
    async for chunk in answer.content.iter_any():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


if __name__ == "__main__":
    uvicorn.run(Stack(), port=PORT, http="httptools", loop="uvloop", log_level="error", access_log=False)
