"""A response is read from its answer as that passes, in whatever pieces."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.responses.history import answers
from proxy.responses.history.answers import EventStream, WholeAnswer
from proxy.responses.history.recording import Made
from tests.responses.history.test_recall import CALL, SAID

RESPONSE = b'{"id":"resp_2","status":"completed","output":[%b]}' % SAID
EMPTY = b'{"id":"resp_2","status":"completed","output":[]}'
MADE = Made("resp_2", True, False, True, (SAID,))


def event(kind: str, **fields: Any) -> bytes:
    """An event; bytes are raw JSON."""
    members = b"".join(
        b',"%b":%b' % (name.encode(), value if isinstance(value, bytes) else json.dumps(value).encode())
        for name, value in fields.items()
    )
    return b'event: %b\ndata: {"type":"%b"%b}\n\n' % (kind.encode(), kind.encode(), members)


DELTA = event("response.output_text.delta", delta="a response.completed and its \n\n text")
STREAM = (
    event("response.created", response=b'{"id":"resp_2","status":"in_progress","output":[]}'),
    DELTA,
    event("response.output_item.done", item=SAID, output_index=0),
    event("response.completed", response=RESPONSE),
    b"data: [DONE]\n\n",
)


def heard(pieces: Any, **options: Any) -> list[Made]:
    """What is told while these pieces pass."""
    stream = EventStream(**options)
    found = [stream.feed(piece) for piece in pieces if stream.concerns(piece)]
    return [plain(one) for one in [*found, stream.end()] if one is not None]


def plain(found: Made | None) -> Made:
    """What was told, without the outline."""
    assert found is not None
    return found._replace(outline=None)


def test_a_stream() -> None:
    """The response is there when its last event has passed."""
    assert heard(STREAM) == [MADE]


def test_events_of_no_concern() -> None:
    """What most of a stream consists of is not looked into."""
    stream = EventStream()
    quiet = event("response.output_text.delta", delta="text")
    assert [stream.concerns(piece) for piece in (quiet, STREAM[0], *STREAM[2:])] == [False, False, True, True, False]
    assert stream.concerns(b"data: {}")
    assert stream.concerns(quiet + STREAM[3])


@pytest.mark.parametrize("line", [b"\n", b"\r\n"])
@given(cuts=st.lists(st.integers(0, 2000), max_size=40))
def test_in_any_pieces(line: bytes, cuts: list[int]) -> None:
    """However the network cuts a stream, it tells the same."""
    whole = b"".join(STREAM).replace(b"\n", line)
    ends = sorted({min(cut, len(whole)) for cut in cuts})
    pieces = [whole[start:end] for start, end in zip([0, *ends], [*ends, len(whole)], strict=True)]
    assert heard(pieces) == [MADE]


def test_byte_by_byte() -> None:
    """Each boundary may be cut anywhere."""
    assert heard([bytes((byte,)) for byte in b"".join(STREAM)]) == [MADE]


def test_an_incomplete_response() -> None:
    """A response that was cut short by its own limits can be continued; a failed one cannot."""
    cut = RESPONSE.replace(b"completed", b"incomplete")
    assert heard([event("response.incomplete", response=cut)]) == [MADE]
    failed = RESPONSE.replace(b"completed", b"failed")
    assert heard([event("response.failed", response=failed), event("response.completed", response=failed)]) == [
        MADE._replace(finished=False, failed=True)
    ]


def test_a_stream_that_does_not_repeat_its_items() -> None:
    """Where the last event is without the output, the items that came are the output, in their places."""
    items = [
        event("response.output_item.done", item=CALL, output_index=1),
        event("response.output_item.done", item=SAID, output_index=0),
        event("response.output_item.done", output_index=2),
    ]
    assert heard([*items, event("response.completed", response=EMPTY)]) == [MADE._replace(output=(SAID, CALL))]
    unplaced = [event("response.output_item.done", item=item) for item in (SAID, CALL)]
    assert heard([*unplaced, event("response.completed", response=EMPTY)]) == [MADE._replace(output=(SAID, CALL))]


def test_in_the_background() -> None:
    """Of a response in the background it is told that it has begun: its stream may be read elsewhere."""
    begun = Made("resp_2", False, False, True, ())
    assert heard(STREAM, background=True) == [begun, MADE]


@pytest.mark.parametrize(
    "pieces",
    [
        STREAM[:-2],
        [STREAM[3][:-2]],
        [b"data: response.completed\n\n"],
        [event("response.completed")],
        [event("response.completed", response=b"5")],
        [b'data: ["response.completed"]\n\n'],
        [b'data: {"type":5,"x":"response.completed"}\n\n'],
    ],
)
def test_no_end(pieces: Any) -> None:
    """What breaks off, or only speaks of an end, is none."""
    assert heard(pieces) == []


@pytest.mark.interpreted
def test_large_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that is larger than may be held is let pass, and what comes behind it is heard."""
    monkeypatch.setattr(answers, "LARGEST", 400)
    image = event("response.image_generation_call.partial_image", partial_image_b64="A" * 1000)
    pieces = [image[start : start + 150] for start in range(0, len(image), 150)]
    stream = EventStream()
    for piece in pieces:
        assert stream.feed(piece) is None
        assert sum(map(len, stream._tail)) <= 400
    assert plain(stream.feed(STREAM[3])) == MADE
    assert heard([*pieces, event("response.completed", response=EMPTY)]) == []
    stream = EventStream()
    cut = [image[:-1], image[-1:] + STREAM[3]]
    assert stream.feed(cut[0]) is None
    assert plain(stream.feed(cut[1])) == MADE


@pytest.mark.interpreted
def test_many_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """Items are held up to a limit; beyond it only a last event that repeats them tells what was made."""
    monkeypatch.setattr(answers, "LARGEST", len(SAID) + 1)
    items = [event("response.output_item.done", item=SAID)] * 2
    assert heard([*items, event("response.completed", response=EMPTY)]) == []
    assert heard([*items, STREAM[3]]) == [MADE]


@pytest.mark.interpreted
def test_a_whole_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A JSON answer tells at its end, unless it is too large."""
    for largest in (len(RESPONSE), len(RESPONSE) - 1):
        monkeypatch.setattr(answers, "LARGEST", largest)
        whole = WholeAnswer()
        for piece in (RESPONSE[:10], RESPONSE[10:]):
            assert whole.concerns(piece)
            assert whole.feed(piece) is None
        found = whole.end()
        assert (found is not None) == (largest == len(RESPONSE))
        assert found is None or plain(found) == MADE
        assert not whole.concerns(b"")
