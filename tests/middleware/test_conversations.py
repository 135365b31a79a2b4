"""Conversations of the store under faults: a process that dies between two steps, a store that fails, a slow answer."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import orjson
import pytest

from proxy.drivers import conversation_turn
from proxy.drivers.asgi import PortableMiddleware
from proxy.drivers.conversation_call import Options
from proxy.drivers.memory import MemoryBudget
from proxy.events import StoreFailed
from proxy.http.base_url import base_url
from proxy.middleware.conversations import ConversationsMiddleware
from proxy.middleware.recording import RecordingMiddleware
from proxy.responses.policy import Policy
from proxy.store import conversation_service
from proxy.store.conversation_service import ConversationService
from proxy.store.conversations import Conversations
from proxy.store.envelope import Plain
from proxy.store.memory import MemoryStore
from proxy.store.service import StoreService
from proxy.upstream.client import Http1Client
from proxy.upstream.reverse_proxy import ReverseProxy
from tests.middleware.test_recording import COMPLETED, DELTA, ME, RESPONSE, until
from tests.support.product import Notebook
from tests.support.raw_client import exchange, request
from tests.support.scripts import Gate, answer, cut_after, event_stream, json_answer
from tests.support.serving import serving
from tests.support.upstream_server import ScriptedUpstream

ITEM = {"role": "user", "content": "My name is Ada"}


class Mortal:
    """A store's engine, as a process uses it that dies after so many calls."""

    def __init__(self, engine: Any, left: int = 1 << 30) -> None:
        self.engine = engine
        self.left = left
        self.calls: list[str] = []
        self.broken: dict[str, int] = {}
        """How many of the next calls fail, by their names."""

    def __getattr__(self, name: str) -> Any:
        async def called(*arguments: Any, **options: Any) -> Any:
            self.calls.append(name)
            self.left -= 1
            self.broken[name] = self.broken.get(name, 0) - 1
            if self.left < 0 or self.broken[name] >= 0:
                raise ConnectionError
            return await getattr(self.engine, name)(*arguments, **options)

        return called


