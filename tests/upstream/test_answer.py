"""A chunk of an answer is written where it arrives, or by the relaying task where the client is slow."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from proxy.upstream.answer import IncomingAnswer

Write = Callable[[bytes, bool], Awaitable[None]]


class _Source:
    """A connection that only records the calls it gets."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")

    def abandon(self) -> None:
        self.calls.append("abandon")


class _Relayed:
    """An answer that a task relays to `write`, once it waits for the first chunk."""

    def __init__(self, write: Write) -> None:
        self.source = _Source()
        self.answer = IncomingAnswer(self.source, asyncio.get_running_loop(), 8)
        self.task = asyncio.ensure_future(self.answer.relay(write))

    async def turn(self) -> None:
        """Run the task until it waits."""
        for _ in range(5):
            await asyncio.sleep(0)

    def arrive(self, chunk: bytes) -> None:
        """Let a chunk arrive."""
        self.answer.add(chunk)
        self.answer.wake()

    def end(self) -> None:
        """End the answer."""
        self.answer.end()
        self.answer.wake()


def _run(test: Callable[[], Awaitable[None]]) -> None:
    async def timed() -> None:
        async with asyncio.timeout(10):
            await test()

    asyncio.run(timed())


def test_a_chunk_is_written_where_it_arrives() -> None:
    """A client that reads fast has a chunk before its task runs again; the end is written by the task."""

    async def test() -> None:
        written: list[tuple[bytes, bool]] = []

        async def write(chunk: bytes, more: bool) -> None:
            written.append((chunk, more))

        relayed = _Relayed(write)
        await relayed.turn()
        relayed.arrive(b"one")
        relayed.arrive(b"two")
        assert written == [(b"one", True), (b"two", True)]
        relayed.answer.add(b"three")
        relayed.end()
        assert len(written) == 2
        await relayed.task
        assert written[2:] == [(b"three", False)]

    _run(test)


def test_the_task_waits_for_a_slow_client() -> None:
    """Where a write has to wait, the task waits and the source is paused; chunks that arrive meanwhile follow."""

    async def test() -> None:
        written: list[tuple[bytes, bool]] = []
        taken = asyncio.Event()

        async def write(chunk: bytes, more: bool) -> None:
            written.append((chunk, more))
            await taken.wait()

        relayed = _Relayed(write)
        await relayed.turn()
        relayed.arrive(b"one")
        await relayed.turn()
        assert relayed.source.calls == ["pause"]
        relayed.arrive(b"more than eight")
        await relayed.turn()
        assert written == [(b"one", True)]
        assert relayed.source.calls == ["pause"]
        taken.set()
        await relayed.turn()
        assert written == [(b"one", True), (b"more than eight", True)]
        assert relayed.source.calls == ["pause", "resume"]
        relayed.end()
        await relayed.task
        assert written[2:] == [(b"", False)]

    _run(test)


@pytest.mark.parametrize("is_there", [False, True])
def test_what_waits_for_a_slow_client_waits_in_one_place(is_there: bool) -> None:
    """A chunk that its write has passed on is held no longer here, whether the task or its arrival has written it."""
    given_up: list[bytes] = []

    class Chunk(bytes):
        def __del__(self) -> None:
            given_up.append(bytes(self))

    async def test() -> None:
        taken = asyncio.Event()

        async def write(chunk: bytes, more: bool) -> None:  # noqa: ARG001 -- the protocol's signature
            del chunk
            await taken.wait()

        relayed = _Relayed(write)
        if not is_there:
            await relayed.turn()
        relayed.arrive(Chunk(b"one"))
        await relayed.turn()
        assert given_up == [b"one"]
        taken.set()
        relayed.end()
        await relayed.task

    _run(test)


def test_a_task_that_is_cancelled_cancels_its_write() -> None:
    """A slow client that disconnects ends the write that began where the chunk arrived."""

    async def test() -> None:
        ended: list[str] = []

        async def write(chunk: bytes, more: bool) -> None:  # noqa: ARG001 -- the protocol's signature
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("given up")

        relayed = _Relayed(write)
        await relayed.turn()
        relayed.arrive(b"one")
        await relayed.turn()
        relayed.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await relayed.task
        assert ended == ["given up"]

    _run(test)


def test_what_a_write_raises_is_raised_by_the_task() -> None:
    """A chunk that cannot be written is the relaying task's failure, and not the connection's."""

    async def test() -> None:
        async def write(chunk: bytes, more: bool) -> None:  # noqa: ARG001 -- the protocol's signature
            raise LookupError

        relayed = _Relayed(write)
        await relayed.turn()
        relayed.arrive(b"one")
        with pytest.raises(LookupError):
            await relayed.task
        await relayed.answer.close()
        assert relayed.source.calls == ["pause", "abandon"]

    _run(test)


def test_a_failure_follows_what_arrived_before_it() -> None:
    """A chunk that arrived with a failure is written first, and then the failure is raised."""

    async def test() -> None:
        written: list[Any] = []

        async def write(chunk: bytes, more: bool) -> None:
            written.append((chunk, more))

        relayed = _Relayed(write)
        await relayed.turn()
        relayed.answer.add(b"one")
        relayed.answer.fail(LookupError())
        with pytest.raises(LookupError):
            await relayed.task
        assert written == [(b"one", True)]

    _run(test)
