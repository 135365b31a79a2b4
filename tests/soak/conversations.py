"""`python -m tests.soak.conversations`: many writers of conversations in a store, and what it holds in the end.

Two processes of the proxy share the store. Each conversation has several writers, who add items and ask for responses
at once. In the end each write that was acknowledged must be there once, with its answer, one that was refused must not,
and what began when another had ended must stand behind it. No lock may be left. Needs redis-server and PostgreSQL.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, Literal, NamedTuple

from proxy.responses.conversations.ledger import marks_of
from proxy.store.factory import opened
from tests.bench.conversations import store_of
from tests.soak.wire import Cut, Head, Wire, message
from tests.support.process import running

SCOPE: Final = "soak"
_PATIENCE: Final = 30.0
_JSON: Final = {b"Host": b"x", b"Content-Type": b"application/json", b"Authorization": b"Bearer k"}
_OUTCOMES: Final = {200: "kept", 400: "locked", 503: "unknown"}

Outcome = Literal["kept", "locked", "unknown"]


class Size(NamedTuple):
    """How much is written."""

    seconds: float = 60
    conversations: int = 1000
    writers: int = 5
    at_once: int = 40
    """Writes that are under way at a time: the others wait for their turn."""
    servers: int = 2


@dataclass
class Write:
    """One write of one writer."""

    text: str
    asks: bool
    """It asks for a response; or it adds an item."""
    began: float
    ended: float = 0.0
    outcome: Outcome = "unknown"


class Books:
    """What was written, by conversation."""

    def __init__(self) -> None:
        self.writes: defaultdict[str, list[Write]] = defaultdict(list)

    @property
    def counts(self) -> Counter[str]:
        """How often which came of which."""
        every = [write for writes in self.writes.values() for write in writes]
        return Counter(f"{'responses' if write.asks else 'items'}, {write.outcome}" for write in every)

    def compare(self, conversation: str, held: Sequence[tuple[str, str]]) -> None:
        """Fail where the messages that a conversation holds (role and text) are not those that were written."""
        writes = {write.text: write for write in self.writes[conversation]}
        asked = [text for role, text in held if role == "user"]
        times = Counter(asked)
        assert times.keys() <= writes.keys(), f"nobody wrote {times.keys() - writes.keys()}"
        for text, write in writes.items():
            allowed = {"kept": (1,), "locked": (0,), "unknown": (0, 1)}[write.outcome]
            assert times[text] in allowed, f"{text} ({write.outcome}) is there {times[text]} times"
        answered = {
            text for (_, text), after in zip(held, [*held[1:], ("", "")], strict=True) if after == _answer(text)
        }
        assert [("assistant", text) for role, text in held if role != "user"] == [
            _answer(text) for text in asked if text in answered
        ]
        missing = {write.text for write in writes.values() if write.asks and write.outcome == "kept"} - answered
        assert not missing, f"no answer to {missing}"
        self._in_order([writes[text] for text in asked])

    def _in_order(self, writes: Sequence[Write]) -> None:
        latest = 0.0
        for write in writes:
            ended = write.ended if write.outcome == "kept" else float("inf")
            assert ended >= latest, f"{write.text} had ended before another began that stands before it"
            latest = max(latest, write.began)


def _answer(text: str) -> tuple[str, str]:
    return "assistant", f"re: {text}"


class Upstream:
    """Answers each question with a message that repeats it."""

    def __init__(self) -> None:
        self._numbers = count()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        wire = Wire(reader, writer)
        try:
            while True:
                asked = json.loads(await wire.body(await wire.head()))["input"]
                await wire.send(message(b"HTTP/1.1 200 OK", {b"Content-Type": b"application/json"}, self._made(asked)))
        except (Cut, asyncio.CancelledError):  # the client is gone, or all is over
            wire.reset()

    def _made(self, asked: Any) -> bytes:
        number = next(self._numbers)
        text = _answer(text_of(asked[-1]) if isinstance(asked, list) else asked)[1]
        part = {"type": "output_text", "text": text, "annotations": []}
        said = {"id": f"msg_{number}", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
        made = {"id": f"resp_{number}", "object": "response", "status": "completed", "output": [said]}
        return json.dumps(made).encode()


def text_of(item: Any) -> str:
    """The text of a message."""
    content = item["content"]
    return content if isinstance(content, str) else content[0]["text"]


class Writers:
    """All that write, in their turns."""

    def __init__(self, ports: Sequence[int], size: Size, books: Books) -> None:
        self._idle: dict[int, list[Wire]] = {port: [] for port in ports}
        self._ports = ports
        self._size = size
        self._books = books
        self._turns = asyncio.Semaphore(size.at_once)

    async def send(self, port: int, path: str, body: Any) -> tuple[Head, bytes]:
        """The answer to a request; raises Cut."""
        wire = self._idle[port].pop() if self._idle[port] else await Wire.connected(port)
        await wire.send(message(f"POST /v1{path} HTTP/1.1".encode(), _JSON, json.dumps(body).encode()))
        head = await wire.head()
        found = head, await wire.body(head)
        self._idle[port].append(wire)
        return found

    async def begin(self) -> str:
        """A new conversation."""
        async with self._turns:
            _, body = await self.send(self._ports[0], "/conversations", {})
        found: str = json.loads(body)["id"]
        return found

    async def write(self, conversation: str, writer: int, end: float) -> None:
        """Write again and again until it is over, once at least."""
        port = self._ports[writer % len(self._ports)]
        for number in count():
            async with self._turns:
                if number and time.monotonic() > end:
                    return
                write = Write(f"{writer}-{number}", (writer + number) % 2 == 0, time.monotonic())
                self._books.writes[conversation].append(write)
                await self._write(port, conversation, write)

    async def _write(self, port: int, conversation: str, write: Write) -> None:
        path, body = f"/conversations/{conversation}/items", {"items": [{"role": "user", "content": write.text}]}
        if write.asks:
            path, body = "/responses", {"model": "m", "input": write.text, "conversation": conversation}  # type: ignore[dict-item]
        try:
            head, answer = await self.send(port, path, body)
        except Cut:
            return
        assert head.status in _OUTCOMES, (head, answer)
        assert head.status != 400 or b"conversation_locked" in answer, answer
        write.outcome, write.ended = _OUTCOMES[head.status], time.monotonic()  # type: ignore[assignment]

    def close(self) -> None:
        """Let go of the connections."""
        for wires in self._idle.values():
            for wire in wires:
                wire.reset()


async def _checked(url: str, books: Books) -> int:
    """Compare the books with what the store holds; how many conversations have a question without an answer."""
    store, gaps, end = opened(url), 0, time.monotonic() + _PATIENCE
    try:
        for conversation in books.writes:
            ledger = await store.conversations.ledger(f"name:{SCOPE}", conversation)
            while ledger is not None and ledger.locked:
                assert time.monotonic() < end, f"{conversation} is still locked"
                await asyncio.sleep(0.1)
                ledger = await store.conversations.ledger(f"name:{SCOPE}", conversation)
            assert ledger is not None, f"{conversation} is lost"
            items = await store.conversations.items(f"name:{SCOPE}", marks_of(ledger.visible))
            assert items is not None, f"an item of {conversation} is lost"
            books.compare(conversation, [(item["role"], text_of(item)) for item in map(json.loads, items)])
            gaps += ledger.has_gap
    finally:
        await store.close()
    return gaps


async def _written(url: str, size: Size, stack: ExitStack) -> tuple[Books, int]:
    """Have it written, and compare; the books, and how many conversations have a gap."""
    books, loop = Books(), Upstream()
    upstream = await asyncio.start_server(loop.answer, "127.0.0.1", 0)
    where = f"http://127.0.0.1:{upstream.sockets[0].getsockname()[1]}"
    settings = {"UNPINNED_STORE": url, "UNPINNED_STORE_SCOPE": SCOPE, "UNPINNED_CONVERSATIONS": "store"}
    settings["UNPINNED_LOG_LEVEL"] = "warning"
    processes = [
        stack.enter_context(running("--upstream", where, "--log-level", "info", **settings))
        for _ in range(size.servers)
    ]
    writers = Writers([process.port for process in processes], size, books)
    conversations = await asyncio.gather(*(writers.begin() for _ in range(size.conversations)))
    end = time.monotonic() + size.seconds
    every = [(conversation, writer) for conversation in conversations for writer in range(size.writers)]
    await asyncio.gather(*(writers.write(conversation, writer, end) for conversation, writer in every))
    gaps = await _checked(url, books)
    writers.close()
    upstream.close()
    return books, gaps


def soaked(engine: str, size: Size) -> tuple[Books, int]:
    """The books of a run on an engine, and how many conversations have a question without an answer in the end."""
    with ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-"))
        return asyncio.run(_written(store_of(engine, place, stack), size, stack))


def main() -> None:
    """Have conversations written, and say what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.conversations", description=__doc__)
    for name, value in Size()._asdict().items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"[{value}]")
    parser.add_argument("--engines", default="sqlite,redis,postgresql", help="[sqlite,redis,postgresql]")
    options = vars(parser.parse_args())
    engines = options.pop("engines").split(",")
    for engine in engines:
        books, gaps = soaked(engine, Size(**options))
        told = ", ".join(f"{count:,} {name}" for name, count in sorted(books.counts.items()))
        sys.stdout.write(
            f"{engine}: {len(books.writes):,} conversations, {told}; gaps: {gaps}; nothing lost or twice\n"
        )


if __name__ == "__main__":
    main()
