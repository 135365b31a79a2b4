"""One answer while it is made: its items, their ids, its reasoning and its words.

Deterministic; keeps nothing, and knows no tool.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .encrypted_content import Memory, seal
from .identifiers import digest, item_id
from .items import Item
from .model import Seen, answer, seen
from .schemas import filled
from .state import Account


@dataclass
class Turn:
    """The items of one response while they are made."""

    account: Account
    given: Mapping[str, Any]
    history: list[Item]
    link: str
    output: list[Item] = field(default_factory=list)
    reasoning: int | None = None
    waits: bool = False

    @cached_property
    def seen(self) -> Seen:
        """What the model saw."""
        return seen(self.history)

    def add(self, prefix: str, kind: str, **fields: Any) -> Item:
        """One more item, with an id that names the reasoning in front of it."""
        identifier = item_id(prefix, self.link, len(self.output), self.reasoning)
        item = {"id": identifier, "type": kind, **fields}
        self.output.append(item)
        return item

    def call_id(self) -> str:
        """A call id for the next item."""
        return f"call_{digest(self.link, str(len(self.output)))[:24]}"

    def wait(self, prefix: str, kind: str, **fields: Any) -> None:
        """One more item that the client has to answer."""
        self.add(prefix, kind, **fields)
        self.waits = True


def reasons(model: str) -> bool:
    """Whether a model of this name reasons."""
    return re.match(r"gpt-5|o\d", model) is not None


def think(turn: Turn) -> None:
    """The reasoning of the turn, of models that reason."""
    if not reasons(str(turn.given.get("model"))):
        return
    index = len(turn.output)
    summary = []
    if (turn.given.get("reasoning") or {}).get("summary"):
        summary = [{"type": "summary_text", "text": f"**Looking back** over {turn.seen.items} items."}]
    item = turn.add("rs", "reasoning", summary=summary)
    if sealed(turn.account, turn.given):
        item["encrypted_content"] = _sealed(turn, item["id"], {"thought": f"about {turn.seen.items} items"})
    turn.reasoning = index


def sealed(account: Account, given: Mapping[str, Any]) -> bool:
    """Whether reasoning comes with its blob."""
    return account.options.encrypted == "default" or "reasoning.encrypted_content" in given.get("include", ())


def _sealed(turn: Turn, identifier: str, content: dict[str, object]) -> str:
    return seal(Memory(turn.account.organization, identifier, turn.account.name, content))


def compact(turn: Turn) -> None:
    """The one item that stands for all before it."""
    item = turn.add("cmp", "compaction")
    item["encrypted_content"] = _sealed(turn, item["id"], turn.seen.remembered())


def speak(turn: Turn) -> None:
    """The answer in words."""
    text = structured(turn.given, answer(turn.seen))
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    message = turn.add("msg", "message", status="completed", content=[part], role="assistant")
    if reasons(str(turn.given.get("model"))):
        message["phase"] = "final_answer"


def structured(given: Mapping[str, Any], text: str) -> str:
    """A text in the requested format."""
    form = (given.get("text") or {}).get("format") or {}
    if form.get("type") == "json_schema":
        return json.dumps(filled(form.get("schema"), lambda _name: text), ensure_ascii=False)
    return json.dumps({"answer": text}, ensure_ascii=False) if form.get("type") == "json_object" else text
