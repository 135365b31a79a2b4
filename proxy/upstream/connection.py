"""One connection to upstream: bytes of one request out, one answer in, and the judgement whether it may be used again.

It is used again only when both messages were whole, upstream announced no end, and nothing was left over; a byte that
comes while nothing was asked for closes it. Bytes are parsed where they arrive, without a task or a lock.
"""

import asyncio
import select
from typing import TYPE_CHECKING, cast

import httptools

from proxy.http.faults import hop_fault
from proxy.upstream.answer import IncomingAnswer
from proxy.upstream.deadline import NEVER, Deadline
from proxy.upstream.interface import Deadlines

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.http.headers import Fields

BUFFER = 32_768  # read at most so much at once
HIGH_WATER = 16_384  # hold upstream back when more than that waits for the client
MAX_HEAD = 131_072
TAKEN = "upstream_upload_timeout"


class Connection(asyncio.BufferedProtocol):
    """A connection that serves one answer at a time.

    `buffer` may be shared by all connections of one loop: what is read is parsed before anything else is read.
    `freed` and `lost` are called when it may be used again, and when it is closed.
    """

    def __init__(self, buffer: memoryview, deadlines: Deadlines) -> None:
        self.loop = asyncio.get_running_loop()
        self.made_at = self.idle_since = self.loop.time()
        self.freed: Callable[[Connection], None] = _nobody
        self.lost: Callable[[Connection], None] = _nobody
        self.closed = False
        self.deadlines = deadlines
        self.deadline = Deadline(self.loop, self._missed)
        self._buffer = buffer
        self._transport: asyncio.Transport
        self._poll = select.poll()
        self._answer: IncomingAnswer | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._head_request = False
        self._sent = True
        self._backlog = 0
        self._fields: Fields = []
        self._head_size = 0
        self._complete = False
        self._left_over = False
        self._keep_alive = False
        self._until_close = False
        self._unwritable: asyncio.Future[None] | None = None

    # The exchange.

    def begin(self, pieces: list[bytes], *, head_request: bool, sent: bool) -> IncomingAnswer:
        """Send the head of a request, and all of it if `sent`, and expect an answer; of a HEAD if `head_request`."""
        self._answer = answer = IncomingAnswer(self, self.loop, HIGH_WATER)
        self._head_request = head_request
        self._complete = self._left_over = self._keep_alive = self._until_close = False
        self._fields, self._head_size = [], 0
        self._sent = False
        if self._transport.is_closing():
            answer.fail(hop_fault("upstream_unreachable"))  # it closed in the very last moment: nothing was sent
        else:
            self._transport.writelines(pieces)
        if sent:
            self.sent()
        return answer

    async def write(self, pieces: list[bytes]) -> bool:
        """Send more of the request, as fast as upstream takes it; false when it takes no more."""
        if self._poll.poll(0):  # an answer is there already; writing first could end in an error that hides it
            await asyncio.sleep(0)
            await asyncio.sleep(0)  # asyncio reads between the first and the second turn
        if self._transport.is_closing():
            return False
        self._transport.writelines(pieces)
        if self._unwritable is not None:
            self._expect_taken()
            await asyncio.shield(self._unwritable)
            self._expect(NEVER, "")
        return not self._transport.is_closing()

    def sent(self) -> None:
        """The whole request has been handed over."""
        self._sent = True
        if self._unwritable is None:
            self._expect(self.deadlines.first_byte, "upstream_first_byte_timeout")
        else:
            self._expect_taken()

    def is_usable(self, oldest: float, unused_since: float) -> bool:
        """Whether another request may be sent: made and used late enough, and still open on the other side."""
        fresh = self.made_at >= oldest and self.idle_since >= unused_since
        return fresh and not self._transport.is_closing() and not self._poll.poll(0)

    def pause(self) -> None:
        """Read no more for now; what is not read is not late."""
        self._transport.pause_reading()
        self.deadline.clear()

    def resume(self) -> None:
        """Read on."""
        self._transport.resume_reading()
        self.deadline.expect(self.deadlines.idle, "upstream_idle_timeout")

    def abandon(self) -> None:
        """Close at once; nothing that is not sent yet will be."""
        self.deadline.cancel()
        self._answer = None
        self._transport.abort()

    def cut(self) -> None:
        """Close at once, which cuts an answer that has not ended."""
        if self._answer is None:
            self.abandon()
        else:
            self._break("upstream_cut" if self._answer.status else "upstream_disconnected")

    # What the transport says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Know the way out."""
        self._transport = cast("asyncio.Transport", transport)
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the protocol's signature
        """Where to read to."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what has come, then tell the reader once."""
        answer = self._answer
        if answer is None:
            self.abandon()  # nobody asked
            return
        try:
            self._parse(self._buffer[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self._complete:
                self._break("upstream_cut" if answer.status else "upstream_invalid_answer")
                return
            self._left_over = True
        if self._complete:
            self._finish(answer)
        elif answer.status:
            self.deadline.expect(self.deadlines.idle, "upstream_idle_timeout")
        answer.wake()

    def eof_received(self) -> None:
        """Upstream sends no more: the end of an answer delimited so. TLS says this only where it is true."""
        answer = self._answer
        if answer is not None and answer.status and self._until_close:
            self._finish(answer)
            answer.wake()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - whatever it is, it is over
        """Nothing comes any more; an answer that has not ended is cut."""
        self.closed = True
        self.cut()
        self.resume_writing()
        self.lost(self)

    def pause_writing(self) -> None:
        """Upstream does not take what is sent."""
        self._unwritable = self.loop.create_future()

    def resume_writing(self) -> None:
        """Upstream takes more, or never will."""
        if self._unwritable is not None:
            waiting, self._unwritable = self._unwritable, None
            waiting.set_result(None)
            if self._sent:
                self.sent()

    # What the parser says.

    def on_message_begin(self) -> None:
        """An answer begins; after a whole one, nobody asked for it, and it is not even read."""
        if self._complete:
            raise ValueError("left over")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head, or a trailer, which is not relayed."""
        self._head_size += len(name) + len(value)
        if self._head_size > MAX_HEAD:
            raise ValueError("too long a head")
        self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head of an interim answer, or of the final one."""
        answer, parser = cast("IncomingAnswer", self._answer), cast("httptools.HttpResponseParser", self._parser)
        status = parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._fields = []  # the wake-up that follows is all that is made of it
            return
        if not 200 <= status < 600:
            raise ValueError("no final status")
        self._keep_alive = parser.get_http_version() == "1.1"
        self._until_close = status not in (204, 304) and not self._head_request
        self._judge_framing()
        answer.fields, answer.status, self._fields = self._fields, status, []
        self._complete = self._head_request

    def on_body(self, body: bytes) -> None:
        """A piece of the body, or of one that should not be there."""
        if self._complete:
            raise ValueError("left over")
        cast("IncomingAnswer", self._answer).add(body)

    def on_message_complete(self) -> None:
        """The end of an answer, of the final one unless its head is still to come."""
        self._complete = bool(cast("IncomingAnswer", self._answer).status)

    # Behind the scenes.

    def _judge_framing(self) -> None:
        for name, value in self._fields:
            if name == b"content-length":
                self._until_close = False
            elif name == b"transfer-encoding":
                if value.strip().lower() != b"chunked":
                    raise ValueError("a transfer coding that cannot be undone")
                self._until_close = False
            elif name == b"connection" and b"close" in value.lower():
                self._keep_alive = False

    def _parse(self, data: memoryview) -> None:
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        self._parser.feed_data(data)

    def _finish(self, answer: IncomingAnswer) -> None:
        self._answer = None
        self.deadline.clear()
        answer.end()
        if self._head_request:
            self._parser = None  # it still waits for a body
        whole = self._sent and not self._transport.get_write_buffer_size()
        if whole and self._keep_alive and not self._left_over and not self._until_close:
            self.idle_since = self.loop.time()
            self.freed(self)
        else:
            self.abandon()

    def _expect(self, seconds: float, code: str) -> None:
        if self._answer is not None and not self._answer.status:
            self.deadline.expect(seconds, code)

    def _expect_taken(self) -> None:
        self._backlog = self._transport.get_write_buffer_size()
        self._expect(self.deadlines.idle, TAKEN)

    def _missed(self, code: str) -> None:
        if code == TAKEN and self._transport.get_write_buffer_size() < self._backlog:
            self._expect_taken()  # slow is not silent
        else:
            self._break(code)

    def _break(self, code: str) -> None:
        answer = cast("IncomingAnswer", self._answer)
        self.abandon()
        answer.fail(hop_fault(code))


def _nobody(connection: Connection) -> None:
    """Nobody is told of `connection`."""
