"""Frames of a WebSocket: where they begin and end, whatever way their bytes arrive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from proxy.responses.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    Head,
    Piece,
    Splitter,
    close_frame,
    frame,
    masked,
    text_at,
)

KEY = b"\x01\x80\xff\x7e"
OTHER = b"abcd"

HEADS = [
    ("81 00", Head(TEXT, True, False, b"", 0)),
    ("01 05", Head(TEXT, False, False, b"", 5)),
    ("80 7d", Head(CONTINUATION, True, False, b"", 125)),
    ("82 7e 0003", Head(BINARY, True, False, b"", 3)),
    ("c1 7e ffff", Head(TEXT, True, True, b"", 0xFFFF)),
    ("91 85 61626364", Head(TEXT, True, True, OTHER, 5)),
    ("89 fe 0100 61626364", Head(PING, True, False, OTHER, 256)),
    ("8b 00", Head(0xB, True, False, b"", 0)),
    ("83 01", Head(0x3, True, False, b"", 1)),
    ("81 7f 0000000000010000", Head(TEXT, True, False, b"", 1 << 16)),
    ("82 7f 8000000000000000", Head(BINARY, True, False, b"", 1 << 63)),
    ("82 ff ffffffffffffffff 61626364", Head(BINARY, True, False, OTHER, (1 << 64) - 1)),
]


def pieces(splitter: Splitter, data: bytes) -> list[tuple[Piece, bytes]]:
    """The pieces of `data`, each with its bytes."""
    splitter.feed(data)
    found = []
    while (piece := splitter.next_piece()) is not None:
        found.append((piece, splitter.data[piece.start : piece.end]))
    return found


@pytest.mark.parametrize(("written", "head"), HEADS, ids=[written for written, _ in HEADS])
def test_heads(written: str, head: Head) -> None:
    """A head is read as RFC 6455 says, also one that the protocol forbids; nothing is allocated by its length."""
    splitter = Splitter()
    data = bytes.fromhex(written)
    for end in range(len(data)):
        splitter = Splitter()
        assert pieces(splitter, data[:end]) == []
        assert splitter.rest == data[:end]
    splitter = Splitter()
    ((piece, taken),) = pieces(splitter, data)
    assert piece == Piece(head, 0, len(data), len(data), begins=True, ends=not head.length)
    assert taken == data
    assert splitter.is_between_frames is not bool(head.length)


def test_a_control_frame_is_known() -> None:
    """Opcodes from 8 on are control frames, the reserved ones among them."""
    assert [_only(frame(b"", opcode=opcode)).head.is_control for opcode in range(16)] == [False] * 8 + [True] * 8


def _only(data: bytes) -> Piece:
    ((piece, _),) = pieces(Splitter(), data)
    return piece


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[tuple[Head, bytes, bool]]]:
    """The bytes of some frames, written by another library, and what is in them."""
    data = b""
    content = []
    for _ in range(draw(st.integers(0, 5))):
        opcode = draw(st.sampled_from(list(Opcode)))
        final = draw(st.booleans()) or opcode >= Opcode.CLOSE
        is_masked = draw(st.booleans())
        size = draw(st.sampled_from([0, 1, 3, 125]) if opcode >= Opcode.CLOSE else st.sampled_from([0, 7, 126, 65536]))
        payload = draw(st.binary(min_size=min(size, 9), max_size=min(size, 9))).ljust(size, b"x")
        rsv = draw(st.booleans())
        written = Frame(opcode, payload, final).serialize(mask=is_masked)
        data += bytes((written[0] | (0x40 if rsv else 0),)) + written[1:]
        content.append((Head(opcode, final, rsv, b"", size), payload, is_masked))
    return data, content


@given(streams(), st.data())
def test_any_cut_gives_the_same(stream: tuple[bytes, list[tuple[Head, bytes, bool]]], data: st.DataObject) -> None:
    """Frames are the same ones in whatever pieces their bytes arrive, and all pieces together are all bytes."""
    written, content = stream
    cuts = sorted(data.draw(st.lists(st.integers(0, len(written)), max_size=8)))
    splitter = Splitter()
    taken = b""
    found: list[tuple[Head, bytes]] = []
    for start, end in zip([0, *cuts], [*cuts, len(written)], strict=True):
        for piece, span in pieces(splitter, written[start:end]):
            taken += span
            if piece.begins:
                found.append((piece.head, b""))
            found[-1] = (piece.head, found[-1][1] + splitter.data[piece.payload : piece.end])
    assert taken == written
    read = [(head._replace(mask=b""), masked(payload, head.mask), bool(head.mask)) for head, payload in found]
    assert read == content


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_garbage_is_split_like_everything_else(fed: list[bytes]) -> None:
    """Of any bytes all come back, in order; what is kept at the end is less than a head."""
    splitter = Splitter()
    taken = b"".join(span for data in fed for _, span in pieces(splitter, data))
    assert taken + splitter.rest == b"".join(fed)
    assert len(splitter.rest) < 14


def test_what_was_not_taken_waits() -> None:
    """A reader may take some pieces, feed more bytes, and go on where it was."""
    splitter = Splitter()
    splitter.feed(frame(b"one") + frame(b"two") + b"\x81")
    assert splitter.next_piece() is not None
    splitter.feed(b"\x03thr")
    taken = []
    while (piece := splitter.next_piece()) is not None:
        taken.append(splitter.data[piece.payload : piece.end])
    assert taken == [b"two", b"thr"]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 70001])
@pytest.mark.parametrize("key", [b"", KEY])
def test_a_frame_that_is_written_can_be_read(size: int, key: bytes) -> None:
    """A frame of ours has the shortest form of its length, and its payload back when the mask is taken off."""
    payload = bytes(range(256)) * (size // 256 + 1)
    written = frame(payload[:size], key)
    reference = Frame(Opcode.TEXT, payload[:size]).serialize(mask=False)
    piece = _only(written)
    assert piece.head == Head(TEXT, True, False, key, size)
    assert masked(written[piece.payload : piece.end], key) == payload[:size]
    assert len(written) == len(reference) + len(key)
    if not key:
        assert written == reference


@pytest.mark.parametrize("size", [2, 125, 126, 65535, 65536])
def test_a_short_text_is_found_at_a_glance(size: int) -> None:
    """Where a short text message of a server lies is seen without splitting; of all else nothing is said."""
    whole = b"ab" + frame(b"x" * size)
    head = 4 if size > 125 else 2
    assert text_at(whole, 2) == ((2 + head, len(whole)) if size < 65536 else (0, 0))
    assert text_at(whole[:-1], 2) == (0, 0)
    for other in (frame(b"x" * size, KEY), frame(b"x" * size, b"", BINARY), b"\x01" + frame(b"x" * size)[1:], b"\x81"):
        assert text_at(other, 0) == (0, 0)


def test_a_close_frame() -> None:
    """A close frame holds its code and its reason."""
    assert close_frame(1012, b"restart") == bytes.fromhex("88 09 03f4") + b"restart"
    assert close_frame(1001, mask=KEY)[1] & 0x80


def test_opcodes() -> None:
    """The opcodes are those of RFC 6455, 11.8."""
    assert (CONTINUATION, TEXT, BINARY, CLOSE, PING) == (0, 1, 2, 8, 9)
