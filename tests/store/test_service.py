"""The store is an aid, never a gate."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from proxy.events import StoreFailed
from proxy.responses.history.recall import Recalled
from proxy.responses.history.recording import Remembered
from proxy.responses.steps import Recall
from proxy.store import breaker, write_behind
from proxy.store import service as module
from proxy.store.service import StoreService, Terms
from tests.support.product import Notebook
from tests.support.shelf import Shelf

ITEM = b'{"type":"message","id":"msg_1"}'
FIRST = Remembered("resp_1", None, (ITEM,), 1)
ASK = Recall("resp_1", ())
FOUND = Recalled((ITEM,), {})
DOWN: Recalled | None = None


class Case:
    """A service with its store, its observer and its clock."""

    def __init__(self) -> None:
        self.shelf = Shelf()
        self.notebook = Notebook()
        self.now = 0.0
        self.service = StoreService(self.shelf, self.notebook, clock=lambda: self.now)

    @property
    def failures(self) -> list[str]:
        """What failed."""
        return [event.doing for event in self.notebook.events if isinstance(event, StoreFailed)]

    async def written(self) -> None:
        """Wait until nothing is left to be written."""
        assert self.service._queue.worker is not None
        await self.service._queue.worker


@pytest.fixture
def case() -> Case:
    """A case."""
    return Case()


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a test's conversation with the store."""
    asyncio.run(asyncio.wait_for(work, 20))


def test_what_was_told_is_known(case: Case) -> None:
    """What is remembered is known at once, also while it waits to be written, and until it is forgotten."""

    async def talk() -> None:
        case.service.remember("me", FIRST)
        assert case.shelf.told == 0
        assert await case.service.recall("me", ASK) == FOUND
        case.service.forget("me", "resp_1")
        assert await case.service.recall("me", ASK) == Recalled(None, {})
        assert await case.service.recall("you", ASK) == Recalled(None, {})

    run(talk())
    assert case.failures == []


def test_who_does_not_say_who_he_is(case: Case) -> None:
    """Without a credential nothing is known, and the store is not asked."""

    async def talk() -> None:
        assert await case.service.recall(None, ASK) == Recalled(None, {})

    run(talk())
    assert case.shelf.asked == 0


def test_whose_it_is() -> None:
    """Each credential is a scope of its own, told from others by its fields as well; a name joins them all."""
    service = StoreService(Shelf(), Notebook())
    headers = [
        [(b"authorization", b"Bearer a")],
        [(b"authorization", b"Bearer b")],
        [(b"api-key", b"Bearer a")],
        [(b"authorization", b"Bearer a"), (b"openai-organization", b"o")],
        [(b"authorization", b"Bearer a"), (b"openai-project", b"o")],
    ]
    scopes = [service.scope(fields) for fields in headers]
    assert len({*scopes, None}) == 6
    assert service.scope([*reversed(headers[3]), (b"user-agent", b"x")]) == scopes[3]
    assert service.scope([(b"user-agent", b"x")]) is None
    assert not any("Bearer" in (scope or "") for scope in scopes)
    named = StoreService(Shelf(), Notebook(), Terms(scope="shop"))
    assert {named.scope(fields) for fields in [*headers, []]} == {"name:shop"}


def test_a_lookup_has_a_deadline(case: Case) -> None:
    """A store that does not answer in time is down."""
    case.service = StoreService(case.shelf, case.notebook, Terms(timeout=0.01))
    case.shelf.slow = 60

    async def talk() -> None:
        assert await case.service.recall("me", ASK) is DOWN

    run(talk())
    assert case.failures == ["recall"]


def test_references_are_remembered_as_items(case: Case) -> None:
    """What a response only refers to is remembered as what it refers to, if that is known."""

    async def talk() -> None:
        reference, unknown = b'{"type":"item_reference","id":"msg_1"}', b'{"type":"item_reference","id":"msg_9"}'
        case.service.remember("me", FIRST)
        case.service.remember("me", Remembered("resp_2", None, (reference, unknown)))
        await case.written()
        assert await case.service.recall("me", Recall("resp_2", ())) == Recalled((ITEM, unknown), {})

    run(talk())


def test_what_is_too_large(case: Case) -> None:
    """A response with an item that is too large is not remembered, and that is said."""
    case.service = StoreService(case.shelf, case.notebook, Terms(largest=len(ITEM)))

    async def talk() -> None:
        case.service.remember("me", FIRST)
        case.service.remember("me", FIRST._replace(response_id="resp_2", items=(ITEM, ITEM + b" ")))
        await case.written()
        assert await case.service.recall("me", ASK) == FOUND

    run(talk())
    assert [response_id for _, response_id in case.shelf.responses] == ["resp_1"]
    assert case.failures == ["too_large"]


