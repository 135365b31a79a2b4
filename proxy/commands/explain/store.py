"""The store as `explain` asks it: the one that is set, for the application that is named."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from proxy.app import keeping
from proxy.commands.explain.verdict import Ask
from proxy.events import Observers
from proxy.settings import Settings


@contextmanager
def asking(settings: Settings) -> Iterator[Ask | None]:
    """Who asks the store; None where there is none, or where it cannot be told for whom.

    What belongs to a credential is not asked for: requests are explained without their keys.
    """
    keeper = keeping(settings, Observers()) if settings.store_scope is not None else None
    if keeper is None:
        yield None
        return
    scope = keeper.scope(())
    with asyncio.Runner() as runner:
        try:
            yield lambda wanted: runner.run(keeper.recall(scope, wanted))
        finally:
            runner.run(keeper.close())
