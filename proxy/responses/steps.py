"""What an exchange asks its driver to do, as values.

A driver performs a step and sends the result back; `proxy.responses.exchange` says which result belongs to which step.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

INLINE: Final = 64 * 1024
"""The cost up to which a `Compute` is performed on the event loop: at worst that takes about 0.1 s."""

ENOUGH: Final = 1.0
"""Seconds of processor time for the forms of one request; beyond them a refusal is relayed as it arrived."""


class Compute(NamedTuple):
    """Call `work()`, which is pure but may take long: in another thread where `cost` exceeds `INLINE`."""

    work: Callable[[], Any]
    cost: int
    """In bytes that are looked at closely; what is only skimmed counts for less."""


class Recall(NamedTuple):
    """Ask the store, `delay` seconds from now, for a response's conversation and for items."""

    response_id: str | None
    item_ids: tuple[str, ...]
    delay: float = 0.0
    compares: bool = False
    """The client also sends items of the model's, which are then compared with what the store knows."""


class Forward(NamedTuple):
    """Send `body` upstream, `delay` seconds from now."""

    body: bytes
    delay: float = 0.0


class Relay(NamedTuple):
    """Give the client the first refusal, byte for byte."""


Step = Compute | Recall | Forward | Relay
