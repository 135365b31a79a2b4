"""Items encrypted where they are kept: AES-256-GCM, with keys that can be changed.

A value is a mark, four bytes that name the key, a nonce, and the item encrypted by AES-GCM. Its scope and its
digest are authenticated with it: a value that is moved elsewhere does not open. A nonce is random: one key
is good for 2^32 items (NIST SP 800-38D, 8.3).

A signature is the four bytes that name the key, and an HMAC-SHA-256 over a response, what it continues and its items'
digests: who can write to the store can neither exchange, cut nor reorder the items of a conversation.
"""

import hmac
import os
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from proxy.store.envelope import DIGEST, Plain

MARK: Final = b"\x01"
"""No JSON begins like this."""
_NAME: Final = 4
_NONCE: Final = 12


class _Key:
    """One of the keys, and what is derived from it for each purpose."""

    def __init__(self, secret: bytes) -> None:
        self.name = sha256(b"unpinned key" + secret).digest()[:_NAME]
        self.cipher = AESGCM(secret)
        self.digests = sha256(b"unpinned digest" + secret).digest()
        self._signatures = sha256(b"unpinned signature" + secret).digest()

    def signature(self, response: bytes, previous: bytes, digests: bytes) -> bytes:
        """Lengths in front: no part can be taken for another's end."""
        lengths = len(response).to_bytes(4) + len(previous).to_bytes(4)
        return self.name + hmac.digest(self._signatures, b"".join((lengths, response, previous, digests)), "sha256")


class Sealed:
    """Items are encrypted with the first of `keys` (32 bytes each); the others, and `plain`, are only read."""

    def __init__(self, keys: Sequence[bytes], *, reads_plain: bool = False) -> None:
        known = [_Key(key) for key in keys]
        self._newest = known[0]
        self._keys = {key.name: key for key in known}
        self._plain = Plain() if reads_plain else None

    def digest(self, item: bytes) -> bytes:
        """An item that only its key opens."""
        return hmac.digest(self._newest.digests, item, "sha256")[:DIGEST]

    def close(self, scope: bytes, digest: bytes, item: bytes) -> bytes:
        """The item, encrypted."""
        nonce = os.urandom(_NONCE)
        sealed = self._newest.cipher.encrypt(nonce, item, scope + digest)
        return b"".join((MARK, self._newest.name, nonce, sealed))

    def open(self, scope: bytes, digest: bytes, value: bytes) -> bytes | None:
        """The item, if one of the keys opens it here."""
        if self._plain is not None and not value.startswith(MARK):
            return self._plain.open(scope, digest, value)
        key = self._keys.get(value[1 : 1 + _NAME]) if value.startswith(MARK) else None
        nonce, sealed = value[1 + _NAME : 1 + _NAME + _NONCE], value[1 + _NAME + _NONCE :]
        if key is None or len(nonce) < _NONCE:
            return None
        try:
            return key.cipher.decrypt(nonce, sealed, scope + digest)
        except InvalidTag:
            return None

    def sign(self, response: bytes, previous: bytes, digests: bytes) -> bytes:
        """An HMAC with the newest key."""
        return self._newest.signature(response, previous, digests)

    def signed(self, response: bytes, previous: bytes, digests: bytes, signature: bytes) -> bool:
        """Whether one of the keys signed it; what has no signature passes only while `plain` is read."""
        if not signature:
            return self._plain is not None
        key = self._keys.get(signature[:_NAME])
        return key is not None and hmac.compare_digest(key.signature(response, previous, digests), signature)
