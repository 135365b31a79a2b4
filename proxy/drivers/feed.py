"""What stands in front of a stream, takes the bytes that are meant for it, and has somebody else write to it."""

from collections.abc import Callable

from proxy.streams.interface import Source
from proxy.streams.stream import Stream


class Feed:
    """Stands for a stream to which the session writes, and feeds the session instead."""

    def __init__(self, stream: Stream, take: Callable[[bytes], None], is_full: Callable[[], bool]) -> None:
        self._stream = stream
        self._is_full = is_full
        self.write = take

    @property
    def is_full(self) -> bool:
        """Whether no more is to come for now."""
        return self._stream.is_full or self._is_full()

    @property
    def source(self) -> Source | None:
        """What the stream stops when it is full."""
        return self._stream.source

    @source.setter
    def source(self, source: Source | None) -> None:
        self._stream.source = None if source is None else _Reading(source, self)


class _Reading:
    """A source that is resumed only while its bytes are wanted."""

    def __init__(self, source: Source, feed: Feed) -> None:
        self._source = source
        self._feed = feed
        self.pause = source.pause

    def resume(self) -> None:
        """Go on, if more is wanted."""
        if not self._feed.is_full:
            self._source.resume()
