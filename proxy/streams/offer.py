"""A client's offer to go on as a byte stream (RFC 9110, 7.8), as an extension of ASGI's `http` scope.

The server puts an `Offer` into `scope["extensions"]["unpinned.tunnel"]`. An app answers as always, or sends

    {"type": "unpinned.tunnel.start", "headers": [(name, value), ...]}        the fields of the 101

and then calls `Offer.accept()` once for the client's stream, which begins with the bytes that came behind the head.
The app returns when the stream is gone. After any other answer the server closes the connection.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from proxy.streams.stream import Stream

EXTENSION: Final = "unpinned.tunnel"
START: Final = "unpinned.tunnel.start"


class Offer(NamedTuple):
    """What the server has for an app that takes the offer."""

    accept: Callable[[], Stream]
    """The client's stream, once the start was sent; raises ConnectionResetError where the client has left."""
    draining: asyncio.Event
    """Set when the process begins to end: no new tunnel is opened then."""


def offer_in(scope: Mapping[str, Any]) -> Offer | None:
    """The offer of the request with this scope; None where there is none, or the server cannot keep it."""
    offer: Offer | None = scope.get("extensions", {}).get(EXTENSION)
    return offer