def test_a_write_that_does_not_land_has_the_same_deadline(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lookup that waits too long for its own write misses; that is no fault of the store's."""
    case.service = StoreService(case.shelf, case.notebook, Terms(timeout=0.01))
    case.shelf.slow = 60

    async def talk() -> None:
        case.service.remember("me", FIRST)
        assert await case.service.recall("me", ASK) == Recalled(None, {})
        assert case.shelf.asked == 0
        assert case.failures == []
        await case.service.close()

    monkeypatch.setattr(module, "_FLUSH", 0.01)
    run(talk())
    assert case.shelf.closed


def test_a_store_that_is_down_costs_nothing(case: Case) -> None:
    """It is left alone for longer and longer, up to half a minute, and asked again when that is over."""
    case.shelf.broken = True

    async def talk() -> None:
        pauses = []
        for _ in range(8):
            assert await case.service.recall("me", ASK) is DOWN
            asked = case.shelf.asked
            before = case.now
            while case.shelf.asked == asked:
                case.now += 0.5
                await case.service.recall("me", ASK)
            pauses.append(case.now - before)
        assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]
        case.shelf.broken = False
        case.now += 30
        assert await case.service.recall("me", ASK) == Recalled(None, {})
        case.shelf.broken = True
        assert await case.service.recall("me", ASK) is DOWN
        case.now += 0.5
        asked = case.shelf.asked
        await case.service.recall("me", ASK)
        assert case.shelf.asked == asked + 1

    run(talk())


