"""Which caller a request belongs to: one set of header fields, one digest.

Lessons, the recovery budget and the store all isolate callers by this digest. The digest is also part of the keys of
a store on disk: another way to compute it would make every stored conversation unknown.

Every field that can authenticate a caller counts, because gateways put the key that tells tenants apart into fields of
their own, while `Authorization` holds the placeholder that an SDK insists on. A request without such a field, or with
an empty one only, has no caller: nothing is remembered and nothing is learnt for it.
"""

from collections.abc import Collection, Iterable
from typing import Final

# The interpreter's own, as its module `random` takes it, under the name since Python 3.12 or the one before. Amid a
# request it costs 3 µs, and OpenSSL's 15, whose code no processor has at hand then (measured 2026-11).
try:
    from _sha2 import sha256  # type: ignore[import-not-found, unused-ignore]
except ModuleNotFoundError:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found, unused-ignore]
    except ModuleNotFoundError:  # an interpreter that has OpenSSL's only
        from hashlib import sha256

FIELDS: Final = frozenset(
    {
        b"authorization",
        b"api-key",  # Azure
        b"x-api-key",  # LiteLLM, Kong, AWS API Gateway
        b"x-goog-api-key",
        b"ocp-apim-subscription-key",  # Azure API Management
        b"cf-aig-authorization",  # Cloudflare AI Gateway
        b"x-portkey-api-key",
        b"x-litellm-api-key",
        b"cookie",
        b"proxy-authorization",
    }
)
"""Lower-case names of the header fields that can authenticate a caller."""

_QUALIFIERS: Final = frozenset({b"openai-organization", b"openai-project"})
"""Fields that tell callers with one key apart; they are no secret, so that alone they make no caller."""

_NAMED: Final = FIELDS | _QUALIFIERS
_NO_SECRETS: Final = frozenset({b"", b"bearer", b"basic"})
_SCHEME: Final = 12
"""Bytes beyond which a value is more than a scheme, with white space around it as no client sends it."""

_SUBPROTOCOL: Final = b"sec-websocket-protocol"
_KEY: Final = b"openai-insecure-api-key."
"""What browsers put in front of a key, as they cannot send an `Authorization` on a WebSocket."""


def with_key(fields: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The fields of a WebSocket's handshake, with the key in its subprotocols where others are sent in a field."""
    came = list(fields)
    if any(name == b"authorization" for name, _ in came):
        return came
    offered = [part.strip() for name, value in came if name == _SUBPROTOCOL for part in value.split(b",")]
    keys = [part.removeprefix(_KEY) for part in offered if part.startswith(_KEY)]
    return [*came, *((b"authorization", b"Bearer " + key) for key in keys[:1])]


def credential(fields: Iterable[tuple[bytes, bytes]], more: Collection[bytes] = ()) -> str | None:
    """The digest, in hexadecimal, of the fields that identify the caller; None where there is no caller.

    `more` are lower-case names of further fields that can authenticate. The order of the fields does not matter. The
    digest is never logged, and never leaves the process but as a part of a store's keys.
    """
    names = _NAMED.union(more) if more else _NAMED
    named = sorted([field for field in fields if field[0] in names and _is_secret(field[1])])
    if {name for name, _ in named} <= _QUALIFIERS:
        return None
    digest: str = sha256(b"\0".join([part for field in named for part in field])).hexdigest()
    return digest


def _is_secret(value: bytes) -> bool:
    """Whether a field holds more than white space and the name of a scheme."""
    return len(value) > _SCHEME or value.strip().lower() not in _NO_SECRETS
