"""Faults of the gateway itself, in the shape of OpenAI's errors.

Pure values: who raises one does not know who answers with it.
"""

from collections.abc import Iterable

import orjson

Fields = list[tuple[bytes, bytes]]


class Fault(Exception):
    """A fault the client is told of: `{"error": {"message", "type", "param": null, "code"}}` with `status`.

    `message` never holds a value the client sent but what it cannot do harm with, and never a key or a body.
    """

    def __init__(
        self, status: int, code: str, message: str, *, kind: str = "upstream_error", fields: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.kind = kind
        self.fields: Fields = list(fields)

    def body(self) -> bytes:
        """The JSON body of the answer."""
        error = {"message": self.message, "type": self.kind, "param": None, "code": self.code}
        return orjson.dumps({"error": error})

    def messages(self) -> tuple[dict[str, object], dict[str, object]]:
        """The two ASGI messages that answer with this fault."""
        body = self.body()
        fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *self.fields]
        start = {"type": "http.response.start", "status": self.status, "headers": fields}
        return start, {"type": "http.response.body", "body": body}
