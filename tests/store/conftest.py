"""The engines that there are."""

import asyncio
from collections.abc import Iterator

import pytest

from proxy.store.encryption import Sealed
from proxy.store.factory import opened
from proxy.store.interface import DEFAULTS
from tests.store.talks import KEY, Open
from tests.support.postgresql_server import postgresql_running
from tests.support.redis_cluster import cluster_running
from tests.support.redis_server import RedisServer, redis_running


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis."""
    with redis_running() as server:
        yield server.url


@pytest.fixture(scope="session")
def cluster_nodes() -> Iterator[list[RedisServer]]:
    """The nodes of a Redis Cluster."""
    with cluster_running() as nodes:
        yield nodes


@pytest.fixture(scope="session")
def cluster_url(cluster_nodes: list[RedisServer]) -> str:
    """One of them."""
    return cluster_nodes[0].url


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A PostgreSQL."""
    with postgresql_running() as server:
        yield server.url


@pytest.fixture(scope="session")
def sqlite_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file."""
    pytest.importorskip("aiosqlite")
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'store.db'}"


@pytest.fixture(params=["memory", "redis", "cluster", "sqlite", "postgresql", "encrypted"])
def engine(request: pytest.FixtureRequest) -> Open:
    """Opens an empty store of each engine, in the loop that uses it."""
    kind: str = request.param
    url = "memory" if kind == "memory" else request.getfixturevalue(f"{'sqlite' if kind == 'encrypted' else kind}_url")
    options = DEFAULTS._replace(envelope=Sealed([KEY])) if kind == "encrypted" else DEFAULTS

    async def empty() -> None:
        store = opened(url)
        await store.purge(everything=True)
        await store.close()

    asyncio.run(empty())
    return lambda **changes: opened(url, options._replace(**changes))
