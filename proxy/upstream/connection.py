"""One connection to upstream: bytes of one request out, one answer in, and the decision whether it may be used again.

    idle ──begin──> exchanging ──both messages complete, nothing against it──> idle
      │                 │
      └── any byte ─────┴── anything else ──> closed      (a 101 that was asked for: the connection becomes a Stream)

While it exchanges, the two directions advance on their own, because upstream may answer before it has all of the
request. What is due next, and the fault if it does not happen in time:

    request          answer       due within
    being written    none         nothing: the client sets the pace (`upload.py`)
    blocked          none         idle: upstream takes more of it         upstream_upload_timeout
    sent             none         first_byte: the head                    upstream_first_byte_timeout
    any              begun        idle: more of the body                  upstream_idle_timeout
    any              paused       nothing: the client reads slowly

Invariants:
- There is an answer in `_answer` exactly while it exchanges; every end of the exchange takes it out first.
- It becomes idle (`freed`) only if request and answer are complete, nothing waits in the write buffer, upstream
  announced no end, the answer's end was not the connection's, and no byte was left over.
- A byte that arrives while it is idle closes it: it would be taken for the beginning of the next answer.
- `lost` is called once, last, when the transport is closed, on either side.

All callbacks run in one event loop, each to its end: no task and no lock is needed. Bytes are parsed where they arrive.
"""

import asyncio
import select
from typing import TYPE_CHECKING, cast

from proxy.http.faults import hop_fault
from proxy.streams.sockets import is_out_of_memory
from proxy.streams.stream import Stream
from proxy.upstream.answer import IncomingAnswer
from proxy.upstream.deadline import NEVER, Deadline
from proxy.upstream.interface import Deadlines
from proxy.upstream.parser import AnswerParser, InvalidAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable

BUFFER = 32_768  # bytes of one read, at most: with it grow both the pieces of a burst and what a stalled client holds
HIGH_WATER = 8_192  # bytes that wait for the client before upstream is paused
BLOCKED = "upstream_upload_timeout"


