"""The next piece of a client's body, waited for no longer than may be."""

import asyncio

from starlette.types import Receive

from proxy.faults import hop_fault


class ClientGone(Exception):  # noqa: N818 - nobody's error: it says what happened
    """The client left before its request was whole."""


async def next_piece(receive: Receive, idle: float) -> tuple[bytes, bool]:
    """The next bytes of the body and whether more follow, after at most `idle` seconds.

    Raises ClientGone, and a Fault (408) where the client falls silent.
    """
    try:
        async with asyncio.timeout(idle):
            message = await receive()
    except TimeoutError:
        raise hop_fault("client_upload_timeout") from None
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message.get("body", b""), message.get("more_body", False)
