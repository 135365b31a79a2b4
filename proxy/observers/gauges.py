"""What is going on in this moment, read from those who know when somebody asks."""

from typing import NamedTuple


class Levels(NamedTuple):
    """Numbers that go up and down."""

    in_flight: int = 0
    streams: int = 0
    lessons: int = 0
    in_use: int = 0
    idle: int = 0
    waiting: int = 0
