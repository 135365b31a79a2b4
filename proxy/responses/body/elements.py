"""The elements of an array: where they stand in the body, which is found out when somebody asks."""

from typing import Final

import msgspec
from msgspec import Raw

from proxy.responses.body import lenient, slices
from proxy.responses.body.lenient import Span
from proxy.responses.body.objects import REFUSED

_ELEMENTS: Final = msgspec.json.Decoder(list[Raw])
_SPACE: Final = ord(" ")


class Elements:
    """The elements of the JSON array at `span` of a body: where they stand, which is found out when it is asked."""

    def __init__(self, body: bytes, span: Span) -> None:
        self.body = body
        self.span = span
        self._spans: list[Span] | None = None

    @property
    def spans(self) -> list[Span]:
        """(first byte, byte behind the last) of each element."""
        if self._spans is None:
            self._spans = self._found()
        return self._spans

    def _found(self) -> list[Span]:
        try:
            raws = slices.decoded(_ELEMENTS.decode, self.body, self.span)
        except REFUSED:
            return lenient.elements(self.body, self.span[0])
        return _spans(self.body, self.span[0], raws)

    def json(self, place: int) -> bytes:
        """The element at `place`."""
        start, end = self.spans[place]
        return self.body[start:end]


def _spans(body: bytes, start: int, elements: list[Raw]) -> list[Span]:
    spans = []
    end = start
    for element in elements:
        begin = end + 1  # behind the bracket or the comma
        if body[begin] <= _SPACE:
            begin += 1
            if body[begin] <= _SPACE:
                begin = lenient.skip_space(body, begin)
        end = begin + len(memoryview(element))
        spans.append((begin, end))
        if body[end] <= _SPACE:
            end = lenient.skip_space(body, end)
    return spans
