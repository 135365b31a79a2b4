"""What can happen to one request: how its client asks, what upstream does, and what both must have seen in the end.

Client and upstream of an exchange know each other: each checks that what arrives is what the other has sent.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

import pytest

from tests.soak.wire import Cut, Head, Wire, chunk, message

RESPONSES = b"POST /v1/responses HTTP/1.1"
FILES = b"POST /v1/files HTTP/1.1"
STREAM = {b"Content-Type": b"text/event-stream", b"Transfer-Encoding": b"chunked"}
JSON = {b"Content-Type": b"application/json"}


@dataclass
class Exchange:
    """One request of one client. `attempts` are the requests that upstream received for it."""

    name: bytes
    chance: random.Random
    attempts: int = 0
    received: bytes = b""
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    abandoned: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def conversation(self) -> bytes:
        """A conversation that names items of another server."""
        turns = [
            [{"role": "user", "content": f"question {number}"}, {"type": "reasoning", "id": self.lost, "summary": []},
             {"type": "message", "role": "assistant", "id": f"msg_{number}", "content": "x" * 200}]
            for number in range(1 + len(self.name) % 4)
        ]  # fmt: skip
        items = [item for turn in turns for item in turn]
        return json.dumps({"model": "gpt-5", "input": [*items, {"role": "user", "content": "?"}]}).encode()

    @property
    def lost(self) -> str:
        """The id of the item that upstream does not find."""
        return f"rs_{self.name.decode()}"

    @property
    def answer(self) -> bytes:
        """What is answered."""
        return b'{"id": "resp_%s"}' % self.name

    @property
    def refusal(self) -> bytes:
        """The refusal of the attempt that runs."""
        error = {"message": f"Item with id '{self.lost}' not found.", "param": "input", "code": None}
        return json.dumps({"error": error, "attempt": self.attempts}).encode()

    @property
    def events(self) -> list[bytes]:
        """The events of a stream."""
        return [b"data: %s %d\n\n" % (self.name, number) for number in range(20)]

    @property
    def bulk(self) -> bytes:
        """A large body."""
        return sha256(self.name).digest() * 10_000

    def head(self, line: bytes, fields: dict[bytes, bytes], body: bytes | None = None) -> bytes:
        """A request with the exchange's name."""
        key = b"Bearer %s" % self.name
        return message(line, {b"Host": b"x", b"X-Exchange": self.name, b"Authorization": key, **fields}, body)

    async def send_conversation(self, wire: Wire) -> None:
        """Ask for a response."""
        await wire.send(self.head(RESPONSES, JSON, self.conversation))


Ask = Callable[[Exchange, Wire], Awaitable[None]]
Answer = Callable[[Exchange, Wire, Head], Awaitable[None]]


class Scenario(NamedTuple):
    """How often it happens, what each side does, and how many attempts upstream must have seen."""

    weight: int
    ask: Ask
    answer: Answer
    attempts: range = range(1, 2)


# What clients do.


async def _expect(exchange: Exchange, wire: Wire, status: int, body: bytes) -> Head:
    """The answer, whole, and as many attempts as it says."""
    head = await wire.head()
    got = await wire.body(head)
    assert (head.status, got) == (status, body), (head, got[:200])
    assert int(head.fields[b"x-unpinned-attempts"]) == exchange.attempts
    return head


async def _ask_for_an_answer(exchange: Exchange, wire: Wire) -> None:
    await exchange.send_conversation(wire)
    await _expect(exchange, wire, 200, exchange.answer)
    assert exchange.attempts > 1 or exchange.received == exchange.conversation


async def _ask_for_a_stream(exchange: Exchange, wire: Wire) -> None:
    await exchange.send_conversation(wire)
    await _expect(exchange, wire, 200, b"".join(exchange.events))


async def _ask_for_a_file(exchange: Exchange, wire: Wire) -> None:
    await wire.send(exchange.head(b"GET /v1/files/f/content HTTP/1.1", {}))
    head = await wire.head()
    assert (head.status, await wire.body(head)) == (200, exchange.bulk)


async def _upload(exchange: Exchange, wire: Wire) -> None:
    await wire.send(exchange.head(FILES, {b"Transfer-Encoding": b"chunked"}))
    for start in range(0, len(exchange.bulk), 50_000):
        await wire.send(chunk(exchange.bulk[start : start + 50_000]))
    await wire.send(chunk(b""))
    head = await wire.head()
    assert (head.status, await wire.body(head)) == (200, exchange.answer)
    assert exchange.received == exchange.bulk


async def _be_refused(exchange: Exchange, wire: Wire) -> None:
    await exchange.send_conversation(wire)
    head = await wire.head()
    assert head.status == 404
    assert json.loads(await wire.body(head))["attempt"] == 1
    assert int(head.fields[b"x-unpinned-attempts"]) == exchange.attempts


async def _be_limited(exchange: Exchange, wire: Wire) -> None:
    await exchange.send_conversation(wire)
    head = await _expect(exchange, wire, 429, b"slow down")
    assert head.fields[b"retry-after"] == b"7"


async def _be_told_of_a_fault(exchange: Exchange, wire: Wire) -> None:
    await exchange.send_conversation(wire)
    head = await wire.head()
    error = json.loads(await wire.body(head))["error"]
    assert (head.status, error["type"]) == (502, "upstream_error")
    assert b"x-unpinned-request-id" in head.fields


