"""What an item says, whatever labels it bears: by this an item that a client sends again is known again.

Pure. Ids, states, nulls and annotations are labels; a message's text is the same as a string and as a part.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

import orjson
from msgspec import Raw

from proxy.responses.items import ITEM_ENVELOPE

_LABELS: Final = frozenset({"id", "status", "annotations", "logprobs", "phase", *ITEM_ENVELOPE})


def essence(fields: Mapping[str, Raw | bytes]) -> bytes:
    """A digest of what an item says; items of the same essence are the same to the model."""
    said = {name: _plain(bytes(value)) for name, value in fields.items() if name not in _LABELS}
    said = {name: value for name, value in said.items() if value is not None}
    if "role" in said:
        said.setdefault("type", "message")
        said["content"] = _parts(said.get("content"))
    return sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).digest()


def _plain(literal: bytes) -> Any:
    try:
        return orjson.loads(literal)
    except orjson.JSONDecodeError:  # a lone surrogate, a number beyond all bounds: the same where the bytes are
        return literal.hex()


def _parts(content: Any) -> Any:
    if isinstance(content, str):
        return [content]
    return [_part(part) for part in content] if isinstance(content, list) else content


def _part(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    kept = {name: value for name, value in part.items() if name not in _LABELS and value is not None}
    return kept["text"] if kept.keys() == {"type", "text"} else kept
