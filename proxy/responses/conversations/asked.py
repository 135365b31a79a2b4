"""A request for a response that names a conversation: which one, and the request with its history in that place."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from proxy.responses.body import lenient
from proxy.responses.body.document import Document, read
from proxy.responses.body.edits import splice
from proxy.responses.body.lenient import MalformedError
from proxy.responses.body.size import holds_too_much
from proxy.responses.conversations.bodies import ID
from proxy.responses.conversations.ledger import Kept, names
from proxy.responses.history.recall import front, the_input
from proxy.responses.history.recording import input_items

_NAME: Final = b"conversation"
_ESCAPE: Final = re.compile(rb"\\u00[67]")
"""An escape of a letter of the name, in which any of them may be written; other text has few."""
_TRIGGER: Final = "compaction_trigger"


def may_name_one(body: bytes) -> bool:
    """Whether a body may name a conversation: most do not, and need not be read for that."""
    return _NAME in body or _ESCAPE.search(body) is not None


class Question(NamedTuple):
    """A request for a response in a conversation."""

    document: Document
    conversation_id: str
    kept: tuple[Kept, ...]
    """Its own items with names, but those that say only how this one request is to be answered."""
    ids: tuple[str, ...]
    """Those of its items; `""` where one has none."""

    @property
    def stores(self) -> bool:
        """Whether its response is to be kept."""
        return self.document.raw("store") != b"false"

    @property
    def in_background(self) -> bool:
        """Whether its response is made in the background."""
        return self.document.raw("background") == b"true"

    def with_history(self, history: Sequence[bytes]) -> bytes:
        """The request's body with these items in the place of the conversation."""
        member = the_input(self.document)
        edits = self.document.cut({"conversation"})
        if history and member is not None:
            edits.append(front(self.document, member, history))
        return splice(self.document.body, edits)


def question(body: bytes, seed: bytes) -> Question | None:
    """The request, where it names a conversation that can be looked up; None: upstream has the word.

    Names of items without an id are made of a `seed` that is used once.
    """
    if holds_too_much(body):
        return None
    try:
        document = read(body)
        conversation_id = _named(document) if document is not None else ""
    except MalformedError:
        return None
    if document is None or not ID.fullmatch(conversation_id) or the_input(document) is None:
        return None
    if document.raw("previous_response_id") is not None:
        return None  # upstream refuses both together, before either is looked up
    items = input_items(document)
    rows = document.arrays[-1].items if document.arrays else []
    ids = tuple(row.id or "" for row in rows) if rows else ("",) * len(items)
    named = [*map(Kept, items, names(ids, seed))]
    passing = {row.place for row in rows if row.type == _TRIGGER}
    kept = tuple(one for place, one in enumerate(named) if place not in passing)
    return Question(document, conversation_id, kept, ids)


def _named(document: Document) -> str:
    """The id in `conversation`: a string, or an object with nothing but an id; `""` where it is something else."""
    literal = document.raw("conversation")
    if literal is None:
        return ""
    if literal[:1] == b"{":
        members = lenient.members(literal, 0)
        if {member.name for member in members} != {"id"}:
            return ""
        literal = literal[members[-1].value : members[-1].end]
    return lenient.text(literal) or ""
