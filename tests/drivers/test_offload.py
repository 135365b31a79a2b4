"""Where work is done: on the event loop what is quick, in another thread what may take long."""

import threading

import pytest

from proxy.drivers.offload import compute, offload
from proxy.responses.steps import INLINE, Compute

pytestmark = pytest.mark.anyio


def _thread() -> str:
    return threading.current_thread().name


@pytest.mark.parametrize(("cost", "elsewhere"), [(0, False), (INLINE, False), (INLINE + 1, True)])
async def test_where_work_is_done(cost: int, *, elsewhere: bool) -> None:
    """Work is done on the event loop up to a cost, and beyond it in another thread."""
    assert (await compute(Compute(_thread, cost))).startswith("unpinned-offload") is elsewhere


@pytest.mark.parametrize("cost", [0, INLINE + 1])
async def test_what_work_raises(cost: int) -> None:
    """What the work raises is raised where its result is awaited."""
    with pytest.raises(ZeroDivisionError):
        await compute(Compute(lambda: 1 // 0, cost))


async def test_arguments() -> None:
    """Arguments are handed on."""
    assert await offload(divmod, 7, 2) == (3, 1)
