"""Conversations with a store, and what is said in them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from proxy.store.interface import Recalled, Remembered, Store

USER = b'{"role":"user","content":"1e400 \\ud800"}'
SAID = b'{"type":"message","id":"msg_1","role":"assistant","content":"hi"}'
NEXT = b'{"role" : "user","content":"and?"}'
LAST = b'{"type":"message","id":"msg_2","role":"assistant","content":"ho"}'


def made(response_id: str, previous: str | None, items: tuple[bytes, ...], given: int = 0) -> Remembered:
    """A response to remember, of which upstream made all items but the first `given`."""
    return Remembered(response_id, previous, items, len(items) - given)


FIRST = made("resp_1", None, (USER, SAID))
SECOND = made("resp_2", "resp_1", (NEXT, LAST))
NOTHING = Recalled(None, {})
KEY = bytes(range(32))
OVERHEAD = 33
"""Bytes that encryption adds to an item."""

Open = Callable[..., Store]
Talk = Callable[[Store], Coroutine[Any, Any, None]]


def run(engine: Callable[[], Store], talk: Talk) -> None:
    """Have a conversation with a store."""

    async def whole() -> None:
        store = engine()
        try:
            await talk(store)
        finally:
            await store.close()

    asyncio.run(whole())
