"""Encrypted content: a token that only the fake can make, bound to an organisation and to the id of its item.

It is signed, not secret: enough to notice a change. Every fake accepts the seals of every other, as the real API is
one service.
"""

import base64
import binascii
import hmac
import json
from typing import NamedTuple

HEAD = "gAAAA"
KEY = b"the fake API is one company"
TAG = 16


class Memory(NamedTuple):
    """What encrypted content holds: its organization, its item, the instance that made it, and the thought itself."""

    organization: str
    item_id: str
    origin: str
    content: dict[str, object]


def seal(memory: Memory) -> str:
    """The token."""
    payload = json.dumps(memory, separators=(",", ":")).encode()
    return HEAD + base64.urlsafe_b64encode(_tag(payload) + payload).decode()


def opened(token: str) -> Memory | None:
    """What is in a token, or None when it is no token, cut off or damaged."""
    try:
        raw = base64.urlsafe_b64decode(token.removeprefix(HEAD).encode("ascii"))
    except (binascii.Error, ValueError):
        return None
    tag, payload = raw[:TAG], raw[TAG:]
    if not token.startswith(HEAD) or not hmac.compare_digest(tag, _tag(payload)):
        return None
    return Memory(*json.loads(payload))


def _tag(payload: bytes) -> bytes:
    return hmac.digest(KEY, payload, "sha256")[:TAG]
