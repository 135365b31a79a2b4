"""The core without a driver: the bodies that it sends, and refusals in place of an upstream."""

import json
from typing import Final

import msgspec
import orjson

from proxy.responses.body.item import PlainItem
from proxy.responses.body.objects import OBJECT
from proxy.responses.exchange import Exchange
from proxy.responses.policy import Policy
from proxy.responses.recovery.lessons import LessonScope
from proxy.responses.steps import Compute, Forward

_PLAIN: Final = Policy()
_ITEMS: Final = msgspec.json.Decoder(list[PlainItem])


def first_attempt(plain: bytes, policy: Policy = _PLAIN, scope: LessonScope | None = None) -> bytes:
    """The body of the first attempt."""
    return attempts(plain, 1, policy, scope)[0]


def attempts(plain: bytes, count: int, policy: Policy, scope: LessonScope | None = None) -> list[bytes]:
    """The bodies of so many attempts, all but the last of which are refused; fewer where there are no more."""
    steps = Exchange(plain, policy, scope=scope or LessonScope()).steps()
    step, sent = next(steps), []
    while True:
        if isinstance(step, Compute):
            step = steps.send(step.work())
        elif isinstance(step, Forward):
            sent.append(step.body)
            if len(sent) == count:
                return sent
            step = steps.send((404, _refusal(len(sent) - 1)))
        else:
            return sent


def _refusal(number: int) -> bytes:
    """The refusal of the reasoning of a turn."""
    message = f"Item with id 'rs_{number:032x}' not found."
    return json.dumps({"error": {"message": message, "type": "invalid_request_error", "param": "input"}}).encode()


def through_orjson(plain: bytes) -> bytes:
    """The same JSON, read and written."""
    return orjson.dumps(orjson.loads(plain))


def scans(plain: bytes) -> bytes:
    """What no rule can do without, all of it in C: the members and the items are read, ids are found, bytes copied."""
    _ITEMS.decode(OBJECT.decode(plain)["input"])
    middle = plain.count(b'"id"')
    return b"".join((plain[:middle], plain[middle:]))
