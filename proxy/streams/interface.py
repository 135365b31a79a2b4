"""Where bytes come from, and where they go: what a stream needs to know of what it is connected to."""

from typing import Protocol


class Source(Protocol):
    """Where bytes come from."""

    def pause(self) -> None:
        """Give no more for now."""

    def resume(self) -> None:
        """Go on."""


class Sink(Protocol):
    """Where the bytes of a stream go: another stream, or what stands before it and reads them."""

    source: Source | None

    @property
    def is_full(self) -> bool:
        """Whether no more is to come for now."""

    def write(self, data: bytes) -> None:
        """Take bytes."""
