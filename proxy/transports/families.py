"""httpx and httpx2: one interface, two packages. A `Family` is the package that a request is of.

Neither is imported here: a request has met its package already.
"""

import sys
from functools import cache
from typing import Any, ClassVar, Final, Protocol

from proxy.http.headers import Fields

PACKAGES: Final = ("httpx2", "httpx")


class Stream(Protocol):
    """A class of bodies of answers; `base` is the name of what clients know it by."""

    base: ClassVar[str]


class Family:
    """One of the two packages; `package` is the module."""

    def __init__(self, package: Any) -> None:
        self.package = package
        self.name: str = package.__name__
        self._streams: dict[type[Stream], type] = {}

    def stream(self, kind: type[Stream]) -> Any:
        """`kind` as one that clients of this package take."""
        if kind not in self._streams:
            self._streams[kind] = type(kind.__name__, (kind, getattr(self.package, kind.base)), {})
        return self._streams[kind]

    def response(self, status: int, fields: Fields, body: bytes) -> Any:
        """An answer that no transport gave."""
        return self.package.Response(status, headers=fields, stream=self.package.ByteStream(body))

    def attempt(self, request: Any, fields: Fields, body: bytes) -> Any:
        """A copy of `request` with other fields and another body."""
        stream = self.package.ByteStream(body)
        url, extensions = request.url, request.extensions
        return self.package.Request(request.method, url, headers=fields, stream=stream, extensions=extensions)

    def body(self, request: Any) -> bytes | None:
        """The body of a request; None where it is not in memory."""
        if not isinstance(request.stream, self.package.ByteStream):
            return None
        body: bytes = request.read()  # a request that follows a redirect has not been read
        return body


def fields_of(message: Any) -> Fields:
    """The header fields of a request or a response, with names in lower case."""
    return [(name.lower(), value) for name, value in message.headers.raw]


def family_of(one: object) -> Family | None:
    """The package that an object's class is of, or inherits from; None where it is neither."""
    kind = type(one)
    if kind not in _KNOWN:
        names = [each.__module__.partition(".")[0] for each in kind.__mro__]
        _KNOWN[kind] = next((_family(name) for name in names if name in PACKAGES), None)
    return _KNOWN[kind]


_KNOWN: Final[dict[type, Family | None]] = {}


@cache
def _family(name: str) -> Family:
    return Family(sys.modules[name])
