"""Whether a store can do what it is for: a test entry, and a conversation of it, are written, read back and deleted.

The trial runs at start and, where the store is required, every few seconds; `unpinned check` and `unpinned store check`
run it once. Its result is one sentence, which names the store and never its password.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from proxy.responses.conversations.ledger import NAME, Kept, Turn, marks_of
from proxy.store.conversations import Conversations, Lock
from proxy.store.interface import Engine, Remembered

Result = TypeVar("Result")

_OPTIONS: Final = re.compile(r"[?#]")

PATIENCE: Final = 10.0
"""Seconds that a trial may take."""


class ForgetfulError(Exception):
    """A test entry that was written could not be read back: not with these keys, or not at all."""

    def __str__(self) -> str:
        return "the test entry that was written could not be read back"


async def look(engine: Engine) -> str:
    """Write a test entry to the store, read it back and delete it; a line about the store, and how long that took.

    Raises the engine's exception, TimeoutError or ForgetfulError.
    """
    async with asyncio.timeout(PATIENCE):
        standing = await engine.standing()
        began = time.perf_counter()
        await _round_trip(engine)
        took = (time.perf_counter() - began) * 1000
    return f"{standing}; write, read and delete check passed in {took:.1f} ms"


async def _round_trip(engine: Engine) -> None:
    scope, item = f"check:{secrets.token_hex(8)}", b'{"role":"user","content":"unpinned store check"}'
    await engine.remember(scope, Remembered("resp_check", None, (item,)))
    found = await engine.recall(scope, "resp_check", ())
    await engine.forget(scope, "resp_check")
    if found.conversation != (item,) or await _conversed(engine.conversations, scope, item) != [item, item]:
        raise ForgetfulError


async def _conversed(conversations: Conversations, scope: str, item: bytes) -> list[bytes] | None:
    """What is in a conversation of an item, to which the same is added, and which is then forgotten."""
    lock, kept = Lock(scope, "conv_check", secrets.token_hex(8)), [Kept(item, bytes(NAME))]
    await conversations.create(lock, b"{}", 0, kept)
    await conversations.lock(lock, PATIENCE)
    await conversations.append(lock, Turn(1, True, b"", 0), kept)
    ledger = await conversations.ledger(scope, lock.conversation_id)
    found = await conversations.items(scope, marks_of(ledger.turns)) if ledger is not None else None
    await conversations.forget(lock)
    return found


def named(url: str) -> str:
    """A store's URL without credentials and options; the scheme alone where it cannot be told where they end.

    Clients differ in how they read a password with `/`, `#`, `?` or `@` in it: what stands before the last `@` is left
    out, and so is everything where a `?` or `#` stands before one.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    place = _OPTIONS.split(rest, maxsplit=1)[0]
    if scheme.startswith("sqlite"):
        return f"{scheme}://{place}"
    return f"{scheme}://" if "@" in rest[len(place) :] else f"{scheme}://{place.rpartition('@')[2]}"


def reason(error: Exception) -> str:
    """What is wrong, on one line and without parameters."""
    if isinstance(error, TimeoutError):
        return f"no answer in {PATIENCE:.0f} seconds"
    cause = getattr(error, "orig", None) or error
    return (str(cause) or type(cause).__name__).splitlines()[0]


async def using(engine: Engine, work: Callable[[Engine], Awaitable[Result]]) -> Result:
    """The result of `work` with a store, which is closed in any case."""
    try:
        return await work(engine)
    finally:
        await engine.close()


class Trial:
    """The trials of the store at `url`.

    Each trial opens the store anew, and closes it: it depends on no connection, and keeps none open at the end.
    """

    def __init__(self, opened: Callable[[], Engine], url: str) -> None:
        self._opened = opened
        self.name = named(url)

    async def fault(self) -> str | None:
        """What is wrong with the store, used as by a first request (which makes missing tables); None: nothing."""
        try:
            await using(self._opened(), _tried)
        except Exception as error:  # noqa: BLE001 -- each engine's client has its own exceptions
            return reason(error)
        return None


async def _tried(engine: Engine) -> None:
    async with asyncio.timeout(PATIENCE):
        await _round_trip(engine)
