"""A content fingerprint that ignores ids and status, to recognise an item that a client sends again.

Pure. Ids, states, nulls and annotations are labels; a message's text is the same as a string and as a part.
"""

from hashlib import sha256
from typing import Any, Final

import orjson

from proxy.responses.items import ITEM_ENVELOPE, REASONING

_LABELS: Final = frozenset({"id", "status", "annotations", "logprobs", "phase", *ITEM_ENVELOPE})
_TEXT: Final = {"type", "text"}


def fingerprint(item: bytes) -> bytes | None:
    """A digest of what an item says, the same for items that are the same to the model; None for reasoning."""
    try:
        loaded = orjson.loads(item)
    except orjson.JSONDecodeError:  # a lone surrogate, a number beyond all bounds: the same where the bytes are
        return sha256(item).digest()
    if not isinstance(loaded, dict):
        return sha256(item).digest()
    if loaded.get("type") == REASONING.name:
        return None
    said = {name: value for name, value in loaded.items() if value is not None and name not in _LABELS}
    if "role" in said:
        said.setdefault("type", "message")
        said["content"] = _parts(said.get("content"))
    return sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).digest()


def _parts(content: Any) -> Any:
    if isinstance(content, str):
        return [content]
    return [_part(part) for part in content] if isinstance(content, list) else content


def _part(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    kept = {name: value for name, value in part.items() if value is not None and name not in _LABELS}
    return kept["text"] if kept.keys() == _TEXT else kept
