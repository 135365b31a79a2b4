"""Faults of the gateway itself, in the shape of OpenAI's errors.

Pure values: the code that raises one does not know which code answers with it. The table names every fault of the hop.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import orjson

Fields = list[tuple[bytes, bytes]]


class Fault(Exception):  # noqa: N818 - the word that operators and clients read
    """A fault that answers the client: `{"error": {"message", "type", "param": null, "code"}}` with `status`.

    `message` never holds a value the client sent but what it cannot do harm with, and never a key or a body.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        kind: str = "upstream_error",
        fields: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.kind = kind
        self.fields: Fields = list(fields)

    @property
    def is_upstreams(self) -> bool:
        """Whether upstream or the way to it is at fault, and not the client."""
        return self.kind == "upstream_error"

    def body(self) -> bytes:
        """The JSON body of the answer."""
        error = {"message": self.message, "type": self.kind, "param": None, "code": self.code}
        return orjson.dumps({"error": error})

    def messages(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The two ASGI messages that answer with this fault."""
        body = self.body()
        fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *self.fields]
        start = {"type": "http.response.start", "status": self.status, "headers": fields}
        return start, {"type": "http.response.body", "body": body}


class Row(NamedTuple):
    """What is said of one fault."""

    status: int
    message: str
    fields: tuple[tuple[bytes, bytes], ...] = ()
    kind: str = "upstream_error"


# OpenAI's SDKs obey this field. A retry is no second request, because upstream has seen nothing of the first.
NOTHING_SENT: Final = (b"x-should-retry", b"true")
LAST: Final = (b"connection", b"close")
CLIENT: Final = "invalid_request_error"


def id_fields(request_id: str) -> Fields:
    """The fields that name a request: our own, of every answer; and of a fault, the one that OpenAI's SDKs show."""
    value = request_id.encode()
    return [(b"x-unpinned-request-id", value), (b"x-request-id", value)]


HOP: Final[dict[str, Row]] = {
    "upstream_unreachable": Row(502, "No connection to upstream could be made; nothing was sent.", (NOTHING_SENT,)),
    "upstream_tls_failed": Row(502, "The TLS handshake with upstream failed; nothing was sent.", (NOTHING_SENT,)),
    "upstream_connect_timeout": Row(
        504, "No connection to upstream was made in time; nothing was sent.", (NOTHING_SENT,)
    ),
    "upstream_proxy_unreachable": Row(
        502, "No connection to the outbound proxy could be made; nothing was sent.", (NOTHING_SENT,)
    ),
    "upstream_proxy_tls_failed": Row(
        502, "The TLS handshake with the outbound proxy failed; nothing was sent.", (NOTHING_SENT,)
    ),
    "upstream_proxy_refused": Row(
        502, "The outbound proxy refused the connection to upstream; nothing was sent.", (NOTHING_SENT,)
    ),
    "upstream_proxy_invalid_answer": Row(
        502, "The outbound proxy closed the connection, or did not answer with HTTP; nothing was sent.", (NOTHING_SENT,)
    ),
    "upstream_proxy_timeout": Row(504, "The outbound proxy did not answer in time; nothing was sent.", (NOTHING_SENT,)),
    "upstream_pool_timeout": Row(
        503, "All connections to upstream are in use; nothing was sent.", (NOTHING_SENT, (b"retry-after", b"1"))
    ),
    "out_of_descriptors": Row(
        503,
        "As many connections are open as the limit of descriptors (ulimit -n) allows; nothing was sent.",
        (NOTHING_SENT, (b"retry-after", b"1")),
        "server_error",
    ),
    "out_of_memory": Row(
        503,
        "The requests in progress hold as many bytes as UNPINNED_MAX_MEMORY allows; nothing was sent.",
        (NOTHING_SENT, (b"retry-after", b"1")),
        "server_error",
    ),
    "too_busy": Row(
        503,
        "Too many large requests of this caller are waiting to be read; nothing was sent.",
        (NOTHING_SENT, (b"retry-after", b"1")),
        "server_error",
    ),
    "upstream_disconnected": Row(502, "Upstream closed the connection before it answered."),
    "upstream_invalid_answer": Row(502, "Upstream's answer is not valid HTTP."),
    "upstream_first_byte_timeout": Row(504, "Timed out waiting for upstream's response."),
    "upstream_upload_timeout": Row(504, "Timed out sending the request's body upstream."),
    "upstream_cut": Row(502, "Upstream closed the connection within its response."),
    "upstream_idle_timeout": Row(504, "Timed out reading upstream's response."),
    "client_upload_timeout": Row(408, "Timed out receiving the request's body.", (LAST,), CLIENT),
    "client_upload_too_slow": Row(
        408, "The request's body arrives with less than 500 bytes a second.", (LAST,), CLIENT
    ),
    "incomplete_body": Row(
        400, "The request's body is missing or incomplete; was it sent with an Upgrade field?", (LAST,), CLIENT
    ),
    "invalid_path": Row(400, "The path must not have '..' segments.", (), CLIENT),
    "invalid_fields": Row(400, "The request's header fields cannot be forwarded.", (), CLIENT),
    "loop_detected": Row(
        508, "This request has passed here before: upstream leads back to this proxy (see its Via field).", (), CLIENT
    ),
    "websocket_unsupported": Row(
        426,
        "WebSockets are not supported here; use HTTP.",
        # RFC 9110, 15.5.22: "The server MUST send an Upgrade header field in a 426 response".
        ((b"upgrade", b"HTTP/1.1"), (b"connection", b"upgrade, close")),
        CLIENT,
    ),
}


def hop_fault(code: str, detail: str = "") -> Fault:
    """The fault of the hop called `code`; `detail` follows its message, and is neither a client's word nor a secret."""
    row = HOP[code]
    message = f"{row.message.removesuffix('.')} ({detail})." if detail else row.message
    return Fault(row.status, code, message, kind=row.kind, fields=row.fields)
