"""What the header fields of one message say of the message itself: its framing, codings, media type, and what it asks.

Pure. The fields of a message are read once, in one pass, and what was read is handed on: no other module has a rule
for one of the fields in `_READERS`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

LONGEST_LENGTH: Final = 19
"""Digits of a Content-Length: more than any body has, fewer than Python refuses to read (4,300)."""
CHUNKED: Final = [b"chunked"]
"""The transfer codings that can be undone."""


class Metadata:
    """What the fields of one message say; it does not change. Of a field that must occur once, the first counts."""

    announces_length = False
    length: int | None = None
    """What Content-Length announces; None where there is no such field, or it is no number of 19 digits."""
    is_chunked = False
    """There is a transfer coding, so that the body's length is not known beforehand."""
    transfer_codings: Sequence[bytes] = ()
    codings: Sequence[bytes] = ()
    media_type = b""
    """Without its parameters, in lower case."""
    expects = False
    """The client waits for an invitation before it sends its body (RFC 9110, 10.1.1)."""
    options: Sequence[bytes] = ()
    """The members of Connection, as those of the next two in lower case."""
    protocols: Sequence[bytes] = ()
    """The members of Upgrade."""
    via: Sequence[bytes] = ()
    """The members of Via."""

    def __init__(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        for name, value in fields:
            if name in _READERS:
                _READERS[name](self, value)

    @property
    def coding(self) -> str:
        """The content coding, `""` for none; more than one give a name that no decoder has."""
        coding = b",".join(self.codings).decode("latin-1") if self.codings else ""
        return "" if coding == "identity" else coding

    @property
    def is_event_stream(self) -> bool:
        """Whether the message is a stream of server-sent events."""
        return self.media_type == b"text/event-stream"

    @property
    def is_json(self) -> bool:
        """Whether the message is JSON."""
        return self.media_type == b"application/json"

    def is_body_lost(self, size: int) -> bool:
        """Whether more of a body was announced than the `size` bytes that arrived as the whole of it.

        llhttp takes a request with an Upgrade for one without a body (Java's client offers h2c on a POST); what follows
        its head is lost, and half a request is worse than none.
        """
        if self.length is not None:
            return self.length > size
        return size == 0 and self.is_chunked and b"upgrade" in self.options

    def upgrades_to(self, protocol: bytes) -> bool:
        """Whether the client asks to go on with `protocol` on this connection (RFC 9110, 7.8)."""
        return protocol in self.protocols and b"upgrade" in self.options


def _read_length(metadata: Metadata, value: bytes) -> None:
    if not metadata.announces_length:
        metadata.announces_length = True
        digits = value.strip(b" \t")
        if len(digits) <= LONGEST_LENGTH and digits.isdigit():
            metadata.length = int(digits)


def _read_transfer_coding(metadata: Metadata, value: bytes) -> None:
    metadata.is_chunked = True
    metadata.transfer_codings = _longer(metadata.transfer_codings, [value.strip(b" \t").lower()])


def _read_coding(metadata: Metadata, value: bytes) -> None:
    metadata.codings = _longer(metadata.codings, [value.strip().lower()])


def _read_media_type(metadata: Metadata, value: bytes) -> None:
    if not metadata.media_type:
        metadata.media_type = value if value in _USUAL else value.partition(b";")[0].strip().lower()


def _read_expectation(metadata: Metadata, _: bytes) -> None:
    metadata.expects = True


def _read_options(metadata: Metadata, value: bytes) -> None:
    metadata.options = _longer(metadata.options, _members(value))


def _read_protocols(metadata: Metadata, value: bytes) -> None:
    metadata.protocols = _longer(metadata.protocols, _members(value))


def _read_via(metadata: Metadata, value: bytes) -> None:
    metadata.via = _longer(metadata.via, _members(value))


def _members(value: bytes) -> list[bytes]:
    """The members of a comma separated list (RFC 9110, 5.6.1), in lower case."""
    return [member.strip(b" \t") for member in value.lower().split(b",")]


def _longer(members: Sequence[bytes], more: list[bytes]) -> list[bytes]:
    """`more`, or a list that it makes longer in its place: a head may have thousands of one field."""
    if not isinstance(members, list):
        return more
    members += more
    return members


_USUAL: Final = frozenset({b"application/json", b"text/event-stream"})
_NAMES: Final[dict[bytes, Callable[[Metadata, bytes], None]]] = {
    b"connection": _read_options,
    b"content-encoding": _read_coding,
    b"content-length": _read_length,
    b"content-type": _read_media_type,
    b"expect": _read_expectation,
    b"transfer-encoding": _read_transfer_coding,
    b"upgrade": _read_protocols,
    b"via": _read_via,
}
# ASGI demands names in lower case; not every app that answers for upstream writes them so.
_READERS: Final = _NAMES | {name.title(): read for name, read in _NAMES.items()}