class Connection(asyncio.BufferedProtocol):
    """A connection that serves one answer at a time.

    `buffer` may be shared by all connections of one loop: what is read is parsed before anything else is read.
    `freed` is called when it is idle again, `lost` when it is closed.
    """

    def __init__(self, buffer: memoryview, deadlines: Deadlines) -> None:
        self.loop = asyncio.get_running_loop()
        self.made_at = self.idle_since = self.loop.time()
        self.freed: Callable[[Connection], None] = _ignore
        self.lost: Callable[[Connection], None] = _ignore
        self.closed = False
        self.deadlines = deadlines
        self.deadline = Deadline(self.loop, self._missed)
        self._buffer = buffer
        self._transport: asyncio.Transport
        self._poll = select.poll()
        self._answer: IncomingAnswer | None = None
        self._parser = AnswerParser()
        self._sent = True
        self._backlog = 0
        self._unwritable: asyncio.Future[None] | None = None

    # Called by the client and the pool.

    def begin(self, pieces: list[bytes], *, head_request: bool, sent: bool, may_switch: bool = False) -> IncomingAnswer:
        """Send the head of a request, and all of it if `sent`, and expect an answer; to a HEAD if `head_request`.

        After a 101, if the answer `may_switch`, the connection is only good for `stream`.
        """
        self._answer = answer = IncomingAnswer(self, self.loop, HIGH_WATER)
        self._parser.expect(answer, head_request=head_request, may_switch=may_switch)
        self._sent = False
        if self._transport.is_closing():
            answer.fail(hop_fault("upstream_unreachable"))  # it closed after the pool had looked: nothing was sent
        else:
            self._transport.writelines(pieces)
        if sent:
            self.sent()
        return answer

    async def write(self, pieces: list[bytes]) -> bool:
        """Send more of the request, at upstream's pace; false when upstream takes no more."""
        if self._poll.poll(0):  # an answer has arrived; a write could fail first and hide it
            await asyncio.sleep(0)
            await asyncio.sleep(0)  # asyncio reads between the first and the second turn
        if self._transport.is_closing():
            return False
        self._transport.writelines(pieces)
        if self._unwritable is not None:
            self._expect_progress()
            await asyncio.shield(self._unwritable)
            self._expect(NEVER, "")
        return not self._transport.is_closing()

    def sent(self) -> None:
        """Note that the request is complete."""
        self._sent = True
        if self._unwritable is None:
            self._expect(self.deadlines.first_byte, "upstream_first_byte_timeout")
        else:
            self._expect_progress()

    def is_usable(self, oldest: float, unused_since: float) -> bool:
        """Whether another request may be sent: young enough, recently used, and still open on the other side."""
        recent = self.made_at >= oldest and self.idle_since >= unused_since
        return recent and not self._transport.is_closing() and not self._poll.poll(0)

    def pause(self) -> None:
        """Stop reading for now; nothing is due meanwhile."""
        self._transport.pause_reading()
        self.deadline.clear()

    def resume(self) -> None:
        """Read on."""
        self._transport.resume_reading()
        self.deadline.expect(self.deadlines.idle, "upstream_idle_timeout")

    def abandon(self) -> None:
        """Close immediately; unsent bytes are dropped, and the answer is left as it is."""
        self.deadline.cancel()
        self._answer = None
        self._transport.abort()

    def stream(self) -> Stream:
        """The connection as a byte stream, once an answer has switched; raises a Fault where it is closed already."""
        if self.closed:
            raise hop_fault("upstream_disconnected")
        return Stream(self._transport, self._parser.behind)

    def cut(self) -> None:
        """Close immediately; an answer that has not ended fails."""
        if self._answer is None:
            self.abandon()
        else:
            self._fail("upstream_cut" if self._answer.status else "upstream_disconnected")

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the protocol's signature
        """The memory to read into."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what has arrived, then wake the reader once."""
        answer = self._answer
        if answer is None:
            self.abandon()
            return
        try:
            self._parser.feed(self._buffer[:nbytes])
        except InvalidAnswerError:
            self._fail("upstream_cut" if answer.status else "upstream_invalid_answer")
            return
        if self._parser.switched:
            self._switch(answer)
        elif self._parser.complete:
            self._finish(answer)
        elif answer.status:
            self.deadline.expect(self.deadlines.idle, "upstream_idle_timeout")
        answer.wake()

    def eof_received(self) -> None:
        """Upstream closes: the end of an answer that has no length. TLS reports only an end that upstream announced."""
        answer = self._answer
        if answer is not None and answer.status and self._parser.until_close:
            self._finish(answer)
            answer.wake()

    def connection_lost(self, error: Exception | None) -> None:
        """The transport is closed; an answer that has not ended fails: by upstream's doing, or by want of memory."""
        self.closed = True
        if self._answer is not None and is_out_of_memory(error):
            self._answer.fail(MemoryError())
        self.cut()
        self.resume_writing()
        self.lost(self)

    def pause_writing(self) -> None:
        """Upstream reads more slowly than the request is written."""
        self._unwritable = self.loop.create_future()

    def resume_writing(self) -> None:
        """Upstream has caught up, or the connection is closed."""
        if self._unwritable is not None:
            waiting, self._unwritable = self._unwritable, None
            waiting.set_result(None)
            if self._sent:
                self.sent()

    # Inside.

    def _finish(self, answer: IncomingAnswer) -> None:
        self._answer = None
        self.deadline.clear()
        answer.end()
        if self._sent and self._parser.is_reusable and not self._transport.get_write_buffer_size():
            self.idle_since = self.loop.time()
            self.freed(self)
        else:
            self.abandon()

    def _switch(self, answer: IncomingAnswer) -> None:
        """Read no more: what follows is not HTTP."""
        self._answer = None
        self.deadline.cancel()
        self._transport.pause_reading()
        answer.end()

    def _expect(self, seconds: float, code: str) -> None:
        if self._answer is not None and not self._answer.status:
            self.deadline.expect(seconds, code)

    def _expect_progress(self) -> None:
        self._backlog = self._transport.get_write_buffer_size()
        self._expect(self.deadlines.idle, BLOCKED)

    def _missed(self, code: str) -> None:
        if code == BLOCKED and self._transport.get_write_buffer_size() < self._backlog:
            self._expect_progress()  # slow, but not stalled
        else:
            self._fail(code)

    def _fail(self, code: str) -> None:
        answer = cast("IncomingAnswer", self._answer)
        self.abandon()
        answer.fail(hop_fault(code))


def _ignore(connection: Connection) -> None:
    """Before `connection` is in a pool nothing has to happen."""
