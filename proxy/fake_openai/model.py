"""What the fake model makes of a conversation: counts and quotations, so that lost context is visible in every answer.

Pure: reads items that were admitted, remembers nothing.
"""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from .encrypted_content import opened
from .items import Item, kind_of

QUOTED = 160
_NAME = re.compile(r"\bmy name is (\w+)", re.IGNORECASE)
_PLACE = re.compile(r"\b(?:in|at|for|of) ([A-Z]\w+)")


@dataclass
class Seen:
    """What the model saw."""

    items: int = 0
    users: int = 0
    outputs: int = 0
    thoughts: int = 0
    first: str = ""
    last: str = ""
    last_output: str = ""
    name: str = ""

    def see(self, item: Item) -> None:
        """Take one more item in."""
        kind = kind_of(item)
        self.items += 1
        if kind == "message" and item["role"] == "user":
            self._hear(text_of(item["content"]))
        elif kind.endswith("_output") and kind != "program_output":
            self.outputs += 1
            self.last_output = text_of(item.get("output"))
        elif kind == "reasoning":
            self.thoughts += 1
        elif kind == "compaction":
            self._recall(item)

    def _hear(self, text: str) -> None:
        self.users += 1
        self.first = self.first or text
        self.last = text
        if named := _NAME.search(text):
            self.name = named[1]

    def _recall(self, item: Item) -> None:
        """A compaction stands for all before it."""
        memory = opened(item["encrypted_content"])
        self.__dict__.update(memory.content if memory else {})

    def remembered(self) -> dict[str, object]:
        """What a compaction keeps."""
        return asdict(self)


def seen(items: Iterable[Item]) -> Seen:
    """What is in these items."""
    whole = Seen()
    for item in items:
        whole.see(item)
    return whole


def text_of(content: Any) -> str:
    """The readable text of a content, an output, or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(filter(None, (text_of(part) for part in content)))
    if isinstance(content, dict):
        found = content.get("text", content.get("refusal", content.get("stdout")))
        return found if isinstance(found, str) else f"[{content.get('type', 'object')}]"
    return ""


def counted(number: int, word: str) -> str:
    """`1 item`, `2 items`."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def quoted(text: str) -> str:
    """A text in quotation marks, not too long."""
    return f'"{text if len(text) <= QUOTED else text[:QUOTED] + "…"}"'


def answer(what: Seen) -> str:
    """What the model says."""
    counts = [counted(what.items, "item"), counted(what.users, "user message")]
    counts += [counted(what.outputs, "tool output")] if what.outputs else []
    counts += [counted(what.thoughts, "reasoning item")] if what.thoughts else []
    said = [f"I see {', '.join(counts)}"]
    said += [f"you first said: {quoted(what.first)}", f"your last message: {quoted(what.last)}"] if what.users else []
    said += [f"the last tool said: {quoted(what.last_output)}"] if what.outputs else []
    said += [f"your name is {what.name}"] if what.name else []
    return "; ".join(said) + "."


def argument(what: Seen, name: str) -> str:
    """The text of an argument: the place the user spoke of, or else the argument's name."""
    place = _PLACE.search(what.last)
    return place[1] if place else name or "value"
