"""The gauges: values of this moment, read when they are requested."""

from typing import NamedTuple


class Gauges(NamedTuple):
    """Numbers that go up and down."""

    in_flight: int = 0
    streams: int = 0
    lessons: int = 0
    in_use: int = 0
    idle: int = 0
    waiting: int = 0
    sessions: int = 0
    tunnels: int = 0
    memory: int = 0
    """Bytes of bodies that all requests hold, of `max_memory`."""
    max_memory: int = 0
    workers: int = 0
    retired: int = 0
    """Processes that take no new requests, and end with their last one."""
