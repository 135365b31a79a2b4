"""A Redis Cluster of the tests' own: three nodes on ephemeral ports of 127.0.0.1, each with a third of the slots."""

import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import redis

from tests.support.redis_server import PATIENCE, RedisServer, redis_running

SLOTS = ((0, 5460), (5461, 10922), (10923, 16383))


@contextmanager
def cluster_running() -> Iterator[list[RedisServer]]:
    """The nodes of a cluster for the time of a test; without Redis the test is skipped."""
    with ExitStack() as stack:
        nodes = [stack.enter_context(_node(stack)) for _ in SLOTS]
        clients: list[Any] = [stack.enter_context(redis.Redis.from_url(node.url)) for node in nodes]
        for client, (first, last) in zip(clients, SLOTS, strict=True):
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port, nodes[0].bus)
        end = time.monotonic() + PATIENCE
        while not all(_is_whole(client) for client in clients):
            assert time.monotonic() < end, "the cluster did not form"
            time.sleep(0.02)
        yield nodes


@contextmanager
def _node(stack: ExitStack) -> Iterator[RedisServer]:
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        bus = listener.getsockname()[1]
    with redis_running(directory, "--cluster-enabled", "yes", "--cluster-port", str(bus)) as node:
        node.bus = bus
        yield node


def _is_whole(client: Any) -> bool:
    state: Any = client.execute_command("CLUSTER", "INFO")
    told = state if isinstance(state, dict) else dict(line.split(":") for line in state.decode().split())
    return bool(told["cluster_state"] == "ok" and int(told["cluster_known_nodes"]) == len(SLOTS))
