"""Header fields as raw byte pairs: which of them travel on, how a message is framed, what one field says.

Pure, and the same functions for both directions. Names are lower case, as ASGI demands. A list of pairs never becomes a
dict: order and repetition are content (two Set-Cookie fields stay two).
"""

import re
from collections.abc import Iterable

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

_OF_THE_HOP = HOP_BY_HOP | {b"content-encoding", b"content-length", b"expect", b"via"}
# A client's fields as they go upstream: its Host is upstream's, and a chunked body has no length (RFC 9112, 6.1).
_OF_A_REQUEST = HOP_BY_HOP | {b"host"}
_OF_A_PLAIN_WEBSOCKET = _OF_A_REQUEST | {b"sec-websocket-extensions"}
_OF_A_CHUNKED_REQUEST = _OF_A_REQUEST | {b"content-length"}

LONGEST_LENGTH = 19
"""Digits of a Content-Length: more than any body has, fewer than Python refuses to read (4,300)."""

CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def values(fields: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """The value of each field called `name`, in order."""
    return [value for key, value in fields if key == name]


def value(fields: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value of the first field called `name`."""
    for key, content in fields:
        if key == name:
            return content
    return None


def hop_fields(fields: Fields) -> Fields:
    """Those of `fields` that describe the hops, and how a body is framed and coded: few, for repeated lookups."""
    return [field for field in fields if field[0] in _OF_THE_HOP]


def tokens(fields: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """The members of the comma separated list that all fields called `name` make together, in lower case."""
    return [token.strip(b" \t").lower() for line in values(fields, name) for token in line.split(b",")]


def end_to_end(fields: Fields, own: frozenset[bytes] = HOP_BY_HOP) -> Fields:
    """The fields that travel on: all but `own`, those of this connection, and those that Connection names."""
    named = frozenset(tokens(fields, b"connection"))
    gone = own if named <= own else own | (named - END_TO_END)
    return [field for field in fields if field[0] not in gone]


def is_chunked(fields: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the message has a transfer coding, so that its length is not known beforehand."""
    return value(fields, b"transfer-encoding") is not None


def is_sound(fields: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a message can be relayed: one framing (RFC 9112, 6.3), no control character in values (RFC 9110, 5.5)."""
    fields = list(fields)
    ambiguous = is_chunked(fields) and value(fields, b"content-length") is not None
    return not ambiguous and not any(CONTROL.search(content) for _, content in fields)


def content_length(fields: Iterable[tuple[bytes, bytes]]) -> int | None:
    """The length that Content-Length announces, None where there is no such field or it is no number of 19 digits."""
    digits = (value(fields, b"content-length") or b"").strip(b" \t")
    return int(digits) if len(digits) <= LONGEST_LENGTH and digits.isdigit() else None


def is_body_lost(fields: Iterable[tuple[bytes, bytes]], size: int) -> bool:
    """Whether more of a body was announced than the `size` bytes that arrived as the whole of it.

    llhttp takes a request with an Upgrade for one without a body (Java's client offers h2c on a POST); what follows its
    head is lost, and half a request is worse than none.
    """
    fields = list(fields)
    announced = content_length(fields)
    if announced is not None:
        return announced > size
    return size == 0 and is_chunked(fields) and b"upgrade" in tokens(fields, b"connection")


def upgrades_to(fields: Iterable[tuple[bytes, bytes]], protocol: bytes) -> bool:
    """Whether the client asks to go on with `protocol` on this connection (RFC 9110, 7.8)."""
    fields = list(fields)
    return protocol in tokens(fields, b"upgrade") and b"upgrade" in tokens(fields, b"connection")


def request_fields(fields: Fields, authority: bytes, size: int | None) -> Fields:
    """A client's fields as they go upstream: end to end, with that hop's Host and framing and nothing else added.

    `size` is the body's, None where it still comes; it counts only where the client's own connection needs no framing.
    """
    of_the_hop = hop_fields(fields)
    announced = value(of_the_hop, b"content-length") is not None
    chunked = is_chunked(of_the_hop) or (size is None and not announced)
    sent = [(b"host", authority), *end_to_end(fields, _OF_A_CHUNKED_REQUEST if chunked else _OF_A_REQUEST)]
    if chunked:
        sent.append((b"transfer-encoding", b"chunked"))
    elif size and not announced:
        sent.append((b"content-length", b"%d" % size))
    return sent


def upgrade_request_fields(fields: Fields, authority: bytes, protocol: bytes, *, extensions: bool) -> Fields:
    """The fields of a request that asks for `protocol` as they go upstream, without WebSocket `extensions` or with."""
    own = _OF_A_REQUEST if extensions else _OF_A_PLAIN_WEBSOCKET
    return [(b"host", authority), *end_to_end(fields, own), (b"connection", b"Upgrade"), (b"upgrade", protocol)]


def switching_fields(fields: Fields, protocol: bytes) -> Fields:
    """The fields of upstream's 101 as the client gets them; a 101 has no body, whatever it says (RFC 9110, 8.6)."""
    relayed = [field for field in end_to_end(fields) if not field[0].startswith(_OWN) and field[0] != b"content-length"]
    return [(b"connection", b"Upgrade"), (b"upgrade", protocol), *relayed]


def response_fields(status: int, fields: Fields) -> Fields:
    """Upstream's fields as the client gets them: end to end, and event streams not held back by a proxy before us."""
    # Fields of our own that upstream sends, another Unpinned perhaps, would be taken for what this one says.
    relayed = [field for field in end_to_end(fields) if not field[0].startswith(_OWN)]
    if is_event_stream(relayed) and value(relayed, b"x-accel-buffering") is None:
        relayed.append((b"x-accel-buffering", b"no"))
    if status == 426:  # RFC 9110, 15.5.22: it says which protocols would do
        relayed += [(b"connection", b"upgrade"), *(field for field in fields if field[0] == b"upgrade")]
    if status in (204, 304):
        # RFC 9110, 8.6: a 304 may say how long the 200 would have been; uvicorn would wait for a body of that length.
        return [(name, content) for name, content in relayed if name != b"content-length"]
    return relayed


def without_own(fields: Iterable[tuple[bytes, bytes]]) -> Fields:
    """The fields, names in any case, without those in which an Unpinned reports."""
    return [field for field in fields if not field[0].lower().startswith(_OWN)]


def is_json(fields: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the message is JSON."""
    return _media_type(fields) == b"application/json"


def is_event_stream(fields: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the message is a stream of server-sent events."""
    return _media_type(fields) == b"text/event-stream"


def _media_type(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    return (value(fields, b"content-type") or b"").partition(b";")[0].strip().lower()
