"""The store that a setting names."""

from proxy.store.memory import MemoryStore
from proxy.store.seam import Store


def opened(_setting: str) -> Store:
    """The store."""
    return MemoryStore()
