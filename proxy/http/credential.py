"""Which caller a request belongs to: one set of header fields, one digest.

Lessons, the recovery budget and the store all isolate callers by this digest. The digest is also part of the keys of
a store on disk: another way to compute it would make every stored conversation unknown.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

FIELDS: Final = frozenset({b"authorization", b"api-key", b"openai-organization", b"openai-project"})
"""Lower-case names of the header fields that identify a caller. `api-key` is Azure's."""


def credential(fields: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The digest, in hexadecimal, of the fields that identify the caller; None for a request that has none of them.

    The order of the fields does not matter. The digest is never logged, and never leaves the process but as a part of
    a store's keys.
    """
    named = sorted([field for field in fields if field[0] in FIELDS])
    if not named:
        return None
    return sha256(b"\0".join([part for field in named for part in field])).hexdigest()
