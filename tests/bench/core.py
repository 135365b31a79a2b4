"""What the core takes for a body, by shape: `python -m tests.bench.core [WORD …]`. Seconds, for the inner loop.

Beside it the time of orjson for reading and writing the same body. Microseconds of processor time, the best of several
rounds; WORD picks shapes or modes.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson

from proxy.responses.exchange import Exchange
from proxy.responses.policy import Policy
from proxy.responses.recovery.lessons import Lessons, LessonScope
from proxy.responses.steps import Compute, Forward

ROUNDS = 7
SECONDS = 0.03
"""How long one round goes on, at least."""

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
    """Every shape of the same conversation."""
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


def scopes() -> dict[str, Callable[[], tuple[Policy, LessonScope]]]:
    """Modes, and a mode with lessons."""
    taught = Lessons()
    scope = LessonScope(taught, "me")
    scope.learn_field("refused", "message:assistant", "phase")
    scope.learn_blob(b'"other"')
    scope.learn_id("rs_unknown")
    return {
        "auto": lambda: (Policy(mode="auto"), LessonScope()),
        "strip": lambda: (Policy(mode="strip"), LessonScope()),
        "recover": lambda: (Policy(mode="recover"), LessonScope()),
        "taught": lambda: (Policy(mode="auto"), LessonScope(taught, "me")),
    }


def first_attempt(plain: bytes, policy: Policy, scope: LessonScope) -> bytes:
    """The body of the first attempt."""
    steps = Exchange(plain, policy, scope=scope).steps()
    step = next(steps)
    while isinstance(step, Compute):
        step = steps.send(step.work())
    assert isinstance(step, Forward)
    return step.body


def cost(work: Callable[[], object]) -> float:
    """Microseconds of processor time, the best of `ROUNDS`."""
    work()
    best = float("inf")
    for _ in range(ROUNDS):
        count, began = 0, time.process_time()
        while (taken := time.process_time() - began) < SECONDS or count < 3:
            work()
            count += 1
        best = min(best, taken / count)
    return best * 1e6


def _through_orjson(plain: bytes) -> bytes:
    return orjson.dumps(orjson.loads(plain))


def _through_the_core(plain: bytes, make: Callable[[], tuple[Policy, LessonScope]]) -> bytes:
    return first_attempt(plain, *make())


def main(words: list[str]) -> None:
    """Print a table for 2 KB and for 200 KB."""
    for title, turns, size in (("2 KB, 11 items", 2, 600), ("200 KB, 151 items", 30, 6000)):
        sys.stdout.write(f"\n{title:24}{'bytes':>9}{'orjson':>9}" + "".join(f"{name:>9}" for name in scopes()) + "\n")
        for name, plain in shapes(turns, size).items():
            if words and not any(word in name for word in words):
                continue
            row = [cost(partial(_through_orjson, plain))]
            row += [cost(partial(_through_the_core, plain, make)) for make in scopes().values()]
            sys.stdout.write(f"{name:24}{len(plain):9}" + "".join(f"{value:9.0f}" for value in row) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
