"""The store that a setting names."""

from proxy.store.memory import MemoryStore
from proxy.store.seam import Store


def opened(setting: str) -> Store:
    """The store. Raises ModuleNotFoundError where the package that it needs is not installed."""
    if setting == "memory":
        return MemoryStore()

    from proxy.store.redis import RedisStore  # noqa: PLC0415 -- who has no Redis need not load its client

    return RedisStore(setting)
