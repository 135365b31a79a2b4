"""Server-sent events, in every way that the standard allows to write and to cut them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.responses.event_parser import EventParser


def parsed(*pieces: bytes) -> list[bytes]:
    """The events of a stream that arrives in these pieces."""
    parser = EventParser()
    return [event for piece in pieces for event in parser.feed(piece)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [b"a"]),
        (b"event: x\ndata: a\nid: 1\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data: a\n\r\n", [b"a"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [b"a"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a \n\n", [b" a "]),
        (b"data: a\ndata:b\n\n", [b"a\nb"]),
        (b"data\n\n", [b""]),
        (b"event: x\n\n", []),
        (b": comment\n\n: data: x\n\n", []),
        (b"\n\n\r\n\n", []),
        (b"data: a\n", []),
        (b"data: a", []),
        (b"", []),
        (b"data : a\n\ndatum: b\n\n", []),
        (b'data: {"x": "\x0b\x0c\x1c\x85\xe2\x80\xa8"}\n\n', [b'{"x": "\x0b\x0c\x1c\x85\xe2\x80\xa8"}']),
    ],
)
def test_events(stream: bytes, events: list[bytes]) -> None:
    """A stream has the same events whether it arrives whole or one byte at a time."""
    assert parsed(stream) == events
    assert parsed(*(stream[n : n + 1] for n in range(len(stream)))) == events


@given(st.lists(st.sampled_from([b"data: a", b"data", b":", b"x", b"\n", b"\r", b"\r\n", b"\n\n"])), st.data())
def test_cuts_mean_nothing(tokens: list[bytes], data: st.DataObject) -> None:
    """Wherever a stream is cut into two, its events are the same."""
    stream = b"".join(tokens)
    cut = data.draw(st.integers(0, len(stream)))
    assert parsed(stream[:cut], stream[cut:]) == parsed(stream)


def test_an_event_is_given_as_soon_as_it_ends() -> None:
    """The CR that ends an event need not be followed by anything."""
    parser = EventParser()
    assert [*parser.feed(b"data: a\r")] == []
    assert [*parser.feed(b"\r")] == [b"a"]
    assert [*parser.feed(b"\ndata: b\n")] == []
    assert [*parser.feed(b"\n")] == [b"b"]
