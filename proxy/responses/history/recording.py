"""What a store is to remember of a request and its answer: the turn's new items, and what they continue.

Pure. Items are the bytes that the client sent and upstream answered; a history that a request carries along is not
remembered again where its conversation is known.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from proxy.report import RemovedName
from proxy.responses.body.document import Document, read
from proxy.responses.body.elements import Elements
from proxy.responses.body.lenient import MalformedError
from proxy.responses.body.table import item_of
from proxy.responses.history.fingerprint import fingerprint
from proxy.responses.history.outline import Outline, compact, outline
from proxy.responses.history.recall import Recollection, is_id
from proxy.responses.items import REFERENCE
from proxy.responses.policy import Policy

ELSEWHERE: Final = "conversation"
"""What a response continues if only upstream has its history: unknown to every store, so that no half is recalled."""

ANSWER: Final = "answer of "
"""How the name begins under which a response is kept as it was answered; the blanks are in no id."""

_FINISHED: Final = frozenset({"completed", "incomplete", None})
_WAITING: Final = frozenset({"queued", "in_progress"})
_FAILED: Final = frozenset({"failed", "cancelled"})
_REPLAYS: Final = 10_000
_LONGEST_REFERENCE: Final = 1024
"""Bytes that a reference has at most; larger items need not be read to see that they are none."""


class Remembered(NamedTuple):
    """One response that was created through us."""

    response_id: str
    previous: str | None
    """The id of the response that this one continues, or None."""
    items: tuple[bytes, ...]
    """The turn's new items in order: the input sent, then the output made."""
    made: int = 0
    """How many of the last items upstream made. Only these are found by their ids: a client cannot name an item."""
    besides: tuple["Remembered", ...] = ()
    """What belongs to it and is a record of its own, written together with it."""

    @property
    def records(self) -> "tuple[Remembered, ...]":
        """It, and what belongs to it."""
        return self, *self.besides


class Trail(NamedTuple):
    """A digest of what was said in a conversation, one item after the other."""

    digest: bytes = b""

    def after(self, items: Iterable[bytes]) -> "Trail":
        """The trail when these have been said. Reasoning leaves none: not every client sends it along."""
        digest = self.digest
        for said in map(fingerprint, items):
            if said is not None:
                digest = sha256(digest + said).digest()
        return Trail(digest)


class RequestRecord(NamedTuple):
    """What of a request belongs to its conversation once it is answered."""

    previous: str | None
    items: tuple[bytes, ...]
    trail: Trail | None = None
    """Of all input items, as far as it has been followed; None where a previous response stands for a part of them."""
    background: bool = False


def asked(
    came: Document, memory: Recollection | None, removed: Mapping[RemovedName, int], policy: Policy
) -> RequestRecord | None:
    """What is to be remembered of a request that was answered when sent without what was `removed`; None: nothing."""
    if came.raw("store") == b"false" and not policy.remembers_all:
        return None
    if policy.mode == "observe":
        removed = {}
    resolved = memory.resolved if memory is not None else None
    history = resolved.history if resolved is not None else 0
    # Where only a history was put in front, the client's own items are unchanged.
    only_history = resolved is None or all(name == "previous_response_id" for name, _ in resolved.ids)
    items = input_items(came) if memory is None or only_history else input_items(memory.unexpanded)[history:]
    background = came.raw("background") == b"true"
    if came.raw("conversation") is not None and not removed.get("conversation"):
        return RequestRecord(ELSEWHERE, items, None, background)
    previous = came.text("previous_response_id")
    if not is_id(previous):
        previous = ELSEWHERE if previous else None
    if previous is None or (not history and removed.get("previous_response_id")):
        return RequestRecord(None, items, Trail(), background)
    return RequestRecord(previous, items, None, background)


def input_items(document: Document) -> tuple[bytes, ...]:
    """The items of a request's input; a text is the user message that it stands for."""
    if document.arrays:
        return tuple(document.body[start:end] for start, end in document.arrays[-1].elements.spans)
    text = document.raw("input")
    return (b'{"role":"user","content":%b}' % text,) if text is not None and text[:1] == b'"' and text != b'""' else ()


