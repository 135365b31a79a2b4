"""The fake API's side of a WebSocket: the handshake, frames, pings, and every way in which a connection ends.

uvicorn reads the head of a request that asks for an upgrade, and hands the connection over to this protocol. Knows
nothing of what a turn means.
"""

import asyncio
import base64
import binascii
import hashlib
import json
import re
import time
from contextlib import suppress
from typing import Any, Final, cast

from starlette.datastructures import Headers
from starlette.responses import Response

from proxy.responses import frames

from . import refusals, socket_refusals
from .events import Event
from .http import add_fields, answered, as_scripted, key_of
from .lanes import Session
from .messages import TOO_BIG, Message, MessageReader, Violation
from .refusal_streams import nested
from .state import Account, Instance

_PATH: Final = re.compile(r"(?:/v1|/openai/v1|/openai|/openai/deployments/[^/]+)?/responses")
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_CLOSING: Final = 2.0
"""Seconds in which a client may answer a close frame."""
_SWITCHING: Final = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n"
)


class WebSocketProtocol(asyncio.Protocol):
    """One connection, from the head of its handshake on; what uvicorn calls a WebSocket protocol class."""

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        del app_state
        self._instance: Instance = config.app.state.instance
        self._connections: set[Any] = server_state.connections
        self._transport: asyncio.Transport
        self._reader = MessageReader()
        self._session: Session | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._writable = asyncio.Event()
        self._writable.set()
        self._is_closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection over."""
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget all that the connection kept."""
        del exc
        self._connections.discard(self)
        self._writable.set()
        for timer in self._timers:
            timer.cancel()
        if self._session is not None:
            self._session.close()

    def pause_writing(self) -> None:
        """The client is slow."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._writable.set()

    def shutdown(self) -> None:
        """The server ends: tell the client to come back."""
        if self._session is None:
            self._transport.close()
        else:
            self._close(1012, "service restart")
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Take the head, then frames."""
        if self._session is None:
            self._shake_hands(data)
            return
        try:
            for message in self._reader.feed(data):
                self._take(self._session, message)
        except Violation as violation:
            self._close(violation.code, violation.reason)
            if violation.code != TOO_BIG:
                self._transport.close()

    # The handshake.

    def _shake_hands(self, data: bytes) -> None:
        started = time.perf_counter()
        line, *lines = data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        path, _, query = line.split(" ")[1].partition("?")
        fields = Headers(raw=[(name.lower().encode(), value.encode()) for name, value in map(_field, lines)])
        self._instance.received.append(_record("UPGRADE", path, query, fields, None))
        refused, account = self._refused(path, fields)
        if refused is not None or account is None:
            self._answer(refused or answered({}, 500), started)
            return
        self._path = path
        self._transport.write(_SWITCHING.format(_accept(fields["sec-websocket-key"])).encode())
        self._session = Session(self._instance, account, path, self._send, self._writable.wait)
        self._call_later(self._instance.options.socket_age, self._expire)

    def _refused(self, path: str, fields: Headers) -> tuple[Response | None, Account | None]:
        """The answer to a handshake that is none, or the account of its key."""
        scripted = self._instance.scripted(path, upgrade=True)
        if scripted is not None:
            return as_scripted(scripted), None
        try:
            if not _PATH.fullmatch(path):
                raise refusals.no_such_url("GET", path)
            if fields.get("sec-websocket-version") != "13" or not _is_key(fields.get("sec-websocket-key", "")):
                raise socket_refusals.no_handshake()
            return None, self._instance.account(key_of(fields), fields.get("openai-organization"))
        except refusals.Refusal as refusal:
            return answered(refusal.body(), refusal.status), None

    def _answer(self, response: Response, started: float) -> None:
        """Refuse the handshake with an answer of HTTP, and close."""
        add_fields(response, self._instance, "", started)
        head = [f"HTTP/1.1 {response.status_code} Refused".encode(), b"connection: close"]
        head += [name + b": " + value for name, value in response.raw_headers]
        self._transport.write(b"\r\n".join(head) + b"\r\n\r\n" + bytes(response.body))
        self._transport.close()

    # Frames.

    def _take(self, session: Session, message: Message) -> None:
        if message.opcode == frames.CLOSE:
            self._echo(message.payload)
        elif self._is_closing:
            return
        elif message.opcode == frames.PING:
            self._transport.write(frames.frame(message.payload, opcode=frames.PONG))
        elif message.opcode == frames.BINARY:
            raise Violation(1003, "only text is taken")
        elif message.opcode == frames.TEXT:
            try:
                text = message.payload.decode()
            except UnicodeDecodeError:
                raise Violation(1007, "invalid UTF-8") from None
            self._note(text)
            session.receive(text)

    def _note(self, text: str) -> None:
        with suppress(ValueError, RecursionError):
            body = json.loads(text)
            self._instance.received.append(_record("MESSAGE", self._path, "", Headers(), body))

    def _send(self, event: Event) -> None:
        if not self._is_closing:
            text = json.dumps(event, separators=(",", ":")).encode()
            self._transport.write(frames.frame(text))

    def _expire(self) -> None:
        """The connection is as old as one may be."""
        self._send(nested(socket_refusals.too_old(self._instance.options.socket_age)))
        # No report says with which code OpenAI closes then.
        self._close(1001, "connection limit reached")

    def _close(self, code: int, reason: str) -> None:
        """Send a close frame, and wait for the client's: closed with unread bytes, TCP would take ours back."""
        if self._is_closing:
            return
        self._is_closing = True
        if self._session is not None:
            self._session.close()
        self._transport.write(frames.close_frame(code, reason.encode()))
        self._call_later(_CLOSING, self._transport.abort)

    def _echo(self, payload: bytes) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._transport.write(frames.frame(payload[:2], opcode=frames.CLOSE))
        self._transport.close()

    def _call_later(self, seconds: float, work: Any) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(seconds, work))


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip()


def _accept(key: str) -> str:
    """The proof that the handshake was read (RFC 6455, 4.2.2)."""
    proof = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(proof).decode()


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        return False


def _record(method: str, path: str, query: str, fields: Headers, body: Any) -> dict[str, Any]:
    """What `/_fake/requests` shows of it."""
    shown = {"method": method, "path": path, "query": query, "headers": list(fields.keys())}
    return {**shown, "length": 0 if body is None else len(json.dumps(body)), "body": body}
