"""An awaitable begun outside a task, and finished by one."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
import uvloop

from proxy.http import eager

on_each_loop = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])


def run(new_loop: Callable[[], asyncio.AbstractEventLoop], work: Coroutine[Any, Any, None]) -> None:
    """Run `work` on a loop of that kind."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(asyncio.wait_for(work, 10))


def begun(awaitable: Awaitable[None]) -> "asyncio.Future[Awaitable[None] | None]":
    """The rest of `awaitable`, begun in a callback of the loop, where there is no task."""
    loop = asyncio.get_running_loop()
    rest: asyncio.Future[Awaitable[None] | None] = loop.create_future()

    def callback() -> None:
        assert asyncio.current_task() is None
        rest.set_result(eager.begin(awaitable))

    loop.call_soon(callback)
    return rest


@on_each_loop
def test_what_does_not_wait_is_complete(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """An awaitable that waits for nothing has no rest."""

    async def work() -> None:
        done: list[int] = []

        async def short() -> None:
            done.append(1)

        assert await begun(short()) is None
        assert done == [1]

    run(new_loop, work())


@on_each_loop
def test_what_is_done_already(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """What was done when it was called has no rest, and may be awaited by each task that wants to know."""

    async def work() -> None:
        assert await begun(eager.DONE) is None
        for _ in range(2):
            assert await eager.DONE is None  # type: ignore[func-returns-value]
        with pytest.raises(RuntimeError, match="on purpose"):
            await eager.raising(RuntimeError("on purpose"))

    run(new_loop, work())


@on_each_loop
@pytest.mark.parametrize("early", [True, False])
def test_what_waits_is_finished_by_the_task(new_loop: Callable[[], asyncio.AbstractEventLoop], early: bool) -> None:
    """The rest waits for the same future, done before or after it is awaited, and for all that follow."""

    async def work() -> None:
        steps: list[str] = []
        first, second = asyncio.Event(), asyncio.Event()

        async def long() -> None:
            steps.append("begun")
            await first.wait()
            steps.append("between")
            await second.wait()
            steps.append("finished")

        rest = await begun(long())
        assert rest is not None
        assert steps == ["begun"]
        loop = asyncio.get_running_loop()
        if early:
            first.set()
            await asyncio.sleep(0)
        else:
            loop.call_later(0.01, first.set)
        loop.call_later(0.02, second.set)
        await rest
        assert steps == ["begun", "between", "finished"]

    run(new_loop, work())


@on_each_loop
def test_what_fails_is_raised_by_the_rest(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """An exception of the first step is raised where the rest is awaited, as one of a later step is."""

    async def work() -> None:
        async def fails_at_once() -> None:
            raise LookupError

        async def fails_later() -> None:
            await asyncio.sleep(0)
            raise LookupError

        for awaitable in (fails_at_once(), fails_later()):
            rest = await begun(awaitable)
            assert rest is not None
            with pytest.raises(LookupError):
                await rest

    run(new_loop, work())


@on_each_loop
def test_a_cancellation_reaches_the_awaitable(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """A task that is cancelled while it awaits the rest cancels what the awaitable waits for."""

    async def work() -> None:
        ended: list[str] = []

        async def endless() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("cancelled")

        async def finish(rest: Awaitable[None]) -> None:
            await rest

        rest = await begun(endless())
        assert rest is not None
        task = asyncio.create_task(finish(rest))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == ["cancelled"]

    run(new_loop, work())
