"""Header fields as raw byte pairs: which of them travel on, and what one field says.

Pure, and the same functions for both directions. Names are lower case, as ASGI demands. A list of pairs never becomes a
dict: order and repetition are content (two Set-Cookie fields stay two).
"""

from collections.abc import Iterable

from proxy.http.metadata import Metadata

Fields = list[tuple[bytes, bytes]]

# RFC 9110, 7.6.1: "intermediaries SHOULD remove or replace fields that are known to require removal before forwarding".
HOP_BY_HOP = frozenset({
    b"connection",
    b"http2-settings",  # RFC 7540, 3.2.1: belongs to an h2c upgrade, which is never accepted
    b"keep-alive",
    b"proxy-authenticate",  # RFC 9110, 11.7: between a client and the next proxy
    b"proxy-authentication-info",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"trailer",  # trailers are not relayed, so none are announced
    b"transfer-encoding",
    b"upgrade",
})  # fmt: skip

# RFC 9110, 7.6.1: "A sender MUST NOT send a connection option corresponding to a field that is intended for all
# recipients of the content." A client that lists one of these would have it, and what it guards, removed on the way.
END_TO_END = frozenset({
    b"accept",
    b"accept-encoding",
    b"api-key",
    b"authorization",
    b"cache-control",
    b"content-encoding",
    b"content-length",
    b"content-type",
    b"cookie",
    b"date",
    b"expect",
    b"forwarded",
    b"host",
    b"idempotency-key",
    b"location",
    b"openai-beta",
    b"openai-organization",
    b"openai-project",
    b"retry-after",
    b"sec-websocket-accept",
    b"sec-websocket-extensions",
    b"sec-websocket-key",
    b"sec-websocket-protocol",
    b"sec-websocket-version",
    b"set-cookie",
    b"user-agent",
    b"via",
    b"www-authenticate",
    b"x-api-key",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-real-ip",
    b"x-request-id",
    b"x-should-retry",
})  # fmt: skip

_OWN = b"x-unpinned-"

# A client's fields as they go upstream: its Host is upstream's, and a chunked body has no length (RFC 9112, 6.1).
_OF_A_REQUEST = HOP_BY_HOP | {b"host"}
_OF_A_PLAIN_WEBSOCKET = _OF_A_REQUEST | {b"sec-websocket-extensions"}
_OF_A_CHUNKED_REQUEST = _OF_A_REQUEST | {b"content-length"}


def values(fields: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """The value of each field called `name`, in order."""
    return [value for key, value in fields if key == name]


def value(fields: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value of the first field called `name`."""
    for key, content in fields:
        if key == name:
            return content
    return None


def end_to_end(fields: Fields, metadata: Metadata, own: frozenset[bytes] = HOP_BY_HOP) -> Fields:
    """The fields that travel on: all but `own`, those of this connection, and those that Connection names."""
    named = frozenset(metadata.options) - END_TO_END
    gone = own if named <= own else own | named
    return [field for field in fields if field[0] not in gone]


def request_fields(fields: Fields, metadata: Metadata, authority: bytes, size: int | None) -> Fields:
    """A client's fields as they go upstream: end to end, with that hop's Host and framing and nothing else added.

    `size` is the body's, None where it still comes; it counts only where the client's own connection needs no framing.
    """
    chunked = metadata.is_chunked or (size is None and not metadata.announces_length)
    own = _OF_A_CHUNKED_REQUEST if chunked else _OF_A_REQUEST
    sent = [(b"host", authority), *end_to_end(fields, metadata, own)]
    if chunked:
        sent.append((b"transfer-encoding", b"chunked"))
    elif size and not metadata.announces_length:
        sent.append((b"content-length", b"%d" % size))
    return sent


def upgrade_request_fields(
    fields: Fields, metadata: Metadata, authority: bytes, protocol: bytes, *, extensions: bool
) -> Fields:
    """The fields of a request that asks for `protocol` as they go upstream, without WebSocket `extensions` or with."""
    own = _OF_A_REQUEST if extensions else _OF_A_PLAIN_WEBSOCKET
    sent = end_to_end(fields, metadata, own)
    return [(b"host", authority), *sent, (b"connection", b"Upgrade"), (b"upgrade", protocol)]


def switching_fields(fields: Fields, metadata: Metadata, protocol: bytes) -> Fields:
    """The fields of upstream's 101 as the client gets them; a 101 has no body, whatever it says (RFC 9110, 8.6)."""
    relayed = [field for field in _relayed(fields, metadata) if field[0] != b"content-length"]
    return [(b"connection", b"Upgrade"), (b"upgrade", protocol), *relayed]


def response_fields(status: int, fields: Fields, metadata: Metadata) -> Fields:
    """Upstream's fields as the client gets them: end to end, and event streams not held back by a proxy before us."""
    relayed = _relayed(fields, metadata)
    if metadata.is_event_stream and value(relayed, b"x-accel-buffering") is None:
        relayed.append((b"x-accel-buffering", b"no"))
    if status == 426:  # RFC 9110, 15.5.22: it says which protocols would do
        relayed += [(b"connection", b"upgrade"), *(field for field in fields if field[0] == b"upgrade")]
    if status in (204, 304):
        # RFC 9110, 8.6: a 304 may say how long the 200 would have been; uvicorn would wait for a body of that length.
        return [(name, content) for name, content in relayed if name != b"content-length"]
    return relayed


def _relayed(fields: Fields, metadata: Metadata) -> Fields:
    """Upstream's end-to-end fields but ours: those of another Unpinned would be taken for what this one says."""
    return [field for field in end_to_end(fields, metadata) if not field[0].startswith(_OWN)]


def without_own(fields: Iterable[tuple[bytes, bytes]]) -> Fields:
    """The fields, names in any case, without those in which an Unpinned reports."""
    return [field for field in fields if not field[0].lower().startswith(_OWN)]
