"""The asynchronous transport: on asyncio, and on whatever else anyio runs on.

A piece of an answer that is held is awaited in a task of its own, because to cancel the wait would cut the answer: when
the time is over the client goes on with that task's result. Other event loops have no such tasks; there, as in a
synchronous client, an answer is the client's as soon as something of it arrives too late.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import anyio
import anyio.to_thread

from proxy.drivers.work import Result
from proxy.transports.call import Call
from proxy.transports.families import Family, fields_of
from proxy.transports.interface import Late
from proxy.transports.portable import Portable

if TYPE_CHECKING:
    from proxy.drivers.hearing import Hearing
    from proxy.store.interface import Store
    from proxy.transports.stored import Stores

    Transport: Any  # httpx's AsyncBaseTransport and httpx2's: a client of either takes it
else:
    Transport = object

_WRONG: Final = "AsyncPortableTransport is for asynchronous clients; a synchronous one takes PortableTransport."


class AsyncBody:
    """The body of an answer of which some was read."""

    base: ClassVar = "AsyncByteStream"

    def __init__(self, answer: "WaitingAnswer", pieces: Sequence[bytes], heard: Any, hearing: Any) -> None:
        self._answer = answer
        self._pieces = pieces
        self._heard: Callable[[bytes], None] | None = heard
        self._hearing: Hearing | None = hearing

    async def __aiter__(self) -> AsyncIterator[bytes]:
        listens = self._heard is not None or self._hearing is not None
        for piece in self._pieces:
            if listens:
                await self._hear(piece)
            yield piece
        async with aclosing(self._answer.rest()) as rest:
            async for piece in rest:
                if listens:
                    await self._hear(piece)
                yield piece
        if self._hearing is not None:
            await self._hearing.hear(b"", last=True)

    async def _hear(self, piece: bytes) -> None:
        """Read a piece before the client has it: with the last event it may go on, and ask for nothing more."""
        if self._heard is not None:
            self._heard(piece)
        if self._hearing is not None and self._hearing.concerns(piece):
            await self._hearing.hear(piece)

    async def aclose(self) -> None:
        """Close the answer within."""
        await self._answer.close()


class WaitingAnswer:
    """An answer of an asynchronous transport, as far as it was read."""

    def __init__(self, response: Any) -> None:
        self.response = response
        self.fields = fields_of(response)
        self._stream = response.stream
        self._pieces: AsyncIterator[bytes] | None = None
        self._pending: asyncio.Task[bytes | None] | None = None
        self._failure: Exception | None = None
        self._is_closed = False

    async def next(self, until: float) -> bytes | None:
        """Wait until there is a piece."""
        if not _is_on_asyncio():
            if time.monotonic() > until:
                raise Late
            return await self._read()
        if self._pending is None:
            self._pending = asyncio.create_task(self._read())
        await asyncio.wait((self._pending,), timeout=max(0.0, until - time.monotonic()))
        if not self._pending.done():
            raise Late
        pending, self._pending = self._pending, None
        return pending.result()

    async def _read(self) -> bytes | None:
        if self._pieces is None:
            self._pieces = aiter(self._stream)
        try:
            return await anext(self._pieces, None)
        except Exception as error:
            self._failure = error
            raise

    async def rest(self) -> AsyncGenerator[bytes, None]:
        """What was not read."""
        if self._failure is not None:
            raise self._failure
        if self._pending is not None:
            piece = await self._pending
            self._pending = None
            if piece is None:
                return
            yield piece
        self._pieces = self._pieces or aiter(self._stream)
        async for piece in self._pieces:
            yield piece

    async def close(self) -> None:
        """Give the connection back, or cut it, once; also where the task is cancelled."""
        if self._is_closed:
            return
        self._is_closed = True
        with anyio.CancelScope(shield=True):
            try:
                await self._stop_reading()
            finally:
                await self._stream.aclose()

    async def _stop_reading(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.cancel()
            await asyncio.wait((pending,))
            if not pending.cancelled():
                pending.exception()  # nobody else asks for it
        if isinstance(self._pieces, AsyncGenerator):
            await self._pieces.aclose()

    def put(
        self,
        family: Family,
        pieces: Sequence[bytes],
        heard: Callable[[bytes], None] | None,
        hearing: "Hearing | None" = None,
    ) -> None:
        """Put `pieces` in front of what was not read."""
        self.response.stream = family.stream(AsyncBody)(self, pieces, heard, hearing)


def _is_on_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _Waiting:
    """The event loop goes on meanwhile; work that may hold it is done in one of its threads."""

    async def send(self, sender: Any, request: Any) -> WaitingAnswer:
        return WaitingAnswer(await sender.handle_async_request(request))

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    async def run(self, caller: str, work: Callable[..., Result], *arguments: Any) -> Result:  # noqa: ARG002 -- one caller
        return await anyio.to_thread.run_sync(work, *arguments)


_WAITING: Final = _Waiting()


class AsyncPortableTransport(Portable, Transport):  # type: ignore[misc]  # of either package
    """A transport for asynchronous clients of httpx and httpx2, as `PortableTransport` is for synchronous ones.

    ```python
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient
    from unpinned import AsyncPortableTransport

    client = AsyncOpenAI(http_client=DefaultAsyncHttpxClient(transport=AsyncPortableTransport()))
    ```
    """

    _method = "handle_async_request"
    _kind = "AsyncHTTPTransport"

    def _stores(self, store: "str | Store", scope: str | None) -> "Stores":
        from proxy.transports.stored import Stores  # noqa: PLC0415 -- only where there is a store

        return Stores(store, scope, self, _WAITING)

    async def handle_async_request(self, request: Any) -> Any:
        """The answer to a request, with the report's fields. Raises what the transport within raises."""
        way = self.way(request)
        if way.route == "other":
            return await self._passed(request, way.sender)
        return await Call(self, _WAITING, request, way).answer()

    async def _passed(self, request: Any, sender: Any) -> Any:
        """The answer to a request of another route: a response that is deleted is forgotten by the store as well."""
        response = await sender.handle_async_request(request)
        if self.stores is not None and request.method == "DELETE":
            self.stores.forget(fields_of(request), request.url.raw_path.partition(b"?")[0], response.status_code)
        return response

    async def aclose(self) -> None:
        """Close the transport within, and write to the store what is left."""
        if self.stores is not None:
            await self.stores.close()
        for sender in self._senders.drop():
            await sender.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *reason: object) -> None:
        await self.aclose()

    # What a synchronous client would call.

    def handle_request(self, _request: Any) -> Any:
        """Raise RuntimeError: this is a transport of the other kind."""
        raise RuntimeError(_WRONG)

    def __enter__(self) -> Self:
        raise RuntimeError(_WRONG)

    def close(self) -> None:
        """Nothing: a synchronous client has opened nothing here."""