class Replays:
    """Which response a conversation that a client sends along is that of: bounded, a hint of one process.

    Its loss costs that the whole conversation is listed again; what was said is known by its digest alone.
    """

    def __init__(self, capacity: int = _REPLAYS) -> None:
        self._capacity = capacity
        self._responses: OrderedDict[tuple[str, bytes], str] = OrderedDict()

    def shortened(self, scope: str, asked: RequestRecord) -> RequestRecord:
        """The record without the history in front, if the history's response is known; its trail is followed."""
        if asked.trail is None:
            return asked
        end = _end_of_history(asked.items)
        history = asked.trail.after(asked.items[:end])
        trail = history.after(asked.items[end:])
        previous = self._responses.get((scope, history.digest)) if end else None
        return RequestRecord(previous, asked.items[end if previous else 0 :], trail, asked.background)

    def learn(self, scope: str, said: Trail, response_id: str) -> None:
        """Remember that a conversation with this trail is that of a response."""
        key = (scope, said.digest)
        self._responses[key] = response_id
        self._responses.move_to_end(key)
        if len(self._responses) > self._capacity:
            self._responses.popitem(last=False)

    def forget(self, scope: str, response_id: str) -> None:
        """Forget a response: nothing may continue it."""
        for key in [key for key, known in self._responses.items() if known == response_id and key[0] == scope]:
            del self._responses[key]


def _end_of_history(items: Sequence[bytes]) -> int:
    """The number of items up to the last that the model made."""
    for place in range(len(items), 0, -1):
        if item_of(items[place - 1]).kind.made_by == "model":
            return place
    return 0


class Made(NamedTuple):
    """A response, as far as it is remembered."""

    response_id: str
    finished: bool
    """Nothing more will come of it; otherwise it waits in the background."""
    background: bool
    stored: bool
    output: tuple[bytes, ...]
    outline: Outline | None = None
    """What it is besides its output, where it is finished."""
    failed: bool = False
    """It ended without an answer: nothing of it is remembered."""


def made(response: bytes) -> Made | None:
    """What the JSON of a response tells; None where it is none that can be continued."""
    try:
        document = read(response)
        response_id = document.text("id") if document is not None else None
        if document is None or response_id is None or not is_id(response_id):
            return None
        output = _elements(document, "output")
    except MalformedError:
        return None
    status = document.text("status")
    if status not in _FINISHED | _WAITING | _FAILED:
        return None
    finished, background = status in _FINISHED, document.raw("background") == b"true"
    stored = document.raw("store") != b"false"
    kept = outline(document) if finished and stored else None
    return Made(response_id, finished, background, stored, output, kept, status in _FAILED)


def _elements(document: Document, name: str) -> tuple[bytes, ...]:
    array = document.raw(name)
    if array is None or array[:1] != b"[":
        return ()
    return tuple(compact(array[start:end]) for start, end in Elements(array, (0, len(array))).spans)


def remembered(asked: RequestRecord, answer: Made) -> Remembered:
    """What a store remembers of a request and its answer, finished or for the time being."""
    if answer.finished:
        return Remembered(answer.response_id, asked.previous, asked.items + answer.output, len(answer.output))
    return Remembered(_waiting(answer.response_id), asked.previous, asked.items)


def references(response: Remembered) -> tuple[str, ...]:
    """Ids of the items of a response that it only refers to: upstream knew them, and another one may not."""
    return tuple(id_ for item in response.items if (id_ := _referred(item)))


def inlined(response: Remembered, known: Mapping[str, bytes]) -> Remembered:
    """The response with the items that are `known` in the place of its references."""
    return response._replace(items=tuple(known.get(_referred(item), item) for item in response.items))


def _referred(item: bytes) -> str:
    """The id of the item that an item refers to, or nothing."""
    try:
        found = item_of(item) if len(item) <= _LONGEST_REFERENCE else None
    except MalformedError:
        return ""
    if found is None:
        return ""
    return found.id if found.kind is REFERENCE and found.id and is_id(found.id) else ""


def completed(answer: Made) -> Remembered | None:
    """What a store remembers of a response that was retrieved by its id: one made in the background, at its end."""
    if not (answer.finished and answer.background):
        return None
    return Remembered(answer.response_id, _waiting(answer.response_id), answer.output, len(answer.output))


def names_of(response_id: str) -> tuple[str, ...]:
    """Every name under which something of a response is remembered: its id, and those of what belongs to it."""
    return response_id, _waiting(response_id), name_of_answer(response_id), name_before(response_id)


def name_before(response_id: str) -> str:
    """The name of what stood in front of a compaction in a response."""
    return f"before {response_id}"


def is_response(name: str) -> bool:
    """Whether a name in a store is that of a response, and not of something that belongs to one."""
    return " " not in name


def name_of_answer(response_id: str) -> str:
    """The name of a response as it was answered."""
    return f"{ANSWER}{response_id}"


def _waiting(response_id: str) -> str:
    """The name of the request of a background response, until its answer is retrieved; the blanks are in no id."""
    return f"request of {response_id}"
