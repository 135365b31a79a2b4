"""The work: requests made from a seed, the same bytes in every run.

A body is a conversation as an agent replays it: turns of a user's message, reasoning, a call, its output and a message.
"""

import base64
import json
import random
from functools import cache
from typing import Any, Final, NamedTuple

SEED: Final = 20261123
MODEL: Final = b'"model":"bench"'
ITEMS_A_TURN: Final = 5
_WORDS: Final = ("the", "weather", "in", "Paris", "is", 'said to be "fine"', "today;", "tomorrow\n", "rain", "follows.")
_FIXED: Final = {"temperature": 0.7, "seed": 9007199254740993, "stream": False, "store": True}
# What the SDK sends.
_FIELDS: Final = b"""accept: application/json\r
accept-encoding: gzip, deflate, br, zstd\r
connection: keep-alive\r
user-agent: OpenAI/Python 3.54.0\r
x-stainless-lang: python\r
x-stainless-package-version: 3.54.0\r
x-stainless-os: Linux\r
x-stainless-arch: x64\r
x-stainless-runtime: CPython\r
x-stainless-runtime-version: 3.11.2\r
x-stainless-async: false\r
x-stainless-retry-count: 0\r
x-stainless-read-timeout: 600\r
authorization: Bearer sk-bench-0123456789abcdef0123456789abcdef\r
content-type: application/json\r
"""


_HANDSHAKE: Final = b"""connection: Upgrade\r
upgrade: websocket\r
sec-websocket-version: 13\r
sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r
"""


class Work(NamedTuple):
    """What is asked: a body, what upstream answers (see `traffic/upstream.c`), and from how many connections.

    With no body it is a WebSocket that is asked for.
    """

    plan: str
    body: bytes
    connections: int = 1
    size: int = 0
    events: int = 0
    path: str = "/v1/responses"


def answered(size: int, body: bytes, connections: int) -> Work:
    """Requests answered with JSON of `size` bytes."""
    return Work(f"size={size}", body, connections, size)


def streamed(events: int, milliseconds: int, connections: int) -> Work:
    """Requests answered with a stream of events, one every so many milliseconds, or all at once for 0."""
    return Work(f"events={events},gap={milliseconds}", small(), connections, events=events)


def opened(events: int, milliseconds: int, connections: int, path: str) -> Work:
    """WebSockets at `path` on which upstream sends messages, one every so many milliseconds."""
    return Work(f"frames={events},gap={milliseconds}", b"", connections, events=events, path=path)


def request(work: Work, port: int, fields: bytes = b"", *, in_path: bool = True) -> bytes:
    """The request as it goes on the wire; with the plan in its path, or without."""
    if not work.body:
        line = f"GET /{work.plan}{work.path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n".encode()
        return line + _HANDSHAKE + b"\r\n"
    path = f"/{work.plan}{work.path}" if in_path else work.path
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: {len(work.body)}\r\n".encode()
    return head + _FIELDS + fields + b"\r\n" + work.body


@cache
def small() -> bytes:
    """The body of W1: ten items with ids, 2 KB."""
    return conversation(2048, 2)


@cache
def large(*, ids: bool = True) -> bytes:
    """The body of W2: 150 items, 200 KB."""
    return conversation(200 * 1024, 30, ids=ids)


@cache
def images() -> bytes:
    """The body of W3: images in a conversation, 8 MB."""
    dice = random.Random(SEED)
    parts = [{"type": "input_image", "image_url": "data:image/png;base64," + _blob(dice, 2_000_000)} for _ in range(4)]
    message = {"type": "message", "role": "user", "content": parts}
    return _body([*_turn(dice, 0, 100, ids=True), message])


@cache
def conversation(size: int, turns: int, *, ids: bool = True) -> bytes:
    """A body of about `size` bytes that holds so many turns."""
    empty = len(_body(_turns(turns, 0, ids=ids)))
    share = max(0, size - empty) // turns
    return _body(_turns(turns, share, ids=ids))


def _turns(turns: int, share: int, *, ids: bool) -> list[dict[str, Any]]:
    dice = random.Random(SEED)
    return [item for number in range(turns) for item in _turn(dice, number, share, ids=ids)]


def _turn(dice: random.Random, number: int, share: int, *, ids: bool) -> list[dict[str, Any]]:
    """One turn, with `share` bytes of text: half in what the call found, a third in what the model thought."""
    call = f"call_{number:08x}"
    said, thought, found = share // 12, share // 3, share // 2
    text = {"type": "output_text", "annotations": [], "text": _text(dice, said)}
    arguments = json.dumps({"question": _text(dice, said // 2)})
    items: list[dict[str, Any]] = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": _text(dice, said)}]},
        {"id": f"rs_{number:08x}", "type": "reasoning", "summary": [], "encrypted_content": _blob(dice, thought)},
        {"id": f"fc_{number:08x}", "type": "function_call", "call_id": call, "name": "look", "arguments": arguments},
        {"id": f"fo_{number:08x}", "type": "function_call_output", "call_id": call, "output": _text(dice, found)},
        {"id": f"msg_{number:08x}", "type": "message", "role": "assistant", "status": "completed", "content": [text]},
    ]
    items[0] = {"id": f"msg_u{number:07x}", **items[0]}
    return items if ids else [{key: value for key, value in item.items() if key != "id"} for item in items]


def _body(items: list[dict[str, Any]]) -> bytes:
    payload = {"model": "bench", "input": items, **_FIXED}
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()


def _text(dice: random.Random, size: int) -> str:
    words = dice.choices(_WORDS, k=size // 6 + 1)
    return " ".join(words)[:size]


def _blob(dice: random.Random, size: int) -> str:
    return base64.b64encode(dice.randbytes(size * 3 // 4)).decode()


def without_ids(body: bytes) -> bytes:
    """The body as it should reach upstream: each item without its `id`, everything else as it was."""
    payload = json.loads(body)
    payload["input"] = [{key: value for key, value in item.items() if key != "id"} for item in payload["input"]]
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()