class Stage:
    """The product with conversations in a store of its own."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self.upstream = upstream
        self.store: Any = MemoryStore()
        self.kept = self.store._kept
        self.notebook = Notebook()
        self.memory = MemoryBudget()
        self.port = 0

    @contextmanager
    def running(self, left: int = 1 << 30, **options: Any) -> Iterator[Mortal]:
        """The product, which dies after so many calls of the store."""
        mortal = Mortal(self.kept, left)
        self.store.conversations = Conversations(mortal, Plain())
        url = base_url(self.upstream.url)
        service = StoreService(self.store, self.notebook)
        portable = PortableMiddleware(
            ReverseProxy(Http1Client(url), url, self.notebook),
            Policy(recalls=True),
            observer=self.notebook,
            service=service,
            memory=self.memory,
        )
        kept = ConversationService(self.store, self.notebook)
        service.before_close(kept.close)
        chosen = Options(app=portable, service=kept, resolved=portable, memory=self.memory, **options)
        app = RecordingMiddleware(ConversationsMiddleware(chosen, service.scope), service, portable.recording)
        with serving(app) as port:
            self.port = port
            yield mortal

    def send(self, method: bytes, path: bytes, body: Any = None) -> Any:
        """The answer to a request."""
        content = orjson.dumps(body) if body is not None else None
        return exchange(self.port, request(method, b"/v1" + path, [ME], content))

    def begun(self) -> str:
        """A conversation with an item."""
        found = orjson.loads(self.send(b"POST", b"/conversations", {"items": [ITEM]}).body)
        return str(found["id"])

    def ask(self, conversation: str, text: str = "x", **more: Any) -> Any:
        """The answer to a question."""
        body = {"model": "gpt-5", "input": text, "conversation": conversation, **more}
        return self.send(b"POST", b"/responses", body)

    @property
    def record(self) -> Any:
        """The only conversation that there is."""
        (record,) = self.kept._records.values()
        return record

    def wait_until_free(self) -> None:
        """Wait until no request holds the conversation."""
        until(lambda: not self.record.token)


@pytest.fixture
def stage(upstream: ScriptedUpstream) -> Stage:
    """The product before a scripted upstream."""
    return Stage(upstream)


def field(found: Any, name: str) -> str:
    """A field of an answer."""
    return next((value.decode() for key, value in found.fields if key.lower() == b"x-unpinned-" + name.encode()), "")


def given(upstream: ScriptedUpstream) -> list[Any]:
    """The input that upstream received last."""
    found: list[Any] = upstream.received[-1].json()["input"]
    return found


def streamed(gate: Gate) -> Any:
    """A stream that waits before its end."""
    whole = event_stream([DELTA, COMPLETED])
    return [*whole[:3], gate, *whole[3:]]


STEPS = ["lock", "change", "values", "change"]
"""The calls of a turn: its lock, what is asked (beside it the items of its history), what is answered."""


@pytest.mark.parametrize("step", range(len(STEPS) + 1))
def test_a_process_that_dies_between_two_steps(stage: Stage, upstream: ScriptedUpstream, step: int) -> None:
    """Wherever it dies, the turn is done, asked or not there, and the conversation goes on when its lock has ended."""
    upstream.will_answer(*[json_answer(RESPONSE)] * 2)
    with stage.running():
        conversation = stage.begun()
    with stage.running(left=step) as dying:
        first = stage.ask(conversation, "first")
        until(lambda: len(dying.calls) > step or not stage.record.token)
    assert dying.calls[: step + 1] == [*STEPS, *STEPS][: step + 1][: len(dying.calls)]
    assert first.status == (503 if step < 3 else 200)
    stage.record.until = 0.0
    upstream.will_answer(json_answer({**RESPONSE, "id": "resp_2"}))
    with stage.running():
        second = stage.ask(conversation, "second")
    texts = [str(item["content"]) for item in given(upstream)]
    assert second.status == 200
    assert texts[0] == "My name is Ada"
    assert texts[-1] == "second"
    assert len(texts) == {2: 3, 3: 3, 4: 4}.get(step, 2)
    assert (field(second, "store"), field(second, "fidelity")) == (
        ("gap", "lossy") if step in {2, 3} else ("hit", "lossless")
    )


@pytest.mark.parametrize(("failures", "rows"), [(3, 2), (9, 1)])
def test_an_answer_that_is_written_late(
    stage: Stage, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, failures: int, rows: int
) -> None:
    """Where the store fails behind an answer it is tried again; where that is in vain, the turn stays asked."""
    monkeypatch.setattr(conversation_turn, "_TRIES", (0.0, 0.01, 0.01))
    with stage.running() as engine:
        conversation = stage.begun()

        def break_it(_: Any) -> None:
            engine.broken["change"] = failures

        steps = json_answer(RESPONSE)
        upstream.will_answer([steps[0], break_it, *steps[1:]])
        stage.ask(conversation)
        until(lambda: engine.calls.count("change") >= min(failures + 2, 7))
    assert [row for row in stage.record.rows.values() if row[1]] == [*stage.record.rows.values()][:rows]
    assert stage.record.token == ("" if rows == 2 else stage.record.token)


def test_a_lock_is_renewed(stage: Stage, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """While an answer runs its lock does not end, however long it takes."""
    monkeypatch.setattr(conversation_turn, "RENEWED", 0.02)
    monkeypatch.setattr(conversation_turn, "LOCKED", 0.5)
    gate = Gate()
    upstream.will_answer(streamed(gate))
    with stage.running() as engine:
        conversation = stage.begun()
        client = threading.Thread(target=stage.ask, args=(conversation,), kwargs={"stream": True})
        client.start()
        until(lambda: engine.calls.count("renew") > 3)
        assert stage.ask(conversation).status == 400
        gate.open()
        client.join()
        stage.wait_until_free()
        assert len(stage.record.rows) == 2


def test_nothing_is_held_while_an_answer_streams(stage: Stage, upstream: ScriptedUpstream) -> None:
    """The history, and what was made of it, are let go of when the answer begins."""
    gate = Gate()
    upstream.will_answer(streamed(gate))
    with stage.running():
        conversation = stage.begun()
        client = threading.Thread(target=stage.ask, args=(conversation, "x" * 100_000), kwargs={"stream": True})
        client.start()
        gate.wait_reached()
        until(lambda: stage.memory.held == 0)
        gate.open()
        client.join()


def test_an_answer_that_cannot_be_read(stage: Stage, upstream: ScriptedUpstream) -> None:
    """An answer that the client has whole, and that says nothing we understand, leaves a gap and not nothing."""
    upstream.will_answer(answer(200, b"{", [(b"Content-Type", b"application/json")]), json_answer(RESPONSE))
    with stage.running():
        conversation = stage.begun()
        stage.ask(conversation)
        stage.wait_until_free()
        assert field(stage.ask(conversation), "store") == "gap"


@pytest.mark.parametrize("kind", ["cut", "failed", "unfinished"])
def test_an_answer_without_an_end(stage: Stage, upstream: ScriptedUpstream, kind: str) -> None:
    """A stream that breaks off, fails, or ends without its end adds nothing."""
    failed = {"type": "response.failed", "response": {**RESPONSE, "status": "failed"}}
    created = {"type": "response.created", "response": {**RESPONSE, "status": "in_progress"}}
    scripts = {
        "cut": cut_after(event_stream([created, DELTA])),
        "failed": event_stream([created, DELTA, failed]),
        "unfinished": event_stream([created, DELTA]),
    }
    upstream.will_answer(scripts[kind])
    with stage.running():
        conversation = stage.begun()
        with suppress(EOFError):
            stage.ask(conversation, stream=True)
        stage.wait_until_free()
        assert list(stage.record.rows) == [0]


def test_a_store_that_is_away(stage: Stage, upstream: ScriptedUpstream) -> None:
    """Nothing is sent on without its history, and no id is given out; what is none of ours passes."""
    with stage.running(left=0):
        for found in (
            stage.ask("conv_" + "0" * 48),
            stage.send(b"POST", b"/conversations", {}),
            stage.send(b"GET", b"/conversations/conv_" + b"0" * 48),
        ):
            assert (found.status, orjson.loads(found.body)["error"]["code"]) == (503, "store_unavailable")
            assert (b"x-should-retry", b"true") in found.fields
        assert not upstream.received
        upstream.will_answer(json_answer(RESPONSE), json_answer(RESPONSE))
        assert stage.ask("conv_x").status == 200
        assert stage.send(b"GET", b"/conversations/conv_x").status == 200
    assert any(isinstance(event, StoreFailed) and event.doing == "conversation" for event in stage.notebook.events)


def test_a_response_is_recorded_as_what_is_new(stage: Stage, upstream: ScriptedUpstream) -> None:
    """A response of a conversation continues the one before, so that its history is listed once."""
    upstream.will_answer(*(json_answer({**RESPONSE, "id": f"resp_{number}"}) for number in range(3)))
    with stage.running():
        conversation = stage.begun()
        stage.ask(conversation)
        stage.wait_until_free()
        stage.send(b"POST", f"/conversations/{conversation}/items".encode(), {"items": [ITEM]})
        stage.ask(conversation)
        stage.wait_until_free()
        stage.ask(conversation, store=False)
        stage.wait_until_free()
    turns = {
        name: (turn.previous, len(turn.items)) for (_, name), turn in stage.store._turns.items() if " " not in name
    }
    assert turns == {"resp_0": (None, 3), "resp_1": ("resp_0", 3)}


def test_one_scope_leaves_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many calls of one scope are slow, another's is served, and one that waits too long is refused."""
    monkeypatch.setattr(conversation_service, "_PATIENCE", 0.05)

    async def talk() -> None:
        store = MemoryStore()
        store.lookups = 4
        service = ConversationService(store, Notebook())
        forever = asyncio.Event()

        async def slow(_: Any) -> None:
            await forever.wait()

        async def quick(_: Any) -> int:
            return 1

        many = [asyncio.create_task(service.perform("greedy", slow)) for _ in range(20)]
        await asyncio.sleep(0)
        assert await service.perform("other", quick) == 1
        found = await asyncio.gather(*many, return_exceptions=True)
        assert {type(each) for each in found} == {conversation_service.UnavailableError}
        assert not service._shares

    asyncio.run(talk())
