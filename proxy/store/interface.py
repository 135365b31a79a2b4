"""The seam of the store: what every engine does.

An engine never answers from half of a conversation: what is incomplete, cut or not its own is not known.
"""

from collections.abc import Callable, Collection
from typing import Final, NamedTuple, Protocol

from proxy.responses.history.recall import Recalled
from proxy.responses.history.recording import Remembered
from proxy.store.conversations import Conversations
from proxy.store.envelope import Envelope, Plain

__all__ = ["DEFAULTS", "Engine", "Options", "Progress", "Recalled", "Remembered", "Store", "counted", "quietly"]


class Options(NamedTuple):
    """How much, how long and how an engine remembers."""

    lifetime: int = 30 * 24 * 3600
    """Seconds since its last use after which something is forgotten; upstream keeps responses as long."""
    largest: int = 64 * 1024 * 1024
    """Bytes of a conversation, or of items, beyond which they are not known: no request could hold them."""
    capacity: int = 256 * 1024 * 1024
    """Bytes that the store of one process takes."""
    envelope: Envelope = Plain()
    """What is kept of an item where others may look."""


DEFAULTS: Final = Options()

Progress = Callable[[int], None]


def counted(responses: int, items: int, conversations: int) -> str:
    """What a store holds, in words; conversations only where there are some."""
    kept = f", {conversations} conversations" if conversations else ""
    return f"{responses} responses, {items} items{kept}"


def quietly(_: int) -> None:
    """Report no progress."""


class Store(Protocol):
    """A store of responses. Each scope is isolated: one knows nothing of another."""

    lookups: int
    """How many lookups it performs at a time; more than that only wait for each other."""
    conversations: Conversations
    """Those that live in the store."""

    def is_unreachable(self, error: Exception) -> bool:
        """Whether an exception of this store says that no call can succeed now, whoever makes it."""

    async def recall(self, scope: str, response_id: str | None, item_ids: Collection[str]) -> Recalled:
        """What is known of a response's conversation, from its first turn on, and of items."""

    async def remember(self, scope: str, response: Remembered) -> None:
        """Remember a response, with what belongs to it; what is remembered already is replaced."""

    async def forget(self, scope: str, response_id: str) -> None:
        """Forget a response, and its items where no other response has them."""

    async def close(self) -> None:
        """Let go of what the store holds open."""


class Engine(Store, Protocol):
    """A store, as its operator knows it."""

    async def prepare(self) -> str:
        """Make what the store needs before it is first used; what was done, in a sentence."""

    async def standing(self) -> str:
        """A line about the server and what it holds. Raises the engine's exception where it cannot work."""

    async def purge(self, *, everything: bool = False, progress: Progress = quietly) -> int:
        """Forget what was not used for the TTL, or everything, conversations as well; the number of responses.

        `progress` is called with the number so far. It works in bounded memory, and goes on where it was interrupted.
        """
