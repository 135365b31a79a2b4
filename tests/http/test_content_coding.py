"""Content codings: a body decoded whole under a cap, or an error; never half a body."""

import gzip
import zlib
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.content_coding import CorruptError, TooLargeError, decode

LIMIT = 1_000_000


def _raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


CODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "deflate without a wrapper": ("deflate", _raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", _zstd),
}
EACH = pytest.mark.parametrize(("coding", "coder"), CODERS.values(), ids=CODERS)


@EACH
@given(data=st.binary(max_size=5000))
def test_what_was_coded_is_decoded(coding: str, coder: Callable[[bytes], bytes], data: bytes) -> None:
    """Decoding gives back what was coded."""
    assert decode(coding, coder(data), LIMIT) == data


def test_without_a_coding_nothing_is_done() -> None:
    """A body without a coding is the very object that came, whatever its size."""
    body = b"x" * 100
    assert decode("", body, 10) is body


@EACH
def test_a_body_that_breaks_off_is_corrupt(coding: str, coder: Callable[[bytes], bytes]) -> None:
    """A body without its end is never taken for a whole one, wherever it breaks off."""
    coded = coder(bytes(range(256)) * 8)
    for end in {0, 1, len(coded) // 2, len(coded) - 1}:
        with pytest.raises(CorruptError):
            decode(coding, coded[:end], LIMIT)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_garbage_is_corrupt(coding: str) -> None:
    """What is not coded at all is an error, and no other one than this."""
    with pytest.raises(CorruptError):
        decode(coding, b"{this is no coded body}" * 10, LIMIT)


@EACH
def test_the_cap_holds(coding: str, coder: Callable[[bytes], bytes]) -> None:
    """A body of just the cap is decoded, one byte more is too large."""
    data = b"a" * 5000
    assert decode(coding, coder(data), 5000) == data
    with pytest.raises(TooLargeError):
        decode(coding, coder(data), 4999)


@EACH
def test_a_bomb_is_noticed_early(coding: str, coder: Callable[[bytes], bytes]) -> None:
    """A body that grows a thousandfold is given up at the cap."""
    with pytest.raises(TooLargeError):
        decode(coding, coder(bytes(20_000_000)), 10_000)


@pytest.mark.parametrize(("coding", "coder"), [("gzip", gzip.compress), ("zstd", _zstd)])
def test_several_frames_are_one_body(coding: str, coder: Callable[[bytes], bytes]) -> None:
    """A gzip body may have several members (RFC 1952, 2.2), a zstd body several frames (RFC 8878, 3)."""
    pieces = [b"one", b"", b"two" * 2000, b"three"]
    assert decode(coding, b"".join(map(coder, pieces)), LIMIT) == b"".join(pieces)
    with pytest.raises(TooLargeError):
        decode(coding, b"".join(map(coder, pieces)), 100)
