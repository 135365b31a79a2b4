"""What every test may ask for."""

from collections.abc import Iterator

import pytest

from tests.support.upstream_server import ScriptedUpstream


@pytest.fixture
def anyio_backend() -> str:
    """Coroutine tests run on asyncio, as the product does."""
    return "asyncio"


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    """A scripted upstream of one's own; its scripts' failures fail the test."""
    with ScriptedUpstream() as server:
        yield server
