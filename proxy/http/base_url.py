"""Where upstream is, and the outbound proxy on the way: a base URL, and the request targets below it.

Pure. Origin and Host are those of the settings alone, not those of a client's request line and Host.
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
VERSION = b"/v1"  # what clients of OpenAI's API have in front of every path, as a rule

UNIX = re.compile(r"http://unix:(?P<socket>/[^:?#]+):?(?P<path>[^?#]*)")


class BaseUrl(NamedTuple):
    """An upstream: its origin and the path under which its API lies (no slash at its end, b"" for none).

    `socket` is the path of a Unix socket where upstream listens on one.
    """

    scheme: str
    host: str
    port: int
    path: bytes
    socket: str = ""

    @property
    def authority(self) -> bytes:
        """What the Host field says: the host, and the port where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{host}{port}".encode("ascii")

    def target(self, raw_path: bytes, query: bytes) -> bytes:
        """The request target for a client's path and query; the bytes below the base path stay as they are."""
        path = raw_path if not self.path or raw_path == b"*" else self.path + below_version(raw_path)
        return path + b"?" + query if query else path


@dataclass(frozen=True, slots=True)
class OutboundProxy:
    """A proxy through which upstream is reached; `credentials` are the value of Proxy-Authorization, b"" for none."""

    scheme: str
    host: str
    port: int
    credentials: bytes = field(default=b"", repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def base_url(url: str) -> BaseUrl:
    """The upstream that `url` names, also as `http://unix:/path/of.sock:/v1`; raises ValueError with a sentence."""
    if local := UNIX.fullmatch(url):
        return BaseUrl("http", "localhost", 80, local["path"].rstrip("/").encode("ascii"), local["socket"])
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ValueError("must be an http:// or https:// URL with a host")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError("must have neither a query nor a fragment nor credentials")
    host = parts.hostname.encode("idna").decode("ascii")  # also where it is ASCII: a bad label cannot be resolved
    path = parts.path.rstrip("/").encode("ascii")
    return BaseUrl(parts.scheme, host, parts.port or DEFAULT_PORTS[parts.scheme], path)


def below_version(raw_path: bytes) -> bytes:
    """A client's path without the /v1 that its own base URL may end in."""
    if raw_path == VERSION or raw_path.startswith(VERSION + b"/"):
        return raw_path[len(VERSION) :]
    return raw_path


SEPARATOR = re.compile(rb"/|\\|%2f|%5c", re.IGNORECASE)
DOT = re.compile(rb"%2e", re.IGNORECASE)
PERCENT = re.compile(rb"%25", re.IGNORECASE)
# What some servers cut off a segment before they read it: path parameters (RFC 3986, 3.3), a NUL.
CUT_OFF = re.compile(rb"(?:;|%3b|%00|\x00).*", re.IGNORECASE | re.DOTALL)


def climbs(raw_path: bytes) -> bool:
    """Whether a path has a `..` segment with which a server may leave the base path.

    Plain or encoded, encoded twice for servers that decode twice, and with path parameters behind it, as in `..;x`.
    """
    if b"%" not in raw_path and b".." not in raw_path:
        return False  # as most paths: nothing to decode, and no such segment
    decoded = raw_path
    while (once := PERCENT.sub(b"%", decoded)) != decoded:
        decoded = once
    segments = SEPARATOR.split(DOT.sub(b".", decoded))
    return any(CUT_OFF.sub(b"", segment) == b".." for segment in segments)
