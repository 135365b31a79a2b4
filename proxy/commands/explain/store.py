"""The store as `explain` asks it: the one that is set, for the application that is named."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from proxy.app import store_service
from proxy.commands.explain.continuing import Asking, Continued
from proxy.drivers.conversation_turn import Conversation
from proxy.events import Observers
from proxy.responses.conversations.asked import question
from proxy.responses.conversations.refused import Refused
from proxy.settings import Settings
from proxy.store.conversation_service import ConversationService, UnavailableError


@contextmanager
def asking(settings: Settings) -> Iterator[Asking | None]:
    """How the store is queried; None without a store, or without a scope that says for which application.

    What belongs to a credential is not looked up: requests are explained without their keys.
    """
    service = store_service(settings, Observers()) if settings.store_scope is not None else None
    if service is None:
        yield None
        return
    scope = service.scope(()) or ""
    kept = ConversationService(service.store, Observers())

    async def continued(body: bytes) -> Continued | None:
        asked = question(body, b"")
        if asked is None:
            return None
        conversation = Conversation(kept, scope, asked, settings.store_max_conversation, "")
        try:
            history = await conversation.history(lambda _: None)
        except (Refused, UnavailableError):
            return None  # the client is told so, and nothing is sent
        if history is None:
            return None
        return Continued(asked.with_history(history.items), len(history.items), history.ledger.has_gap)

    with asyncio.Runner() as runner:
        try:
            yield Asking(
                lambda wanted: runner.run(service.recall(scope, wanted)),
                lambda body: runner.run(continued(body)),
                lives_in_store=settings.conversations != "upstream",
            )
        finally:
            runner.run(service.close())
