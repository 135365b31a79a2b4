"""The routes under `/conversations`, answered from the store: it performs what `responses/conversations` decides.

A change is made under the conversation's lock; what only reads takes none.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final, NamedTuple, TypeVar

from proxy.drivers.work import Work
from proxy.responses.body.size import cost_of
from proxy.responses.conversations import bodies, refused
from proxy.responses.conversations.bodies import Asked, Query
from proxy.responses.conversations.items import id_in, shown
from proxy.responses.conversations.ledger import DIGEST, Kept, Ledger, Turn, count_of, names, size_of
from proxy.responses.history.recall import AGAIN
from proxy.responses.steps import Compute
from proxy.store.conversation_service import ConversationService
from proxy.store.conversations import Conversations, Lock

_PATH: Final = re.compile(
    rb"/conversations(?:/(?P<id>conv_[0-9a-f]{48})(?P<items>/items(?:/(?P<item>[A-Za-z0-9_-]{1,256}))?)?)?\Z"
)

_Result = TypeVar("_Result")


class Place(NamedTuple):
    """What a path names: all conversations, one of them, its items, or one of these."""

    conversation_id: str = ""
    kind: str = "all"
    item_id: str = ""


def place_of(path: bytes) -> Place | None:
    """What a raw path names; None where it is no route of conversations, or has an id that none of ours can have."""
    found = _PATH.search(path) if b"/conversations" in path else None
    if found is None:
        return None
    if found["id"] is None:
        return Place()
    kind = "item" if found["item"] else "items" if found["items"] else "one"
    return Place(found["id"].decode(), kind, (found["item"] or b"").decode())


class Request(NamedTuple):
    """One request of an owner."""

    owner: str
    place: Place
    query: str
    body: bytes | None
    """Decoded; None where it cannot be."""
    request_id: str


class Routes:
    """The answers to requests under `/conversations`; of a conversation at most `largest` bytes."""

    def __init__(self, service: ConversationService, largest: int) -> None:
        self.service = service
        self.largest = largest

    async def answer(self, method: str, asked: Request, work: Work, reserve: Callable[[int], None]) -> bytes | None:
        """The JSON of the answer, whose bytes are reserved; None where the conversation is not known here.

        Raises Refused, and UnavailableError.
        """
        return await _ROUTES[method, asked.place.kind](_Call(self, asked, work, reserve))


class _Call:
    """One request, and what it asks of the store."""

    def __init__(self, routes: Routes, asked: Request, work: Work, reserve: Callable[[int], None]) -> None:
        self.routes = routes
        self.asked = asked
        self.work = work
        self.reserve = reserve

    @property
    def id(self) -> str:
        """That of the conversation."""
        return self.asked.place.conversation_id

    async def perform(self, work: Callable[[Conversations], Awaitable[_Result]]) -> _Result:
        """What comes of a call of the store."""
        return await self.routes.service.perform(self.asked.owner, work, self.asked.request_id)

    async def read(self, reader: Callable[[bytes], _Result]) -> _Result:
        """What `reader` makes of the body."""
        body = self.asked.body
        if body is None:
            raise refused.unreadable()
        found: _Result = await self.work.perform(Compute(partial(reader, body), cost_of(body)))
        return found

    async def ledger(self) -> Ledger | None:
        """The conversation without its items."""
        return await self.perform(lambda kept: kept.ledger(self.asked.owner, self.id))

    async def settled(self) -> Ledger | None:
        """The same; where a turn is being answered a moment later, because that may just be being written."""
        ledger = await self.ledger()
        for pause in AGAIN:
            if ledger is None or ledger.visible == ledger.turns:
                break
            await asyncio.sleep(pause)
            ledger = await self.ledger()
        return ledger

    async def changed(self, change: Callable[[Lock, Ledger], Awaitable[bytes]]) -> bytes | None:
        """What comes of a change, made under the lock; None where there is no such conversation."""
        held = await self.routes.service.lock(self.asked.owner, self.id, self.asked.request_id)
        if held == "held":
            raise refused.locked()
        if held == "unknown":
            return None
        done = False
        try:
            answer = await change(held.lock, held.ledger)
            done = True
        finally:
            if not done:
                await self.routes.service.finish(self._released(held.lock))
        return answer

    async def _released(self, lock: Lock) -> None:
        await self.perform(lambda kept: kept.release(lock))

    async def kept(self, asked: Asked, before: Ledger) -> list[Kept]:
        """The items of a body, with names."""
        known = await self.routes.service.known(self.asked.owner, asked.references, self.asked.request_id)
        items = bodies.resolved(asked, known, before)
        size, count = size_of(before.turns) + sum(map(len, items)), count_of(before.turns) + len(items)
        refused.check_room(size, count, self.routes.largest)
        return [*map(Kept, items, names([id_in(item) for item in items], secrets.token_bytes(16)))]

    async def shown(self, marks: list[bytes], query: Query, *, has_more: bool) -> bytes | None:
        """A list of the items with these marks; None where they are not there any more."""
        items = await self.perform(lambda kept: kept.items(self.asked.owner, marks))
        if items is None:
            return None
        self.reserve(2 * sum(map(len, items)))
        make = partial(
            bodies.listed, self.id, bodies.with_names(items, marks), has_more=has_more, include=query.include
        )
        found: bytes = await self.work.perform(Compute(make, sum(map(len, items))))
        return found


async def _create(call: _Call) -> bytes | None:
    asked = await call.read(bodies.creation)
    lock = Lock(call.asked.owner, f"conv_{secrets.token_hex(24)}", "")
    made = Ledger(asked.metadata, int(time.time()))
    kept = await call.kept(asked, made)
    await call.perform(lambda found: found.create(lock, made.metadata, made.made, kept))
    return bodies.conversation(lock.conversation_id, made)


async def _retrieve(call: _Call) -> bytes | None:
    ledger = await call.ledger()
    return bodies.conversation(call.id, ledger) if ledger is not None else None


async def _update(call: _Call) -> bytes | None:
    async def change(lock: Lock, ledger: Ledger) -> bytes:
        metadata = await call.read(bodies.update)
        if not await call.perform(lambda kept: kept.describe(lock, metadata)):
            raise refused.locked()
        return bodies.conversation(call.id, ledger._replace(metadata=metadata))

    return await call.changed(change)


async def _delete(call: _Call) -> bytes | None:
    async def change(lock: Lock, _: Ledger) -> bytes:
        if not await call.perform(lambda kept: kept.forget(lock)):
            raise refused.locked()
        return bodies.deleted(call.id)

    return await call.changed(change)


async def _add_items(call: _Call) -> bytes | None:
    async def change(lock: Lock, ledger: Ledger) -> bytes:
        kept = await call.kept(await call.read(bodies.addition), ledger)
        turn = Turn(ledger.next, True, b"", 0)
        if await call.perform(lambda found: found.append(lock, turn, kept, unlocks=True)) is None:
            raise refused.locked()
        return bodies.listed(call.id, kept, has_more=False)

    return await call.changed(change)


async def _list_items(call: _Call) -> bytes | None:
    for _ in range(2):  # a second time where an item went between the two looks
        ledger = await call.settled()
        if ledger is None:
            return None
        wanted = bodies.query(call.asked.query)
        page = bodies.page(ledger, wanted)
        found = await call.shown(page.marks, wanted, has_more=page.has_more)
        if found is not None:
            return found
    return None


async def _retrieve_item(call: _Call) -> bytes | None:
    ledger = await call.settled()
    if ledger is None:
        return None
    include = bodies.query(call.asked.query).include
    mark = bodies.place_of(ledger, call.asked.place.item_id).mark
    items = await call.perform(lambda kept: kept.items(call.asked.owner, [mark]))
    if items is None:
        raise refused.item_not_found(call.asked.place.item_id)
    return shown(items[0], mark[DIGEST:], call.id, include)[1]


async def _delete_item(call: _Call) -> bytes | None:
    async def change(lock: Lock, ledger: Ledger) -> bytes:
        place = bodies.place_of(ledger, call.asked.place.item_id)
        items = await call.perform(lambda kept: kept.items(call.asked.owner, [place.mark]))
        turn = place.without(len(items[0]) if items else 0)
        digest = place.mark[:DIGEST]
        if not await call.perform(lambda kept: kept.take_out(lock, ledger, turn, digest)):
            raise refused.locked()
        return bodies.conversation(call.id, ledger)

    return await call.changed(change)


_ROUTES: Final[Mapping[tuple[str, str], Callable[[_Call], Awaitable[bytes | None]]]] = MappingProxyType(
    {
        ("POST", "all"): _create,
        ("GET", "one"): _retrieve,
        ("POST", "one"): _update,
        ("DELETE", "one"): _delete,
        ("POST", "items"): _add_items,
        ("GET", "items"): _list_items,
        ("GET", "item"): _retrieve_item,
        ("DELETE", "item"): _delete_item,
    }
)


def serves(method: str, place: Place) -> bool:
    """Whether there is such a route."""
    return (method, place.kind) in _ROUTES
