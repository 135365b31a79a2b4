"""One client's connection: uvicorn's protocol, with limits on what is received and errors in OpenAI's shape.

What is not beyond doubt a request is answered with 400 and the connection closed; nothing behind it is read. Anything
else would let a client smuggle a request past a proxy in front that parses it differently (request smuggling).
"""

import asyncio
import select
from typing import TYPE_CHECKING, Any, Final, cast

import httptools

from proxy.http import request_head
from proxy.http.faults import Fault, hop_fault
from proxy.http.metadata import Metadata
from proxy.observers.logs import LOGGER
from proxy.server.pipeline import Pipeline
from proxy.server.refusals import no_http, raw, too_much_behind, too_slow
from proxy.streams.offer import EXTENSION, Offer
from proxy.streams.stream import Stream

if TYPE_CHECKING:
    from proxy.server.draining import State

_LINGERING: Final = 3.0
"""Seconds for which input after the last answer is discarded: a reset could overtake the answer."""
_AHEAD: Final = 16
"""Requests that may wait behind the one that is answered: a segment could hold thousands, each made an object."""
_WAITING: Final = 1
"""Bytes of an answer that wait for a client that reads slowly, from which on no more is read from upstream."""
_BEHIND: Final = 65_536
"""Bytes that may follow a handshake before it is answered."""


class ClientProtocol(Pipeline):
    """One connection; a request's head has `header_timeout` seconds to come."""

    server_state: "State"
    header_timeout: float
    highest_descriptor: int
    """The last one that a client's connection may have; those above are kept for connections to upstream."""
    __slots__ = ("_begun", "_behind", "_deadline", "_heard", "_refused")

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._deadline: asyncio.TimerHandle | None = None
        self._begun = False
        self._heard = 0
        """Bytes since the last head or piece of a body: of a head, of trailers, of chunks' extensions."""
        self._refused = False
        """Input is discarded."""
        self._behind: bytearray | None = None
        """What came behind an offer of another protocol: no HTTP, whoever reads it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a head, unless there are too many connections."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=_WAITING)
        if transport.get_extra_info("socket").fileno() > self.highest_descriptor:
            self._turn_away()
        else:
            self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, in place of uvicorn's method, which takes an Upgrade for the end of the request."""
        if self._refused:
            return
        if self._behind is not None:
            self._hold(data)
            return
        self._idle_since = None
        self._heard += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError as error:
            if not self._is_over():
                reason = error.__context__
                self._refuse(reason if isinstance(reason, Fault) else no_http())
            return
        if self._heard > request_head.MOST:
            self._refuse(request_head.too_large())
        elif self._deadline is None and not self.transport.is_closing() and self.cycle.response_complete:
            self._arm()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._begun = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head is whole: begin to answer, unless it is refused or has to be read again."""
        parser = self.parser
        line = parser.get_method(), self.url, parser.get_http_version()
        fault = request_head.fault_in(*line, self.headers, Metadata(self.headers))
        if self._heard > request_head.MOST and request_head.size(self.url, self.headers) > request_head.MOST:
            fault = request_head.too_large()
        if fault is None and len(self.pipeline) >= _AHEAD:
            fault = no_http()
        if fault is not None:
            raise fault
        self._heard = 0
        if not parser.should_upgrade():
            self._begin()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._heard = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole, unless it has to be read again."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request, unless the answer was the last one and the client still sends."""
        if self._running is not None and self._running.lingers:
            self._linger()
        super().on_response_complete()

    def is_idle(self) -> bool:
        """Whether no request is being received or answered, as far as can be seen."""
        answered = self.cycle is None or self.cycle.response_complete
        return answered and not self._begun and not self._refused and not self._is_readable()

    def _is_readable(self) -> bool:
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def _begin(self) -> None:
        self._disarm()
        self._begun = False
        super().on_headers_complete()

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            behind = data[offer.args[0] :]
            if self.parser.get_method() == b"GET" and Metadata(self.headers).upgrades_to(b"websocket"):
                self._offer(behind)
            else:
                self._parse_without_offer(behind)

    def _offer(self, behind: bytes) -> None:
        """Let the app decide on a WebSocket handshake; llhttp takes it for a request without a body."""
        offer = Offer(self._accept, self.server_state.draining)
        self.scope["extensions"] = {EXTENSION: offer}
        self._begin()
        self.cycle.keep_alive = False
        self.cycle.end_body()
        self._behind = bytearray()
        self._hold(behind)

    def _hold(self, data: bytes) -> None:
        """Keep what the client sends in the other protocol before it has the answer; with another than 101, nothing."""
        if self.cycle.response_started:
            return
        behind = cast("bytearray", self._behind)
        behind += data
        if len(behind) > _BEHIND:
            self._refuse(too_much_behind(_BEHIND))

    def _accept(self) -> Stream:
        """The connection as a byte stream; this protocol hears of it again when it is lost."""
        if self.cycle.disconnected:
            raise ConnectionResetError
        return Stream(self.transport, bytes(self._behind or b""), self.connection_lost)

    def _parse_without_offer(self, rest: bytes) -> None:
        """Read a request that offers another protocol as one that does not, and nothing after it.

        "A server MAY ignore a received Upgrade header field" (RFC 9110, 7.8); llhttp cannot, and would lose the body.
        What follows may be in the other protocol already, so that it is not read: the answer ends the connection.
        """
        offers = [field for field in self.headers if field[0] == b"upgrade"]
        fields = [field for field in self.headers if field[0] != b"upgrade"]
        lines = b"".join(b"%s: %s\r\n" % field for field in (*fields, (b"connection", b"close")))
        version = self.parser.get_http_version().encode()
        head = b"%s %s HTTP/%s\r\n%s\r\n" % (self.parser.get_method(), self.url, version, lines)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(head)
        self.cycle.scope["headers"] = [*self.cycle.scope["headers"], *offers]
        self.parser.feed_data(rest)

    def _is_over(self) -> bool:
        """Whether the last request of this connection is whole; what else comes is not read (RFC 9112, 9.6)."""
        return self.cycle is not None and not self.cycle.keep_alive and not self.cycle.more_body

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(self.header_timeout, self._too_slow)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        if not self._begun:  # an answer to nothing could be taken for the answer to the next request
            self.transport.close()
            return
        self._refuse(too_slow(self.header_timeout))

    def _refuse(self, fault: Fault) -> None:
        """Answer and close, unless an answer is under way or has to come first."""
        self._refused = True
        self._disarm()
        LOGGER.warning("A client was refused: %s", fault.code)
        if not self._may_answer():
            if self._running is not None:
                self._running.flush()
            self.transport.close()
            return
        self.transport.write(raw(fault))
        self._linger()

    def _linger(self) -> None:
        """Send no more, and discard input until the client closes, or for a few seconds."""
        self._refused = True
        if self.transport.can_write_eof():  # TLS has no half-closed connections
            self.transport.write_eof()
        self.loop.call_later(_LINGERING, self.transport.close)

    def _turn_away(self) -> None:
        """Refuse a connection before its first request, and close it immediately: the descriptor is needed."""
        self._refused = True
        fault = hop_fault("out_of_descriptors")
        LOGGER.warning("A client was refused: %s", fault.code)
        self.transport.write(raw(fault))
        self.transport.close()

    def _may_answer(self) -> bool:
        """Whether the next answer on this connection is that to what is refused; the request it was is given up."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return True
        is_whole = not cycle.more_body and self._behind is None
        if cycle is not self._running or is_whole or cycle.response_started:
            return False
        cycle.disconnect()
        return True
