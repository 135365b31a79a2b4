"""Whether a request is a WebSocket handshake as RFC 6455, 4.2.1 describes it; one that is not is never forwarded.

Pure. What one server takes for a handshake and another for a request with a body is where a second request hides, so
that nothing ambiguous is mended and sent on. The rest of a handshake is between the client and upstream.
"""

from collections.abc import Iterable
from typing import Final

from proxy.http import headers
from proxy.http.faults import CLIENT, LAST, Fault
from proxy.http.metadata import Metadata

_KEY_SIZE: Final = 24  # RFC 6455, 4.2.1: "a base64-encoded value that, when decoded, is 16 bytes in length"
_VERSION: Final = b"13"
_JUDGED: Final = frozenset({
    b"content-length", b"sec-websocket-key", b"sec-websocket-version", b"transfer-encoding",
})  # fmt: skip
_ANOTHER_VERSION: Final = (
    (b"sec-websocket-version", _VERSION),  # RFC 6455, 4.4
    (b"upgrade", b"websocket"),  # RFC 9110, 15.5.22: "MUST send an Upgrade header field in a 426 response"
    (b"connection", b"upgrade, close"),
)


def fault_in(http_version: str, fields: Iterable[tuple[bytes, bytes]]) -> Fault | None:
    """Why a handshake with these fields (names in lower case) is refused; None where it is not."""
    judged = [field for field in fields if field[0] in _JUDGED]
    versions = _values(judged, b"sec-websocket-version")
    reason = _in_message(http_version, judged) or _in_key(judged) or _in_versions(versions)
    if reason:
        return Fault(400, "invalid_handshake", reason, kind=CLIENT, fields=(LAST,))
    if versions != [_VERSION]:
        message = "The WebSocket protocol is spoken in version 13 here."
        return Fault(426, "websocket_version", message, kind=CLIENT, fields=_ANOTHER_VERSION)
    return None


def _values(fields: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value.strip(b" \t") for value in headers.values(fields, name)]


def _in_message(http_version: str, judged: headers.Fields) -> str:
    if http_version != "1.1":
        return "A WebSocket handshake needs HTTP/1.1."
    metadata = Metadata(judged)
    if metadata.is_chunked or metadata.length or len(_values(judged, b"content-length")) > 1:
        return "A WebSocket handshake has no body."
    return ""


def _in_key(judged: headers.Fields) -> str:
    """RFC 6455, 11.3.1: the field "MUST NOT appear more than once in an HTTP request"."""
    keys = _values(judged, b"sec-websocket-key")
    if len(keys) != 1 or len(keys[0]) != _KEY_SIZE:
        return "A WebSocket handshake has one Sec-WebSocket-Key of 24 characters."
    return ""


def _in_versions(versions: list[bytes]) -> str:
    """RFC 6455, 11.3.5: the field "MUST NOT appear more than once in an HTTP request"."""
    return "A WebSocket handshake has one Sec-WebSocket-Version." if len(versions) > 1 else ""
