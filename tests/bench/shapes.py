"""The shapes of the same conversation: what users send is not all compact JSON of items with labels."""

import json
from typing import Any, Final

SIZES: Final = {"2 KB": (2, 600), "200 KB": (30, 6000)}
"""(turns, bytes of a turn) of a conversation of about that size: eleven items, and a hundred and fifty-one."""

Items = list[dict[str, Any]]


def turn(number: int, size: int, *, blob: bool = True) -> Items:
    """A question, reasoning, a call with its output, and an answer: five items of some `size` bytes in all."""
    text = "x" * (size // 4)
    thought = {"type": "reasoning", "id": f"rs_{number:032x}", "summary": []}
    call = f"call_{number}"
    return [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]},
        {**thought, "encrypted_content": "g" * (size // 3)} if blob else thought,
        {"type": "function_call", "id": f"fc_{number:032x}", "call_id": call, "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": call, "output": text},
        {"type": "message", "role": "assistant", "id": f"msg_{number:032x}", "status": "completed",
         "content": [{"type": "output_text", "text": text, "annotations": []}]},
    ]  # fmt: skip


def conversation(turns: int, size: int, **options: Any) -> Items:
    """So many turns, and a question."""
    items = [item for number in range(turns) for item in turn(number, size, **options)]
    return [*items, {"role": "user", "content": "and now?"}]


def body(items: Items, *, spaces: bool = False, **more: Any) -> bytes:
    """A request."""
    request = {"model": "gpt-5", "input": items, "store": False, **more}
    return json.dumps(request, separators=None if spaces else (",", ":"), ensure_ascii=False).encode()


def shapes(turns: int, size: int) -> dict[str, bytes]:
    """A request of every shape, by the name of the shape."""
    items = conversation(turns, size)
    bare = conversation(turns, size, blob=False)
    one_bare = [*bare[:5], *items[5:]]
    pinned = {"type": "computer_call", "id": "cu_1", "call_id": "cc", "actions": [], "pending_safety_checks": []}
    shown = {"type": "computer_screenshot", "image_url": "https://example.com/x.png"}
    return {
        "labels only": body(items),
        "with spaces": body(items, spaces=True),
        "all reasoning bare": body(bare),
        "one reasoning bare": body(one_bare),
        "a call without output": body([*items[:-1], {**items[2], "call_id": "open"}, items[-1]]),
        "item references": body(
            [{"type": "item_reference", "id": item["id"]} if "id" in item else item for item in items]
        ),
        "escapes": body(items).replace(b'"x', b'"\\u0078'),
        "previous response": body(items, previous_response_id="resp_1"),
        "a pinned turn": body(
            [*items[:-1], pinned, {"type": "computer_call_output", "call_id": "cc", "output": shown}]
        ),
        "nothing to change": body([{name: value for name, value in item.items() if name != "id"} for item in items]),
    }
