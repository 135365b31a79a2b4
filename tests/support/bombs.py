"""Bodies and answers that cost far more to read than to send."""

import gzip
import json
import re

import zstandard

MIB = 1024 * 1024
USER = b'{"role":"user","content":"x"}'
CALL = b'{"type":"function_call","id":"fc_%d","call_id":"c%d","name":"f","arguments":"{}"}'


def items(item: bytes, count: int) -> bytes:
    """A body with so many of the same item, and a question."""
    return b'{"input":[' + (item + b",") * count + USER + b"]}"


def member(value: bytes) -> bytes:
    """A body with an item that has an id and this content."""
    return b'{"input":[{"role":"user","id":"msg_1","content":' + value + b"}," + USER + b"]}"


def calls(count: int) -> bytes:
    """A body with so many calls without an output, each of which gets one."""
    return b'{"input":[' + b"".join(CALL % (number, number) + b"," for number in range(count)) + USER + b"]}"


BOMBS = {
    "100,000 messages": items(b'{"type":"message","id":"msg_1","role":"assistant","content":"x"}', 100_000),
    "100,000 references": items(b'{"type":"item_reference","id":"rs_1"}', 100_000),
    "100,000 elements that are no items": items(b"1", 100_000),
    "100,000 fields": b"{" + b"".join(b'"k%d":1,' % number for number in range(100_000)) + b'"input":[' + USER + b"]}",
    "5,000 inputs": b"{" + b",".join([b'"input":[{"id":"rs_1"}]'] * 5_000) + b"}",
    "100,000 levels": member(b"[" * 100_000 + b"]" * 100_000),
    "100,000 levels that never end": b'{"input":' + b'{"a":' * 100_000,
    "16 MiB of text": member(b'"' + b"a" * 16 * MIB + b'"'),
    "16 MiB of escapes": member(b'"' + b"\\ud800" * (16 * MIB // 6) + b'"'),
    "an id of 16 MiB": items(b'{"type":"message","role":"assistant","id":"' + b"a" * 16 * MIB + b'"}', 1),
    "a key of 16 MiB": b'{"input":[{"' + b'\\"' * 8 * MIB + b'":1,"id":"x"}]}',
    "16 MiB of white space": b'{"input":[{"id":"x",' + b" " * 16 * MIB + b'"role":"user"}]}',
    "a number of 16 MiB": b'{"input":[{"id":"x","n":' + b"1" * 16 * MIB + b"}]}",
}

NOTHING = {
    "empty zstd frames": (b"zstd", zstandard.compress(b"") * 120_000),
    "empty gzip members": (b"gzip", gzip.compress(b"") * 50_000),
    "empty metadata blocks of brotli": (b"br", b"\x0c" + b"\x06" * MIB + b"\x03"),
    "empty blocks of deflate": (b"deflate", b"\x78\x9c" + b"\x00\x00\x00\xff\xff" * 200_000),
    "17 members with content": (b"gzip", gzip.compress(b" ") * 16 + gzip.compress(b'{"input":"x"}')),
}
"""Codings, and coded bodies that cost work and yield nothing."""


def refusal(message: str) -> bytes:
    """A refusal that says this."""
    return json.dumps({"error": {"message": message, "type": "invalid_request_error", "param": "input"}}).encode()


NOT_FOUND = refusal("Item with id 'rs_1' not found.")
CROWDED = {
    "60 KiB of tiny items": items(b'{"id":"a"}', 5_900),
    "60 KiB of empty items": items(b"{}", 20_000),
    "60 KiB of tiny keys": b'{"input":[{' + b",".join([b'"":1'] * 12_000) + b"}]}",
    "a million commas": b'{"input":[' + b"," * 1_000_000 + b"]}",
}
"""Bodies that are small, and hold many things."""
REFUSED = {
    "60 KiB of reasoning": (items(b'{"type":"reasoning","id":"rs_1"}', 1_800), NOT_FOUND),
    "150 KiB of reasoning": (items(b'{"type":"reasoning","id":"rs_1"}', 4_500), NOT_FOUND),
    "60 KiB of calls": (calls(700), refusal("No tool output found for function call c1.")),
    "look-alikes": (items(USER, 50), refusal("rs_aaaa " * 130_000)),
    "errors within errors": (items(USER, 50), json.dumps([{"error": {"message": "rs_aaaa " * 256}}] * 450).encode()),
    "brackets": (items(USER, 50), b"[" * 500_000 + b"]" * 500_000),
    "broken objects": (items(USER, 50), refusal("{'a':" * 2_000)),
}
"""Bodies, and what upstream says of them."""
MANY_ITEMS = (
    b'{"id":"resp_1","object":"response","status":"completed", "output": ['
    + b", ".join(b'{"type":"message", "id":"msg_%d", "role":"assistant", "content":"x"}' % n for n in range(60_000))
    + b"]}"
)
"""An answer of 60,000 items."""
SAME_ITEMS = gzip.compress(re.sub(rb"msg_[0-9]+", b"msg_1", MANY_ITEMS), 9)
"""The same with one id, which gzip makes less than 64 KiB of."""