async def _be_cut_off(exchange: Exchange, wire: Wire) -> None:
    await exchange.send_conversation(wire)
    head = await wire.head()
    assert head.status == 200
    with pytest.raises(Cut) as cut:
        await wire.body(head)
    assert cut.value.body == exchange.events[0]
    raise cut.value


async def _leave_while_it_thinks(exchange: Exchange, wire: Wire) -> None:
    await exchange.send_conversation(wire)
    await exchange.reached.wait()
    await _leave(exchange, wire)
    raise Cut


async def _leave_amid_the_stream(exchange: Exchange, wire: Wire) -> None:
    await exchange.send_conversation(wire)
    await wire.until(exchange.events[0])
    await _leave(exchange, wire)
    raise Cut


async def _leave_amid_the_upload(exchange: Exchange, wire: Wire) -> None:
    await wire.send(exchange.head(FILES, {b"Transfer-Encoding": b"chunked"}))
    await wire.send(chunk(exchange.bulk[:1000]))
    await exchange.reached.wait()
    await _leave(exchange, wire)
    assert exchange.received == b"", "half a request looked whole"
    raise Cut


async def _leave(exchange: Exchange, wire: Wire) -> None:
    """Leave in one way or the other, and see upstream hear of it."""
    if exchange.chance.random() < 0.5:
        wire.reset()
    else:
        await wire.close()
    await exchange.abandoned.wait()


# What upstream does. A connection that it leaves open is used again.


async def _answer(exchange: Exchange, wire: Wire, _: Head) -> None:
    await wire.send(message(b"HTTP/1.1 200 OK", JSON, exchange.answer))


async def _answer_and_close(exchange: Exchange, wire: Wire, _: Head) -> None:
    await wire.send(message(b"HTTP/1.1 200 OK", {**JSON, b"Connection": b"close"}, exchange.answer))
    raise Cut


async def _answer_and_say_more(exchange: Exchange, wire: Wire, _: Head) -> None:
    await wire.send(2 * message(b"HTTP/1.1 200 OK", JSON, exchange.answer))
    await wire.ended()
    raise Cut


async def _stream(exchange: Exchange, wire: Wire, _: Head) -> None:
    await wire.send(message(b"HTTP/1.1 200 OK", STREAM))
    for event in exchange.events:
        await wire.send(chunk(event))
        await asyncio.sleep(0)
    await wire.send(chunk(b""))


async def _stream_and_wait(exchange: Exchange, wire: Wire, _: Head) -> None:
    await wire.send(message(b"HTTP/1.1 200 OK", STREAM) + chunk(exchange.events[0]))
    await _wait(exchange, wire, _)


async def _stream_and_break(exchange: Exchange, wire: Wire, _: Head) -> None:
    await wire.send(message(b"HTTP/1.1 200 OK", STREAM) + chunk(exchange.events[0]))
    await asyncio.sleep(0.01)
    await _break_off(exchange, wire, _)


async def _give_a_file(exchange: Exchange, wire: Wire, _: Head) -> None:
    await wire.send(message(b"HTTP/1.1 200 OK", {}, exchange.bulk))


async def _refuse(exchange: Exchange, wire: Wire, _: Head) -> None:
    await wire.send(message(b"HTTP/1.1 404 Not Found", JSON, exchange.refusal))


async def _refuse_once(exchange: Exchange, wire: Wire, head: Head) -> None:
    await (_refuse if exchange.attempts == 1 else _answer)(exchange, wire, head)


async def _refuse_and_break(exchange: Exchange, wire: Wire, head: Head) -> None:
    await (_refuse if exchange.attempts == 1 else _break_off)(exchange, wire, head)


async def _limit(_: Exchange, wire: Wire, __: Head) -> None:
    await wire.send(message(b"HTTP/1.1 429 Too Many", {b"Retry-After": b"7"}, b"slow down"))


async def _break_off(exchange: Exchange, wire: Wire, _: Head) -> None:
    if exchange.chance.random() < 0.5:
        wire.reset()
    raise Cut


async def _say_nonsense(_: Exchange, wire: Wire, __: Head) -> None:
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")
    await wire.ended()
    raise Cut


async def _wait(exchange: Exchange, wire: Wire, _: Head) -> None:
    await wire.ended()
    exchange.abandoned.set()
    raise Cut


SCENARIOS = {
    "answered": Scenario(20, _ask_for_an_answer, _answer),
    "answered, then closed": Scenario(4, _ask_for_an_answer, _answer_and_close),
    "answered twice": Scenario(3, _ask_for_an_answer, _answer_and_say_more),
    "streamed": Scenario(20, _ask_for_a_stream, _stream),
    "downloaded": Scenario(4, _ask_for_a_file, _give_a_file),
    "uploaded": Scenario(6, _upload, _answer),
    "recovered": Scenario(9, _ask_for_an_answer, _refuse_once, range(2, 3)),
    "refused": Scenario(2, _be_refused, _refuse, range(2, 5)),
    "broken in recovery": Scenario(2, _be_told_of_a_fault, _refuse_and_break, range(2, 3)),
    "limited": Scenario(5, _be_limited, _limit),
    "broken": Scenario(5, _be_told_of_a_fault, _break_off),
    "nonsense": Scenario(4, _be_told_of_a_fault, _say_nonsense),
    "cut": Scenario(6, _be_cut_off, _stream_and_break),
    "left thinking": Scenario(5, _leave_while_it_thinks, _wait),
    "left streaming": Scenario(6, _leave_amid_the_stream, _stream_and_wait),
    "left uploading": Scenario(4, _leave_amid_the_upload, _wait),
}
