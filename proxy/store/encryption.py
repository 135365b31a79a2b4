"""Items encrypted where they are kept: AES-256-GCM, with keys that can be changed.

A value is a mark, four bytes that name the key, a nonce, and the item encrypted by AES-GCM. Its scope and its
digest are authenticated with it: a value that is moved elsewhere does not open. A nonce is random: one key
is good for 2^32 items (NIST SP 800-38D, 8.3).
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


class Sealed:
    """Items are encrypted with the first of `keys` (32 bytes each); the others, and `plain`, are only read."""

    def __init__(self, keys: Sequence[bytes], *, reads_plain: bool = False) -> None:
        self._ciphers = {_name(key): AESGCM(key) for key in keys}
        self._newest = _name(keys[0])
        self._secret = sha256(b"unpinned digest" + keys[0]).digest()
        self._plain = Plain() if reads_plain else None

    def digest(self, item: bytes) -> bytes:
        """An item that only its key opens."""
        return hmac.digest(self._secret, item, "sha256")[:DIGEST]

    def close(self, scope: bytes, digest: bytes, item: bytes) -> bytes:
        """The item, encrypted."""
        nonce = os.urandom(_NONCE)
        sealed = self._ciphers[self._newest].encrypt(nonce, item, scope + digest)
        return b"".join((MARK, self._newest, nonce, sealed))

    def open(self, scope: bytes, digest: bytes, value: bytes) -> bytes | None:
        """The item, if one of the keys opens it here."""
        if self._plain is not None and not value.startswith(MARK):
            return self._plain.open(scope, digest, value)
        cipher = self._ciphers.get(value[1 : 1 + _NAME]) if value.startswith(MARK) else None
        nonce, sealed = value[1 + _NAME : 1 + _NAME + _NONCE], value[1 + _NAME + _NONCE :]
        if cipher is None or len(nonce) < _NONCE:
            return None
        try:
            return cipher.decrypt(nonce, sealed, scope + digest)
        except InvalidTag:
            return None


def _name(key: bytes) -> bytes:
    return sha256(b"unpinned key" + key).digest()[:_NAME]
