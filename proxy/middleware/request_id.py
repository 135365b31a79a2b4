"""Every request gets an id, under which the log speaks of it and by which the client can ask.

A fault of ours has it as `x-request-id` as well, the field that OpenAI's SDKs show with an error; an answer of
upstream's has upstream's.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.http.context import context_of, new_request_id
from proxy.http.faults import id_fields
from proxy.http.passing import passing


class RequestIdMiddleware:
    """Gives each request an id `req-…`, and adds it to the fields of its answer; without `report`, to faults only."""

    def __init__(self, app: ASGIApp, *, report: bool = True) -> None:
        self.app = app
        self.report = report

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request through the app behind."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        request_id = new_request_id()
        context = context_of(scope)
        context.request_id = request_id
        answer = passing(send)

        def identified(start: Message) -> Message:
            if not (self.report or context.fault):
                return start
            fields = id_fields(request_id)
            added = fields if context.fault else fields[:1]
            return {**start, "headers": [*start.get("headers", ()), *added]}

        answer.at_start(identified)
        return await self.app(scope, receive, answer.send)
