"""A store for tests: what it is told it keeps, and it fails when it is told to."""

import asyncio
from collections.abc import Collection

import orjson

from proxy.responses.history.recall import Recalled
from proxy.responses.history.recording import ANSWER, Remembered
from proxy.store.memory import MemoryStore
from tests.support.product import Notebook


class Shelf:
    """A store in memory. Several Unpinned may share it; `broken` makes it raise, `slow` makes it wait."""

    lookups = 100

    def __init__(self) -> None:
        self.conversations = MemoryStore().conversations
        self.responses: dict[tuple[str, str], Remembered] = {}
        """By scope and name; not how they were answered."""
        self.answers: dict[tuple[str, str], Remembered] = {}
        """How they were answered."""
        self.broken = False
        self.full = False
        self.failures = 0
        """How many of the next calls fail, and one more that does not."""
        self.slow = 0.0
        self.asked = 0
        self.told = 0
        self.impossible = False
        self.poison = ""
        self.forgotten: list[str] = []
        self.closed = False
        self.notebook = Notebook()
        """What its user says of it."""

    async def _happen(self) -> None:
        if self.slow:
            await asyncio.sleep(self.slow)
        if self.failures:
            self.failures -= 1
        if self.impossible:
            raise ValueError
        if self.broken or self.failures:
            raise ConnectionError

    async def recall(self, scope: str, response_id: str | None, item_ids: Collection[str]) -> Recalled:
        """What was told."""
        self.asked += 1
        await self._happen()
        known = {id_: item for id_, item in self._items(scope).items() if id_ in item_ids}
        return Recalled(self._conversation(scope, response_id), known)

    def _items(self, scope: str) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for (owner, _), response in list(self.responses.items()):
            for item in response.items if owner == scope else ():
                found.update(dict.fromkeys(_ids(item), item))
        return found

    def _conversation(self, scope: str, response_id: str | None) -> tuple[bytes, ...] | None:
        items: tuple[bytes, ...] = ()
        while response_id is not None:
            response = {**self.responses, **self.answers}.get((scope, response_id))
            if response is None:
                return None
            items = response.items + items
            response_id = response.previous
        return items or None

    async def remember(self, scope: str, response: Remembered) -> None:
        """Keep it."""
        self.told += 1
        await self._happen()
        if self.full or response.response_id == self.poison:
            raise MemoryError
        for record in response.records:
            kept = self.answers if record.response_id.startswith(ANSWER) else self.responses
            kept[scope, record.response_id] = record._replace(besides=())

    async def forget(self, scope: str, response_id: str) -> None:
        """Keep it no more."""
        await self._happen()
        self.forgotten.append(response_id)
        self.responses.pop((scope, response_id), None)
        self.answers.pop((scope, response_id), None)

    def is_unreachable(self, error: Exception) -> bool:
        """Whether it was broken."""
        return isinstance(error, ConnectionError)

    async def close(self) -> None:
        """Note that nobody needs it any more."""
        self.closed = True


def _ids(item: bytes) -> list[str]:
    loaded = orjson.loads(item)
    return [loaded["id"]] if isinstance(loaded, dict) and "id" in loaded else []
