"""An answer on its way to the client, as the middlewares around an app see it: one pass for all of them.

Each middleware may be mounted by itself, and gives the app behind it the `send` of a `Passing`. Where the next one is
a middleware of ours as well, it takes part in that pass, so that a piece of a stream costs one call and not one each.
"""

from collections.abc import Callable
from typing import Final

from starlette.types import Message, Send

from proxy.http.context import Sent
from proxy.streams.offer import START

_STARTS: Final = frozenset({"http.response.start", START})


class Passing:
    """The messages of one answer, which go on to `send`."""

    __slots__ = ("_at_start", "_send", "has_begun", "is_complete")

    def __init__(self, send: Send) -> None:
        self._send = send
        self._at_start: list[Callable[[Message], Message]] = []
        self.has_begun = False
        self.is_complete = False
        """The last piece of its body has passed."""

    def at_start(self, act: Callable[[Message], Message]) -> None:
        """Have the start of the answer replaced by what `act` returns, which the middlewares before see."""
        self._at_start.insert(0, act)

    def send(self, message: Message) -> Sent:
        """Give a message on."""
        if message["type"] in _STARTS:
            self.has_begun = True
            for act in self._at_start:
                message = act(message)
        else:
            self.is_complete = not message.get("more_body", False)
        return self._send(message)


def passing(send: Send) -> Passing:
    """The pass that `send` belongs to, or a new one that goes on to it."""
    owner = getattr(send, "__self__", None)
    return owner if isinstance(owner, Passing) else Passing(send)
