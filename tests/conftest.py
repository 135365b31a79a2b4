"""What every test may use, and how tests share the machine with those that must have it to themselves."""

import fcntl
import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.chromium import Browser, browsing
from tests.support.upstream_server import ScriptedUpstream

settings.register_profile("whole machine", deadline=None)
settings.load_profile("whole machine")  # how long an example takes depends on what else runs


def pytest_xdist_auto_num_workers() -> int:
    """Twice as many workers as processors: half of the time of a test is waiting for sockets and processes."""
    return 2 * (os.cpu_count() or 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `alone` run behind the others of their file."""
    items.sort(key=lambda item: item.get_closest_marker("alone") is not None)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test marked `alone` runs while no other test does, in any worker: what it measures is the machine's as well.

    Two locks, so that neither side starves. Every test passes the gate; the lone one holds it while it waits for those
    that are running, so that no other begins. The wait is outside of a test's own time limit.
    """
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is None:
        return (yield)
    alone = item.get_closest_marker("alone") is not None
    with ExitStack() as held:
        with _locked(f"{run}-gate", fcntl.LOCK_EX):
            held.enter_context(_locked(f"{run}-running", fcntl.LOCK_EX if alone else fcntl.LOCK_SH))
        return (yield)


@contextmanager
def _locked(name: str, kind: int) -> Iterator[None]:
    descriptor = os.open(Path(tempfile.gettempdir()) / f"unpinned-tests-{name}", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


@pytest.fixture
def anyio_backend() -> str:
    """Coroutine tests run on asyncio, as the product does."""
    return "asyncio"


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    """A scripted upstream of one's own; its scripts' failures fail the test."""
    with ScriptedUpstream() as server:
        yield server


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of a module."""
    with browsing() as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """The browser; its tabs are closed in the end."""
    yield chromium
    chromium.close_tabs()
