"""A real CONNECT proxy on 127.0.0.1, with Basic credentials and TLS of its own where a test wants them.

with ConnectProxy(credentials="user:secret") as proxy:
    ...                                     # talk through proxy.url
    assert proxy.targets == ["127.0.0.1:80"]
"""

import asyncio
import base64
import contextlib
import ssl
import threading
from collections.abc import Coroutine
from typing import Any, Self

PATIENCE = 20.0


class ConnectProxy:
    """Opens tunnels to where CONNECT names; `targets` are these, in order, `heads` the raw requests."""

    def __init__(self, *, credentials: str = "", tls: ssl.SSLContext | None = None) -> None:
        self.targets: list[str] = []
        self.heads: list[bytes] = []
        self.port = 0
        self._expected = b"Basic " + base64.b64encode(credentials.encode()) if credentials else b""
        self._credentials = credentials
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tunnels: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    @property
    def url(self) -> str:
        """The proxy's URL, with its credentials."""
        user = f"{self._credentials}@" if self._credentials else ""
        return f"{'https' if self._tls else 'http'}://{user}127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        for tunnel in self._tunnels:
            tunnel.cancel()
        await asyncio.gather(*self._tunnels, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tunnels.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._tunnel(reader, writer)
        finally:
            self._tunnels.discard(task)
            writer.transport.abort()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        target = head.split()[1].decode()
        if self._expected and b"\r\nProxy-Authorization: " + self._expected + b"\r\n" not in head:
            await _refuse(writer, b"407 Proxy Authentication Required")
            return
        self.targets.append(target)
        host, _, port = target.rpartition(":")
        try:
            inner_reader, inner_writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except OSError:
            await _refuse(writer, b"502 Bad Gateway")
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n")
        try:
            await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))
        finally:
            inner_writer.transport.abort()


async def _refuse(writer: asyncio.StreamWriter, status: bytes) -> None:
    body = b"the proxy's own page"
    writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Give on what one side sends, and its end; where the connection breaks, break the other."""
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()  # TLS has no half
    except OSError:
        writer.transport.abort()
