"""The store as `explain` asks it: the one that is set, for the application that is named."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from proxy.app import store_service
from proxy.commands.explain.verdict import Ask
from proxy.events import Observers
from proxy.settings import Settings


@contextmanager
def asking(settings: Settings) -> Iterator[Ask | None]:
    """A function that queries the store; None without a store, or without a scope that says for which application.

    What belongs to a credential is not looked up: requests are explained without their keys.
    """
    service = store_service(settings, Observers()) if settings.store_scope is not None else None
    if service is None:
        yield None
        return
    scope = service.scope(())
    with asyncio.Runner() as runner:
        try:
            yield lambda wanted: runner.run(service.recall(scope, wanted))
        finally:
            runner.run(service.close())
