"""The synchronous transport. Its calls never return to an event loop, but block; so they stop waiting for no answer.

An answer that is held is the client's as soon as something of it arrives too late. What has not arrived can be waited
for only as long as the client's own timeout lasts.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from proxy.drivers.loop import finished
from proxy.drivers.work import Result
from proxy.transports.call import Call
from proxy.transports.families import Family, fields_of
from proxy.transports.interface import Late
from proxy.transports.portable import Portable

if TYPE_CHECKING:
    Transport: Any  # httpx's BaseTransport and httpx2's: a client of either takes it
else:
    Transport = object

_WRONG: Final = "PortableTransport is for synchronous clients; an asynchronous one takes AsyncPortableTransport."


class Body:
    """The body of an answer of which some was read."""

    base: ClassVar = "SyncByteStream"

    def __init__(self, pieces: Sequence[bytes], rest: Iterable[bytes], close: Callable[[], None], heard: Any) -> None:
        self._body = chain(pieces, rest)
        self._heard: Callable[[bytes], None] | None = heard
        self.close = close

    def __iter__(self) -> Iterator[bytes]:
        return self._body if self._heard is None else self._telling(self._heard)

    def _telling(self, heard: Callable[[bytes], None]) -> Iterator[bytes]:
        for piece in self._body:
            heard(piece)
            yield piece


class BlockingAnswer:
    """An answer of a synchronous transport, as far as it was read."""

    def __init__(self, response: Any) -> None:
        self.response = response
        self.fields = fields_of(response)
        self._stream = response.stream
        self._rest: Iterator[bytes] | None = None
        self._is_closed = False

    async def next(self, until: float) -> bytes | None:
        """Block until there is a piece."""
        if time.monotonic() > until:
            raise Late
        if self._rest is None:
            self._rest = iter(self._stream)
        try:
            return next(self._rest, None)
        except Exception as error:
            self._rest = _raising(error)
            raise

    async def close(self) -> None:
        """Give the connection back, or cut it."""
        self._close()

    def _close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._stream.close()

    def put(
        self,
        family: Family,
        pieces: Sequence[bytes],
        heard: Callable[[bytes], None] | None,
        hearing: object = None,  # noqa: ARG002 -- there is no store
    ) -> None:
        """Put `pieces` in front of what was not read."""
        rest = self._stream if self._rest is None else self._rest
        self.response.stream = family.stream(Body)(pieces, rest, self._close, heard)


def _raising(error: Exception) -> Iterator[bytes]:
    yield from ()
    raise error


class _Blocking:
    """Everything is done here and now."""

    async def send(self, sender: Any, request: Any) -> BlockingAnswer:
        return BlockingAnswer(sender.handle_request(request))

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 -- it runs on no event loop

    async def run(self, caller: str, work: Callable[..., Result], *arguments: Any) -> Result:  # noqa: ARG002 -- one caller
        return work(*arguments)


_BLOCKING: Final = _Blocking()


class PortableTransport(Portable, Transport):  # type: ignore[misc]  # of either package
    """A transport for synchronous clients of httpx and httpx2 that makes requests portable, and recovers refused ones.

    ```python
    from openai import DefaultHttpxClient, OpenAI
    from unpinned import PortableTransport

    client = OpenAI(http_client=DefaultHttpxClient(transport=PortableTransport()))
    ```

    It may serve several clients and threads, and goes on after a fork. A client that is closed closes it: a request
    that comes later, of another client, opens new connections.
    """

    _method = "handle_request"
    _kind = "HTTPTransport"

    def handle_request(self, request: Any) -> Any:
        """The answer to a request, with the report's fields. Raises what the transport within raises."""
        way = self.way(request)
        if way.route == "other":
            return way.sender.handle_request(request)
        return finished(Call(self, _BLOCKING, request, way).answer())

    def close(self) -> None:
        """Close the transport within."""
        for sender in self._senders.drop():
            sender.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    # What an asynchronous client would call.

    async def handle_async_request(self, _request: Any) -> Any:
        """Raise RuntimeError: this is a transport of the other kind."""
        raise RuntimeError(_WRONG)

    async def __aenter__(self) -> Self:
        raise RuntimeError(_WRONG)

    async def aclose(self) -> None:
        """Close the transport within."""
        self.close()
