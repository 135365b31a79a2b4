"""The store that a setting names, and the envelope that keys make."""

from importlib import import_module
from typing import Final, NamedTuple

from proxy.store.envelope import Envelope, Plain
from proxy.store.interface import DEFAULTS, Engine, Options
from proxy.store.memory import MemoryStore


class Source(NamedTuple):
    """Where an engine is, and what is to be installed for it."""

    module: str
    name: str
    extra: str


_REDIS: Final = Source("proxy.store.redis", "RedisStore", "redis")
_SQL: Final = Source("proxy.store.sql", "SqlStore", "sql")
ENGINES: Final = {"redis": _REDIS, "rediss": _REDIS, "unix": _REDIS, "sqlite": _SQL, "postgresql": _SQL}
"""By the scheme of the URL that names a store. An engine is loaded when it is used."""


class MissingExtraError(Exception):
    """What a setting needs is not installed: the extra that brings it."""


def opened(setting: str, options: Options = DEFAULTS) -> Engine:
    """The store. Raises MissingExtraError, and ValueError where the URL is none for its engine."""
    if setting == "memory":
        return MemoryStore(options)
    source = ENGINES[setting.partition(":")[0]]
    try:
        module = import_module(source.module)
    except ModuleNotFoundError:
        raise MissingExtraError(source.extra) from None
    engine: Engine = getattr(module, source.name)(setting, options)
    return engine


def envelope(keys: tuple[bytes, ...], *, reads_plain: bool) -> Envelope:
    """What items are put into. Raises MissingExtraError."""
    if not keys:
        return Plain()
    try:
        from proxy.store.encryption import Sealed  # noqa: PLC0415 -- as above
    except ModuleNotFoundError:
        raise MissingExtraError("encryption") from None
    return Sealed(keys, reads_plain=reads_plain)
