"""The bytes of one answer after the other on one connection, and how each of them is delimited.

httptools parses; this judges what it found. An answer passes these states, once each and in this order:

    head        fields are collected; an interim answer (1xx) ends without leaving the state
    body        the answer has its status and fields; chunks are added to it
    complete    its end was parsed; every byte that follows is left over, which makes the connection useless
    switched    instead of body and end, where it was asked for: a 101, and the bytes `behind` it are no HTTP any more

A body without a length ends with the connection (`until_close`); only the connection knows when that is.
"""

from typing import TYPE_CHECKING

import httptools

from proxy.http.metadata import CHUNKED, Metadata

if TYPE_CHECKING:
    from proxy.http.headers import Fields
    from proxy.upstream.answer import IncomingAnswer

MAX_HEAD = 131_072
"""Bytes that may arrive without a head, or a piece of a body, being complete: of a head, of trailers, of extensions."""
MAX_INTERIM = 100
"""Interim answers (1xx) before the final one; endless ones would keep a processor busy until the first-byte timeout."""


class InvalidAnswerError(Exception):
    """The bytes are no answer, or one with an ambiguous end."""


class AnswerParser:
    """Parses into the answer that `expect` names; all flags are about that one."""

    def __init__(self) -> None:
        self.complete = False
        self.left_over = False
        self.keep_alive = False
        self.until_close = False
        self.switched = False
        self.behind = b""
        self._may_switch = False
        self._answer: IncomingAnswer
        self._head_request = False
        self._fields: Fields = []
        self._heard = 0
        self._body: list[bytes] = []
        self.on_body = self._body.append
        """Takes a chunk of the body; a list's own method, as a burst of events has hundreds."""
        self._parser = httptools.HttpResponseParser(self)

    @property
    def is_reusable(self) -> bool:
        """Whether the connection may carry another answer, as far as this one says."""
        return self.keep_alive and not self.left_over and not self.until_close

    def expect(self, answer: "IncomingAnswer", *, head_request: bool, may_switch: bool = False) -> None:
        """Parse what follows into `answer`; the answer to a HEAD has no body, and a 101 is one if it `may_switch`."""
        if self._head_request:
            self._parser = httptools.HttpResponseParser(self)  # the one before still waits for a body
        self._answer = answer
        self._head_request = head_request
        self._may_switch = may_switch
        self.complete = self.left_over = self.keep_alive = self.until_close = False
        self._fields, self._heard, self._interim = [], 0, 0

    def feed(self, data: memoryview) -> None:
        """Parse `data`; raises InvalidAnswerError unless the answer is complete without it."""
        self._heard += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if not self.switched:
                raise InvalidAnswerError from None
            self.behind = bytes(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._give_body()
            if isinstance(reason := error.__context__, MemoryError):  # of a callback: no fault of the answer's
                raise reason from None
            if not self.complete:
                raise InvalidAnswerError from None
            self.left_over = True
        self._give_body()
        if self._heard > MAX_HEAD:
            raise InvalidAnswerError

    # Called by httptools.

    def on_message_begin(self) -> None:
        """An answer begins; after a complete one nothing may, and it is not even read."""
        if self.complete:
            raise ValueError("left over")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head, or a trailer, which is not relayed."""
        self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head of an interim answer, or of the final one."""
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._fields = []  # the reader is woken, which is its only effect
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise ValueError("too many interim answers")
            return
        if status == 101 and self._may_switch:
            self.switched = True
            self._give_head(status, Metadata(self._fields))
            return
        if not 200 <= status < 600:
            raise ValueError("no final status")
        metadata = Metadata(self._fields)
        self._judge_framing(metadata)
        self.keep_alive = self._parser.get_http_version() == "1.1" and b"close" not in metadata.options
        is_framed = metadata.is_chunked or metadata.announces_length
        self.until_close = not is_framed and status not in (204, 304) and not self._head_request
        self._give_head(status, metadata)
        self.complete = self._head_request

    def on_message_complete(self) -> None:
        """The end of an answer: of the final one, unless its head is still to come."""
        self.complete = bool(self._answer.status)

    def _judge_framing(self, metadata: Metadata) -> None:
        if metadata.announces_length and metadata.length is None:
            raise ValueError("a length that is none")
        if metadata.is_chunked and metadata.transfer_codings != CHUNKED:
            raise ValueError("a transfer coding that cannot be undone")

    def _give_body(self) -> None:
        """Give the answer the chunks that have arrived, as one piece; the answer to a HEAD has none."""
        if self._body:
            self._heard = 0
            if self._head_request:
                self.left_over = True
            else:
                self._answer.add(self._body[0] if len(self._body) == 1 else b"".join(self._body))
            self._body.clear()

    def _give_head(self, status: int, metadata: Metadata) -> None:
        answer = self._answer
        answer.fields, answer.metadata, answer.status = self._fields, metadata, status
        self._fields, self._heard = [], 0
