"""Content codings (RFC 9110, 8.4.1): a whole body decoded under a cap.

Pure. Raises where the body is broken or grows too large; never returns half of one.
"""

import zlib
from collections.abc import Callable
from typing import Final, Protocol


class CorruptError(ValueError):
    """The body is not what its Content-Encoding says, or breaks off."""


class TooLargeError(ValueError):
    """The decoded body is larger than the cap."""


def is_known(coding: str) -> bool:
    """Whether `decode` understands `coding`."""
    return not coding or coding in _DECODERS


def decode(coding: str, body: bytes, limit: int) -> bytes:
    """`body` decoded, at most `limit` bytes of it. Raises CorruptError or TooLargeError."""
    if not coding:
        return body
    return _DECODERS[coding](body, limit)


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: memoryview, /) -> bytes: ...


def _in_steps(
    new_decoder: Callable[[], _Decoder], broken: type[Exception] = zlib.error
) -> Callable[[bytes, int], bytes]:
    """Decode one or several frames (RFC 1952, 2.2; RFC 8878, 3) in small steps, so that a bomb is noticed early."""

    def decode_all(body: bytes, limit: int) -> bytes:
        pieces: list[bytes] = []
        view = memoryview(body)
        decoder = new_decoder()
        size = position = 0
        frames = 1
        while position < len(body) and size <= limit:
            if decoder.eof:
                frames += 1
                decoder = new_decoder()
            try:
                pieces.append(decoder.decompress(view[position : position + _STEP]))
            except broken as error:
                raise CorruptError from error
            size += len(pieces[-1])
            position = min(position + _STEP, len(body)) - len(decoder.unused_data)
            _check_yield(position, size, frames)
        if size > limit:
            raise TooLargeError
        if not decoder.eof:
            raise CorruptError
        return b"".join(pieces)

    return decode_all


def _check_yield(taken: int, given: int, frames: int = 1) -> None:
    """Raise CorruptError where input costs work and yields nothing: many frames, or bytes without content.

    A limit on the output alone does not bound the work: empty gzip members (20 bytes), zstd frames (9) and brotli
    metadata blocks (1) decode to nothing, 0.2 to 0.8 s a MiB (measured 2026-11-27).
    """
    if frames > FRAMES or (taken > _FREE and taken > _WORST * given):
        raise CorruptError


def _deflate(body: bytes, limit: int) -> bytes:
    try:
        return _in_steps(zlib.decompressobj)(body, limit)
    except CorruptError:  # "some non-conformant implementations … without the zlib wrapper" (RFC 9110, 8.4.1.2)
        return _in_steps(lambda: zlib.decompressobj(-zlib.MAX_WBITS))(body, limit)


def _zstd(body: bytes, limit: int) -> bytes:
    import zstandard  # noqa: PLC0415 -- most applications never see this coding, and need not wait for it

    def new_decoder() -> _Decoder:
        return zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()

    return _in_steps(new_decoder, zstandard.ZstdError)(body, limit)


def _brotli(body: bytes, limit: int) -> bytes:
    import brotli  # type: ignore[import-untyped]  # noqa: PLC0415 -- as above

    decoder = brotli.Decompressor()
    pieces: list[bytes] = []
    size = 0
    try:
        for position in range(0, len(body), _SLICE):
            waiting: bytes = body[position : position + _SLICE]
            while waiting or not decoder.can_accept_more_data():
                pieces.append(decoder.process(waiting, output_buffer_limit=limit + 1 - size))
                size += len(pieces[-1])
                waiting = b""
                if size > limit:
                    raise TooLargeError
            _check_yield(position + _SLICE, size)
    except brotli.error as error:
        raise CorruptError from error
    if not decoder.is_finished():
        raise CorruptError
    return b"".join(pieces)


FRAMES: Final = 16
"""Frames, or gzip members, of a body that is decoded; one is what clients send."""
_FREE: Final = 64 * 1024
"""Encoded bytes that may yield nothing: a millisecond or two of work."""
_WORST: Final = 4
"""Encoded bytes for a decoded one, beyond which a body is no compressed text: incompressible bytes need about one."""
_SLICE: Final = 16 * 1024
# A step of zstd grows by at most 128 KiB for four bytes, one of deflate a thousandfold.
_STEP: Final = 1024
# "decoders … to be able to decode at least 8 MiB" (RFC 9659, 3)
_ZSTD_WINDOW: Final = 8 * 1024 * 1024

_DECODERS: Final[dict[str, Callable[[bytes, int], bytes]]] = {
    "gzip": _in_steps(lambda: zlib.decompressobj(zlib.MAX_WBITS | 16)),
    "x-gzip": _in_steps(lambda: zlib.decompressobj(zlib.MAX_WBITS | 16)),
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
