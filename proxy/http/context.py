"""What one request has waited for: written by whoever waits, read when the request is over.

Pure. Two sums of seconds in `scope["state"]["waits"]`; what is left of the time to the first byte is our own.
"""

from collections.abc import MutableMapping
from typing import Any


class Waits:
    """Seconds spent waiting for the client's body, and for upstream.

    A body that is sent on while it comes is upstream's time: nobody can tell who of the two was slow.
    """

    __slots__ = ("asked", "client", "upstream")

    def __init__(self) -> None:
        self.client = 0.0
        self.upstream = 0.0
        self.asked = False
        """Whether upstream has been asked: from then on nobody waits for the client."""


def waits_of(scope: MutableMapping[str, Any]) -> Waits:
    """The waits of the request with this scope."""
    state = scope.setdefault("state", {})
    waits: Waits | None = state.get("waits")
    if waits is None:
        waits = state["waits"] = Waits()
    return waits