def test_a_write_is_tried_again(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails lands when the store is back; one that never does is dropped, and the next one is tried."""
    monkeypatch.setattr(breaker, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(breaker, "_LONGEST_PAUSE", 0.001)
    service = StoreService(case.shelf, case.notebook)
    case.service = service

    async def talk() -> None:
        case.shelf.failures = 3
        service.remember("me", FIRST)
        await case.written()
        assert case.shelf.told == 3
        assert ("me", "resp_1") in case.shelf.responses
        case.shelf.broken = True
        case.shelf.told = 0
        service.remember("me", FIRST._replace(response_id="resp_2"))
        await case.written()
        assert case.shelf.told == write_behind.TRIES
        case.shelf.broken = False
        service.remember("me", FIRST._replace(response_id="resp_3"))
        await case.written()

    run(talk())
    assert [id_ for _, id_ in case.shelf.responses] == ["resp_1", "resp_3"]
    assert set(case.failures) == {"remember"}


def test_a_store_that_is_full_can_still_be_asked(case: Case) -> None:
    """Writes that fail do not keep anybody from what is known."""

    async def talk() -> None:
        case.service.remember("me", FIRST)
        await case.written()
        case.shelf.full = True
        case.service.remember("me", FIRST._replace(response_id="resp_2"))
        for _ in range(10):
            await asyncio.sleep(0)
        assert set(case.failures) == {"remember"}
        assert await case.service.recall("me", ASK) == FOUND

    run(talk())


def test_the_queue_is_bounded(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is more than may wait, in number or in bytes, is dropped, and said."""
    monkeypatch.setattr(write_behind, "_MOST", 2)
    monkeypatch.setattr(write_behind, "_MOST_BYTES", 3 * len(ITEM))

    async def talk() -> None:
        case.service.remember("me", FIRST)
        case.service.remember("me", FIRST._replace(response_id="resp_2", items=(ITEM,) * 3))
        case.service.forget("me", "resp_0")
        case.service.forget("me", "resp_0")
        await case.written()
        assert case.service._queue.size == 0

    run(talk())
    assert case.failures == ["overflow", "overflow"]
    assert [id_ for _, id_ in case.shelf.responses] == ["resp_1"]


def test_what_belongs_to_a_response_is_written_with_it(case: Case) -> None:
    """It is one write, it is waited for by its own name, and what of it is too large does not keep the response out."""
    large = Remembered("answer of resp_1", None, (b"x" * 100,))
    other = Remembered("answer of resp_1", None, FIRST.items)

    async def talk() -> None:
        case.service.remember("me", FIRST._replace(besides=(other,)))
        assert case.service._queue.size == sum(map(len, FIRST.items))
        found = await case.service.recall("me", Recall("answer of resp_1", ()))
        assert found is not None
        assert found.conversation == FIRST.items
        case.service._terms = Terms(largest=50)
        case.service.remember("me", FIRST._replace(response_id="resp_2", besides=(large._replace(response_id="x"),)))
        await case.written()

    run(talk())
    assert [id_ for _, id_ in case.shelf.responses] == ["resp_1", "resp_2"]
    assert case.shelf.answers == {("me", "answer of resp_1"): other}
    assert case.failures == []


def test_nothing_is_lost_at_the_end(case: Case) -> None:
    """Who closes waits for what is still to be written."""
    case.shelf.slow = 0.01

    async def talk() -> None:
        for number in range(10):
            case.service.remember("me", FIRST._replace(response_id=f"resp_{number}"))
        await case.service.close()

    run(talk())
    assert len(case.shelf.responses) == 10
    assert case.shelf.closed


def test_a_second_look_waits(case: Case) -> None:
    """A second look is taken as late as it was meant to be."""

    async def talk() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await case.service.recall("me", ASK._replace(delay=0.02))
        assert loop.time() - began >= 0.019

    run(talk())


def test_a_lookup_that_times_out_concerns_its_own_request(case: Case) -> None:
    """However often one caller's lookups time out, another's are still made; five callers in a row are the store's."""
    case.service = StoreService(case.shelf, case.notebook, Terms(timeout=0.001), clock=lambda: case.now)

    async def talk() -> None:
        case.shelf.slow = 60
        for _ in range(20):
            assert await case.service.recall("them", ASK) is DOWN
        case.shelf.slow = 0
        assert await case.service.recall("me", ASK) == Recalled(None, {})
        case.shelf.slow = 60
        for number in range(5):
            assert await case.service.recall(f"caller {number}", ASK) is DOWN
        case.shelf.slow = 0
        asked = case.shelf.asked
        assert await case.service.recall("me", ASK) is DOWN
        assert case.shelf.asked == asked
        case.now += 0.5
        assert await case.service.recall("me", ASK) == Recalled(None, {})

    run(talk())


def test_an_impossible_lookup_concerns_its_own_request(case: Case) -> None:
    """A lookup that the engine cannot perform is down for its request, and opens nothing."""

    async def talk() -> None:
        case.shelf.impossible = True
        assert await case.service.recall("them", ASK) is DOWN
        case.shelf.impossible = False
        assert await case.service.recall("me", ASK) == Recalled(None, {})

    run(talk())


def test_too_many_references(case: Case) -> None:
    """A request that refers to more than a conversation can hold misses, and the store is not asked."""

    async def talk() -> None:
        many = Recall(None, tuple(f"msg_{number}" for number in range(1001)))
        assert await case.service.recall("me", many) == Recalled(None, {})
        assert case.shelf.asked == 0
        assert await case.service.recall("me", many._replace(item_ids=many.item_ids[:1000])) == Recalled(None, {})
        assert case.shelf.asked == 1

    run(talk())


def test_one_probe_at_a_time(case: Case) -> None:
    """When the pause is over one lookup goes to the store; the others wait for what it finds out."""

    async def talk() -> None:
        case.shelf.broken = True
        await case.service.recall("me", ASK)
        case.now += 0.5
        case.shelf.slow = 0.01
        asked = case.shelf.asked
        found = await asyncio.gather(*[case.service.recall("me", ASK) for _ in range(5)])
        assert (found, case.shelf.asked) == ([DOWN] * 5, asked + 1)
        case.now += 1
        probe = asyncio.create_task(case.service.recall("me", ASK))
        await asyncio.sleep(0.001)
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        case.shelf.broken = False
        assert await case.service.recall("me", ASK) == Recalled(None, {})

    run(talk())


def test_a_turn_that_does_not_come(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lookup whose turn does not come is a miss of its request; waiting for it says nothing of the store."""
    monkeypatch.setattr(module, "_ADMISSION", 0.01)
    case.shelf.lookups = 1
    case.service = StoreService(case.shelf, case.notebook)
    case.shelf.slow = 0.1

    async def talk() -> None:
        first = asyncio.create_task(case.service.recall("them", ASK))
        await asyncio.sleep(0)
        assert await case.service.recall("me", ASK) == Recalled(None, {})
        assert await first == Recalled(None, {})

    run(talk())
    assert case.failures == []


def test_writes_are_fair(case: Case) -> None:
    """A caller with many writes waits for itself: another's is written after one of them."""

    async def talk() -> None:
        for number in range(10):
            case.service.remember("them", FIRST._replace(response_id=f"resp_{number}"))
        case.service.remember("me", FIRST)
        await case.written()

    run(talk())
    assert [scope for scope, _ in case.shelf.responses][:3] == ["them", "me", "them"]


def test_a_poisoned_write_is_dropped(case: Case) -> None:
    """A write that fails while others succeed is tried once more and dropped; nobody waits for it."""

    async def talk() -> None:
        case.shelf.poison = "resp_bad"
        case.service.remember("them", FIRST._replace(response_id="resp_bad"))
        case.service.remember("me", FIRST)
        await case.written()

    run(talk())
    assert case.failures == ["remember", "remember"]
    assert list(case.shelf.responses) == [("me", "resp_1")]
