"""`unpinned store`: manages the conversation store.

Exit codes: 0 all is well, 1 the store does not do what it is for.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable

from proxy.app import open_store
from proxy.settings import Settings, SettingsError
from proxy.store.interface import Engine
from proxy.store.trial import PATIENCE, named, reason, using

Work = Callable[[Engine], Awaitable[str]]


async def initialize(engine: Engine) -> str:
    """Make what the store needs, or bring it up to date."""
    async with asyncio.timeout(PATIENCE):
        return await engine.prepare()


async def purge(engine: Engine) -> str:
    """Forget what was not used for the store's TTL."""
    conversations = await engine.conversations.purge(_shown, everything=False)
    return _forgotten(await engine.purge(progress=_shown), conversations)


async def purge_everything(engine: Engine) -> str:
    """Forget all that any Unpinned remembered there."""
    conversations = await engine.conversations.purge(_shown, everything=True)
    return _forgotten(await engine.purge(everything=True, progress=_shown), conversations)


def _shown(count: int) -> None:
    """Progress on a terminal; a purge of a million responses takes minutes."""
    if count and count % 1000 == 0 and sys.stderr.isatty():
        sys.stderr.write(f"{count:,} forgotten so far\r")


def _forgotten(responses: int, conversations: int) -> str:
    kept = f" and {_counted(conversations, 'conversation')}" if conversations else ""
    return f"{_counted(responses, 'response')}{kept} forgotten"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def upkeep(settings: Settings, work: Work) -> int:
    """Do the work and print its result; the exit code. Raises SettingsError."""
    engine = open_store(settings)
    if engine is None:
        raise SettingsError("UNPINNED_STORE is off, so there is no store.")
    try:
        said = asyncio.run(using(engine, work))
    except Exception as error:  # noqa: BLE001 -- each engine's client has its own exceptions
        sys.stdout.write(f"BAD  the store ({named(settings.store)}): {reason(error)}\n")
        return 1
    sys.stdout.write(f"ok   the store ({named(settings.store)}): {said}\n")
    return 0
