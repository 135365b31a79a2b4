"""One connection as both ends of a soak use it: heads and bodies as they come, and every way to end."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Self


class Cut(Exception):  # noqa: N818 -- no error: half of the scenarios expect it
    """The connection ended before the message did; `body` is what came of it."""

    def __init__(self, body: bytes = b"") -> None:
        super().__init__("cut")
        self.body = body


@dataclass
class Head:
    """The first line of a message, and its fields by their names in lower case."""

    line: list[bytes]
    fields: dict[bytes, bytes]

    @property
    def status(self) -> int:
        """The status of an answer."""
        return int(self.line[1])


class Wire:
    """A connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.is_last = False
        """Whether a head said that the connection ends."""
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connected(cls, port: int) -> Self:
        """A connection to 127.0.0.1."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, data: bytes) -> None:
        """Send `data`."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError:
            raise Cut from None

    async def head(self) -> Head:
        """The next head, interim answers left out."""
        raw = await self.until(b"\r\n\r\n")
        line, *lines = raw[:-4].split(b"\r\n")
        if line.startswith(b"HTTP/1.1 1"):
            return await self.head()
        pairs = (text.partition(b":") for text in lines)
        head = Head(line.split(b" ", 2), {name.lower(): value.strip() for name, _, value in pairs})
        self.is_last = head.fields.get(b"connection") == b"close"
        return head

    async def body(self, head: Head) -> bytes:
        """The body of the message that began with `head`; raises Cut."""
        if head.fields.get(b"transfer-encoding") == b"chunked":
            return await self._chunks()
        size = int(head.fields.get(b"content-length", b"0"))
        try:
            return await self._reader.readexactly(size)
        except asyncio.IncompleteReadError as error:
            raise Cut(error.partial) from None
        except ConnectionError:
            raise Cut from None

    async def until(self, mark: bytes) -> bytes:
        """All bytes up to and with `mark`; raises Cut."""
        try:
            return await self._reader.readuntil(mark)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise Cut from None

    async def ended(self) -> None:
        """Wait for the other side to close."""
        with contextlib.suppress(ConnectionError):
            while await self._reader.read(65536):
                pass

    def reset(self) -> None:
        """End without a word."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """End."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _chunks(self) -> bytes:
        body = bytearray()
        try:
            while size := int(await self.until(b"\r\n"), 16):
                body += (await self._reader.readexactly(size + 2))[:-2]
            await self.until(b"\r\n")
        except (Cut, asyncio.IncompleteReadError, ConnectionError):
            raise Cut(bytes(body)) from None
        return bytes(body)


def chunk(piece: bytes) -> bytes:
    """One chunk; of nothing, the last."""
    return b"%x\r\n%s\r\n" % (len(piece), piece)


def message(line: bytes, fields: dict[bytes, bytes], body: bytes | None = None) -> bytes:
    """A whole message, or the head of one."""
    framing = {} if body is None else {b"Content-Length": b"%d" % len(body)}
    lines = b"".join(b"%s: %s\r\n" % field for field in {**fields, **framing}.items())
    return b"%s\r\n%s\r\n%s" % (line, lines, body or b"")
