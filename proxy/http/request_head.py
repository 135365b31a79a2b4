"""Whether the head of a request says the same to every server that reads it; one that does not is refused.

Pure. What a parser may let pass and another read otherwise is where a second request hides in the first
(RFC 9112, 11.2), so that nothing ambiguous is mended and sent on.
"""

import re
from collections.abc import Iterable
from typing import Final

from proxy.http.faults import Fault
from proxy.http.headers import Fields, values
from proxy.http.metadata import CHUNKED, LONGEST_LENGTH, Metadata

MOST: Final = 65_536
"""Bytes of a head: request line, names and values."""

_KIND: Final = "invalid_request_error"
# RFC 9110, 9.3.6 and 9.3.8: the one asks for a tunnel, the other for the request's own fields, keys and all.
_METHODS: Final = frozenset({b"CONNECT", b"TRACE"})
# RFC 9112, 3.2: origin-form or absolute-form, of which only the path counts here; neither has a fragment.
_TARGET: Final = re.compile(rb"/[^#]*|https?://[^/?#]+/[^#]*", re.IGNORECASE)
# RFC 9110, 7.2: uri-host [ ":" port ], or nothing where the target has no authority.
_HOST: Final = re.compile(rb"[\w.~!$&'()*+,;=%-]*(?::[0-9]*)?|\[[0-9A-Fa-f:.]+\](?::[0-9]*)?", re.ASCII)


def fault_in(method: bytes, target: bytes, version: str, fields: Fields, metadata: Metadata) -> Fault | None:
    """Why a request with this head (names in lower case) is refused; None where it is not."""
    hosts = values(fields, b"host")
    reason = _in_line(method, target, version) or _in_host(version, hosts) or _in_framing(version, metadata)
    return Fault(400, "invalid_request", reason, kind=_KIND) if reason else None


def too_large() -> Fault:
    """A head that is larger than it may be."""
    return Fault(431, "head_too_large", f"The request's head is larger than {MOST} bytes.", kind=_KIND)


def size(target: bytes, fields: Iterable[tuple[bytes, bytes]]) -> int:
    """Bytes of a head, with each field's colon, space and line end."""
    return len(target) + sum(len(name) + len(value) + 4 for name, value in fields)


def _in_line(method: bytes, target: bytes, version: str) -> str:
    if version not in ("1.1", "1.0"):
        return "The request's version is neither HTTP/1.1 nor HTTP/1.0."
    if method in _METHODS:
        return "The request's method is not served here."
    if not _TARGET.fullmatch(target) and (method, target) != (b"OPTIONS", b"*"):
        return "The request's target must be a path, or an http or https URL with one, without a fragment."
    return ""


def _in_host(version: str, hosts: list[bytes]) -> str:
    """RFC 9112, 3.2: 400 for a request of HTTP/1.1 without a Host, and for any with several or with an invalid one."""
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        return "The request must have one Host field."
    if hosts and not _HOST.fullmatch(hosts[0].strip(b" \t")):
        return "The request's Host is not a host."
    return ""


def _in_framing(version: str, metadata: Metadata) -> str:
    """RFC 9112, 6.1: what cannot be undone is not guessed at, and HTTP/1.0 knows no transfer coding."""
    if metadata.announces_length and metadata.length is None:
        return f"The request's Content-Length is no number of up to {LONGEST_LENGTH} digits."
    if metadata.is_chunked and (metadata.transfer_codings != CHUNKED or version == "1.0"):
        return "The request's Transfer-Encoding must be chunked and nothing else, in HTTP/1.1."
    return ""
