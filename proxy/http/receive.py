"""The next piece of a client's body, waited for no longer than may be."""

import asyncio
from typing import cast

from starlette.types import Message, Receive

from proxy.http.faults import hop_fault


class ClientGone(Exception):  # noqa: N818 - no error: it states what happened
    """The client left before its request was whole."""


async def next_piece(receive: Receive, idle: float) -> tuple[bytes, bool]:
    """The next bytes of the body and whether more follow, after at most `idle` seconds.

    Raises ClientGone, and a Fault (408) where the client falls silent. Does what `asyncio.timeout` does, at a fifth of
    its 10 µs (measured 2026-11).
    """
    task = cast("asyncio.Task[None]", asyncio.current_task())
    silent = False

    def give_up() -> None:
        nonlocal silent
        silent = True
        task.cancel()

    timer = task.get_loop().call_later(idle, give_up)
    try:
        message = await receive()
    except asyncio.CancelledError:
        if silent and task.uncancel() == 0:
            raise hop_fault("client_upload_timeout") from None
        raise
    finally:
        timer.cancel()
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message.get("body", b""), message.get("more_body", False)


def whole(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `body` as a whole, and then what there is to be said of the client."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def given() -> Message:
        return messages.pop() if messages else await receive()

    return given
