"""The seam of the store: what every engine does.

An engine never answers from half of a conversation: what is incomplete, cut or not its own is not known.
"""

from collections.abc import Collection
from typing import Final, Protocol

from proxy.responses.recall import Recalled
from proxy.responses.remembering import Remembered

__all__ = ["LARGEST", "Recalled", "Remembered", "Store"]


LARGEST: Final = 64 * 1024 * 1024
"""Bytes of a conversation beyond which it is not known: no request could hold it."""


class Store(Protocol):
    """What remembers responses, by scope; whoever is not of a scope knows nothing of it."""

    async def recall(self, scope: str, response_id: str | None, item_ids: Collection[str]) -> Recalled:
        """What is known of a response's conversation, from its first turn on, and of items."""

    async def remember(self, scope: str, response: Remembered) -> None:
        """Remember a response; one that is remembered already is replaced."""

    async def forget(self, scope: str, response_id: str) -> None:
        """Forget a response and its items."""

    async def close(self) -> None:
        """Let go of what the store holds open."""
