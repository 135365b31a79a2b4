"""The model that a request names, for the live page and for traces; of no consequence for the request."""

from typing import Final

import msgspec

from proxy.responses.body.objects import REFUSED

_LARGEST: Final = 1 << 20
"""Bytes of a body that is looked into: a millisecond. Of a larger one the model is not known."""


class _Request(msgspec.Struct):
    model: str = ""


_DECODER: Final = msgspec.json.Decoder(_Request)


def model_name(body: bytes) -> str:
    """The value of `model`; `""` where a body has none, or is no JSON."""
    if len(body) > _LARGEST:
        return ""
    try:
        return _DECODER.decode(body).model
    except REFUSED:
        return ""
