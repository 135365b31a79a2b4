"""One request of an application on a route that is rewritten: its body is read, and its answer gets a report."""

from functools import partial
from typing import Any, Final

from proxy.drivers.attempt import too_complex
from proxy.drivers.memory import MemoryBudget, Reservation
from proxy.drivers.work import Work
from proxy.events import Event, LeftOutByUpstream
from proxy.http import content_coding
from proxy.http.context import new_request_id
from proxy.http.credential import credential
from proxy.http.faults import CLIENT, Fault, id_fields
from proxy.http.headers import without_own
from proxy.http.metadata import Metadata
from proxy.report import Report
from proxy.responses.body.size import TooComplexError
from proxy.responses.left_out import left_out
from proxy.responses.steps import Compute
from proxy.transports.families import fields_of
from proxy.transports.interface import Answer, Io
from proxy.transports.performer import Performer
from proxy.transports.portable import Portable, Way

LARGEST: Final = 64 * 1024 * 1024
"""Bytes of a body that is read, as sent and decoded; a larger one passes unread."""

_UNLIMITED: Final = Reservation(MemoryBudget())
"""Inside an application there is no ceiling: what the requests of all threads reserve is not looked at."""


class Call:
    """A request, the transport within that sends it, and what the call needs to wait for it."""

    def __init__(self, portable: Portable, io: Io, request: Any, way: Way) -> None:
        self.portable = portable
        self.io = io
        self.request = request
        self.family, self.sender, self.route = way
        self.fields = fields_of(request)
        self.caller = credential(self.fields) or ""
        self.work = Work(io, self.caller, _UNLIMITED)
        self.request_id = new_request_id()

    async def answer(self) -> Any:
        """The answer, in the form in which upstream takes the request. Raises what the transport within raises."""
        try:
            body = self.family.body(self.request)
            plain = await self._plain(body) if body is not None else None
            if body is None or plain is None:
                return await self._unread()
            exchange = self.portable.exchange(plain, self.route, self.request.url.host, self.caller)
            return await Performer(self, exchange, body, plain).run()
        except TooComplexError:
            return self._faulty(too_complex())
        except Fault as fault:
            return self._faulty(fault)

    async def _plain(self, body: bytes) -> bytes | None:
        """The decoded body, `body` itself if it has no coding; None where it is not read."""
        coding = Metadata(self.fields).coding
        if not content_coding.is_known(coding):
            return None
        if len(body) > LARGEST:
            self._refuse_unread()
            return None
        if not coding:
            return body
        try:
            decoding = partial(content_coding.decode, coding, body, LARGEST)
            plain: bytes = await self.work.perform(Compute(decoding, len(body)))
        except content_coding.TooLargeError:
            self._refuse_unread()
            return None
        except content_coding.CorruptError:
            message = f"The request body is not the {coding} data its Content-Encoding says it is."
            raise Fault(400, "invalid_content_encoding", message, kind=CLIENT) from None
        return plain

    def _refuse_unread(self) -> None:
        """Raise Fault where nothing may leave that was not read."""
        if self.portable.is_strict:
            message = f"The request body is larger than {LARGEST} bytes, so that it cannot be made portable."
            raise Fault(413, "request_too_large", message, kind=CLIENT)

    async def _unread(self) -> Any:
        """The answer to the request as it is."""
        return self.reported(await self.io.send(self.sender, self.request), Report(action="unread"))

    def _faulty(self, fault: Fault) -> Any:
        """An answer that upstream did not give."""
        start, body = fault.messages()
        fields = [*start["headers"], *id_fields(self.request_id)]
        return self.family.response(fault.status, fields, body["body"])

    def reported(self, answer: Answer, report: Report) -> Any:
        """The response with the report's fields, in the place of those that another Unpinned behind it has set."""
        response = answer.response
        if self.portable.reports:
            fields = [*without_own(response.headers.raw), *report.fields(), *id_fields(self.request_id)[:1]]
            response.headers = self.family.package.Headers(fields)
        return response

    def notice(self, events: list[Event]) -> None:
        """Tell the observer the facts, and take them out of the list."""
        for event in events:
            self.portable.notice(self.request_id, event)
        events.clear()

    def hear(self, piece: bytes) -> None:
        """Say what upstream left out, where an event of its answer says so."""
        found = left_out(piece)
        if found:
            self.notice([LeftOutByUpstream(self.caller, tuple(found.items()))])

    def spend(self) -> None:
        """Take an attempt that failed out of the budget."""
        self.portable.spend(self.caller, self.request_id)
