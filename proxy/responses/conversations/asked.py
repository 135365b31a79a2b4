"""A request for a response that names a conversation: which one, and the request with its history in that place."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from proxy.responses.body import lenient
from proxy.responses.body.document import Document, read
from proxy.responses.body.edits import splice
from proxy.responses.body.lenient import MalformedError
from proxy.responses.body.table import item_of
from proxy.responses.conversations.bodies import ID
from proxy.responses.conversations.items import id_in
from proxy.responses.history.recall import front, the_input
from proxy.responses.history.recording import input_items

_NAME: Final = b"conversation"
_ESCAPE: Final = b"\\u"
_TRIGGER: Final = re.compile(rb"compaction_trigger|\\u")


def may_name_one(body: bytes) -> bool:
    """Whether a body may name a conversation: most do not, and need not be read for that."""
    return _NAME in body or _ESCAPE in body


class Question(NamedTuple):
    """A request for a response in a conversation."""

    document: Document
    conversation_id: str
    items: tuple[bytes, ...]
    """Its own input."""

    @property
    def ids(self) -> list[str]:
        """Those of its items; `""` where one has none."""
        return [id_in(item) for item in self.items]

    @property
    def kept(self) -> tuple[bytes, ...]:
        """Its items, but what says only how this one request is to be answered."""
        return tuple(
            item for item in self.items if not _TRIGGER.search(item) or item_of(item).type != "compaction_trigger"
        )

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


def question(body: bytes) -> Question | None:
    """The request, where it names a conversation that can be looked up; None: upstream has the word."""
    try:
        document = read(body)
        conversation_id = _named(document) if document is not None else ""
    except MalformedError:
        return None
    if document is None or not ID.fullmatch(conversation_id) or the_input(document) is None:
        return None
    if document.raw("previous_response_id") is not None:
        return None  # upstream refuses both together, before either is looked up
    return Question(document, conversation_id, input_items(document))


def _is_trigger(item: bytes) -> bool:
    return bool(_TRIGGER.search(item)) and item_of(item).type == "compaction_trigger"


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
