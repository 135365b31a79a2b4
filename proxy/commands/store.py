"""`unpinned store`: manages the conversation store.

Exit codes: 0 all is well, 1 the store does not do what it is for.
"""

import asyncio
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from proxy.app import open_store
from proxy.settings import Settings, SettingsError
from proxy.store.interface import Engine, Remembered

PATIENCE: Final = 10.0
"""Seconds that a question to the store may take; a purge may take as long as it takes."""

Work = Callable[[Engine], Awaitable[str]]


async def initialize(engine: Engine) -> str:
    """Make what the store needs, or bring it up to date."""
    async with asyncio.timeout(PATIENCE):
        return await engine.prepare()


async def look(engine: Engine) -> str:
    """Write a test entry to the store, read it back and delete it."""
    async with asyncio.timeout(PATIENCE):
        standing = await engine.standing()
        scope, item = f"check:{secrets.token_hex(8)}", b'{"role":"user","content":"unpinned store check"}'
        began = time.perf_counter()
        await engine.remember(scope, Remembered("resp_check", None, (item,)))
        found = await engine.recall(scope, "resp_check", ())
        await engine.forget(scope, "resp_check")
        took = (time.perf_counter() - began) * 1000
    if found.conversation != (item,):
        raise ForgetfulError
    return f"{standing}; write, read and delete check passed in {took:.1f} ms"


async def purge(engine: Engine) -> str:
    """Forget what was not used for the store's TTL."""
    return _forgotten(await engine.purge(progress=_shown))


async def purge_everything(engine: Engine) -> str:
    """Forget all that any Unpinned remembered there."""
    return _forgotten(await engine.purge(everything=True, progress=_shown))


def _shown(count: int) -> None:
    """Progress on a terminal; a purge of a million responses takes minutes."""
    if count and count % 1000 == 0 and sys.stderr.isatty():
        sys.stderr.write(f"{count:,} forgotten so far\r")


def _forgotten(count: int) -> str:
    return f"{count} {'response' if count == 1 else 'responses'} forgotten"


class ForgetfulError(Exception):
    """A test entry that was written could not be read back: not with these keys, or not at all."""

    def __str__(self) -> str:
        return "the test entry that was written could not be read back"


def upkeep(settings: Settings, work: Work) -> int:
    """Do the work and print its result; the exit code. Raises SettingsError."""
    engine = open_store(settings)
    if engine is None:
        raise SettingsError("UNPINNED_STORE is off, so there is no store.")
    try:
        said = asyncio.run(_done(engine, work))
    except Exception as error:  # noqa: BLE001 -- each engine's client has its own exceptions
        sys.stdout.write(f"BAD  the store ({_named(settings.store)}): {_reason(error)}\n")
        return 1
    sys.stdout.write(f"ok   the store ({_named(settings.store)}): {said}\n")
    return 0


async def _done(engine: Engine, work: Work) -> str:
    try:
        return await work(engine)
    finally:
        await engine.close()


def _named(url: str) -> str:
    """A store's URL without credentials and options."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.scheme else url


def _reason(error: Exception) -> str:
    """What is wrong, on one line and without parameters."""
    if isinstance(error, TimeoutError):
        return f"no answer in {PATIENCE:.0f} seconds"
    cause = getattr(error, "orig", None) or error
    return (str(cause) or type(cause).__name__).splitlines()[0]
