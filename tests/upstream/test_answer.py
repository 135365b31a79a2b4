"""What comes of an answer is given on where it arrives, and by the relaying task where the client is slow."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from proxy.upstream.answer import IncomingAnswer

Give = Callable[[bytes, bool], Awaitable[None]]


class _Source:
    """A connection that does nothing but count."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")

    def abandon(self) -> None:
        self.calls.append("abandon")


class _Relayed:
    """An answer that is relayed to `give` by a task, once it waits for the first piece."""

    def __init__(self, give: Give) -> None:
        self.source = _Source()
        self.answer = IncomingAnswer(self.source, asyncio.get_running_loop(), 8)
        self.task = asyncio.ensure_future(self.answer.relay(give))

    async def turn(self) -> None:
        """Let the task go on for as long as it can."""
        for _ in range(5):
            await asyncio.sleep(0)

    def come(self, chunk: bytes) -> None:
        """A piece comes."""
        self.answer.add(chunk)
        self.answer.wake()

    def end(self) -> None:
        """The answer ends."""
        self.answer.end()
        self.answer.wake()


def _run(test: Callable[[], Awaitable[None]]) -> None:
    async def timed() -> None:
        async with asyncio.timeout(10):
            await test()

    asyncio.run(timed())


def test_a_piece_is_given_on_where_it_arrives() -> None:
    """A client that takes what it is given has a piece before its task runs again; the end comes from the task."""

    async def test() -> None:
        given: list[tuple[bytes, bool]] = []

        async def give(chunk: bytes, more: bool) -> None:
            given.append((chunk, more))

        relayed = _Relayed(give)
        await relayed.turn()
        relayed.come(b"one")
        relayed.come(b"two")
        assert given == [(b"one", True), (b"two", True)]
        relayed.answer.add(b"three")
        relayed.end()
        assert len(given) == 2
        await relayed.task
        assert given[2:] == [(b"three", False)]

    _run(test)


def test_a_slow_client_is_waited_for_by_the_task() -> None:
    """Where giving has to wait, the task waits and the source is held back; what comes meanwhile is given later."""

    async def test() -> None:
        given: list[tuple[bytes, bool]] = []
        taken = asyncio.Event()

        async def give(chunk: bytes, more: bool) -> None:
            given.append((chunk, more))
            await taken.wait()

        relayed = _Relayed(give)
        await relayed.turn()
        relayed.come(b"one")
        await relayed.turn()
        assert relayed.source.calls == ["pause"]
        relayed.come(b"more than eight")
        await relayed.turn()
        assert given == [(b"one", True)]
        assert relayed.source.calls == ["pause"]
        taken.set()
        await relayed.turn()
        assert given == [(b"one", True), (b"more than eight", True)]
        assert relayed.source.calls == ["pause", "resume"]
        relayed.end()
        await relayed.task
        assert given[2:] == [(b"", False)]

    _run(test)


def test_a_task_that_is_cancelled_cancels_what_it_waits_for() -> None:
    """A slow client that leaves ends the giving that was begun where the piece arrived."""

    async def test() -> None:
        ended: list[str] = []

        async def give(chunk: bytes, more: bool) -> None:  # noqa: ARG001 -- the protocol's signature
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("given up")

        relayed = _Relayed(give)
        await relayed.turn()
        relayed.come(b"one")
        await relayed.turn()
        relayed.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await relayed.task
        assert ended == ["given up"]

    _run(test)


def test_what_giving_raises_is_raised_by_the_task() -> None:
    """A piece that cannot be given on is the relaying task's failure, and not the connection's."""

    async def test() -> None:
        async def give(chunk: bytes, more: bool) -> None:  # noqa: ARG001 -- the protocol's signature
            raise LookupError

        relayed = _Relayed(give)
        await relayed.turn()
        relayed.come(b"one")
        with pytest.raises(LookupError):
            await relayed.task
        await relayed.answer.close()
        assert relayed.source.calls == ["pause", "abandon"]

    _run(test)


def test_a_failure_comes_after_what_came_before_it() -> None:
    """What came with a failure is given on first, and then the failure is raised."""

    async def test() -> None:
        given: list[Any] = []

        async def give(chunk: bytes, more: bool) -> None:
            given.append((chunk, more))

        relayed = _Relayed(give)
        await relayed.turn()
        relayed.answer.add(b"one")
        relayed.answer.fail(LookupError())
        with pytest.raises(LookupError):
            await relayed.task
        assert given == [(b"one", True)]

    _run(test)
