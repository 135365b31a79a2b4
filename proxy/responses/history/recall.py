"""What a store knows takes the place of references: a history stands inline, an item where its reference stood.

Pure. What the store does not know stays unchanged; items are the store's bytes, every other byte is the client's.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from proxy.report import RefusalKind, RemovedName, Report, StoreOutcome
from proxy.responses.body.document import Document, read
from proxy.responses.body.edits import Edit, splice
from proxy.responses.body.item import Item
from proxy.responses.body.lenient import MalformedError, Span
from proxy.responses.body.member import Member
from proxy.responses.body.objects import REFUSED
from proxy.responses.body.table import Array, items_of
from proxy.responses.history.compaction import Compaction, expanded, last_compaction
from proxy.responses.history.fingerprint import fingerprint
from proxy.responses.items import REFERENCE
from proxy.responses.policy import Policy
from proxy.responses.steps import Recall

AGAIN: Final[Sequence[float]] = (0.05, 0.15)
"""Seconds before what was not found is looked for again: another process may be writing it down just now."""


_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")

_RESOLVABLE: Final = frozenset({"response", "item"})
"""Kinds of refusals: something was not found that a store may know."""


class Recalled(NamedTuple):
    """The result of a lookup."""

    conversation: tuple[bytes, ...] | None
    """All items of the conversation of the response, in order; None: not known."""
    items: Mapping[str, bytes]
    """The items that are known, by id."""

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(map(len, self.conversation or ())) + sum(map(len, self.items.values()))

    def takes_closer_look(self) -> bool:
        """Whether something of them takes the slower reader."""
        items = b"[%b]" % b",".join([*(self.conversation or ()), *self.items.values()])
        try:
            Array(items, (0, len(items)), closely=False)
        except REFUSED:
            return True
        return False


class Resolved(NamedTuple):
    """A request in which what was known took the place of its references."""

    body: bytes
    history: int = 0
    """How many items of the history stand in front of the client's own."""
    missed: bool = False
    """Something was not known."""
    ids: tuple[tuple[RemovedName, str], ...] = ()
    """(name of `x-unpinned-removed`, id) of everything resolved."""


def is_id(text: str | None) -> bool:
    """Whether `text` may be looked up: upstream's ids have at most 64 letters, digits, dashes and underscores.

    Names of our own in a store (see `recording`) have a character that no id has.
    """
    return text is not None and _ID.fullmatch(text) is not None


def may_help(refusal: RefusalKind, document: Document) -> bool:
    """Whether a store may know what upstream does not: a reference, or what an unreadable compaction stood for."""
    return refusal in _RESOLVABLE or (refusal == "encrypted" and last_compaction(document) is not None)


def wanted(document: Document) -> Recall | None:
    """What a store has to know so that the request needs no reference; None where there is nothing to ask for."""
    if the_input(document) is None:
        return None
    references = dict.fromkeys(filter(is_id, _references(document)))
    previous = document.text("previous_response_id")
    previous = previous if is_id(previous) else None
    if not previous and not references:
        return None
    return Recall(previous, tuple(references), compares=previous is not None and not _is_new(_items(document)))


def the_input(document: Document) -> Member | None:
    """The one `input` of a request, if it is one that a history can stand in front of."""
    inputs = [member for member in document.members if member.name == "input"]
    return inputs[0] if len(inputs) == 1 and document.body[inputs[0].value : inputs[0].value + 1] in b'["' else None


def _items(document: Document) -> list[Item]:
    return document.arrays[0].items if document.arrays else []


def _references(document: Document) -> list[str]:
    """Ids of the references that have no twin inline."""
    items = _items(document)
    inline = _ids(item for item in items if item.kind is not REFERENCE)
    return [item.id for item in items if item.kind is REFERENCE and item.id and item.id not in inline]


def resolve(document: Document, asked: Recall, found: Recalled) -> Resolved:
    """The body of `document` with what the lookup `asked` for and `found` in the place of its references.

    May raise MalformedError where the store gives what is no JSON.
    """
    history = _history(document, found.conversation or ())
    inline = _ids(_read(history)) if asked.item_ids else set()
    places = _places(document, found.items, inline) if found.items else {}
    edits: list[Edit] = [(start, end, found.items[id_]) for id_, (start, end) in places.items()]
    ids: list[tuple[RemovedName, str]] = [("item_reference", id_) for id_ in places]
    member = the_input(document)
    if history and member is not None:
        edits += [*document.cut({"previous_response_id"}), front(document, member, history)]
        ids.insert(0, ("previous_response_id", asked.response_id or ""))
    body = splice(document.body, edits) if edits else document.body
    missed = bool(asked.response_id and found.conversation is None) or not places.keys() | inline >= {*asked.item_ids}
    return Resolved(body, len(history), missed, tuple(ids))


def _places(document: Document, known: Mapping[str, bytes], inline: AbstractSet[str]) -> dict[str, Span]:
    """Where the first reference to each known item stands; what stands in the history needs no other place."""
    places: dict[str, Span] = {}
    for array in document.arrays:
        for item in array.items:
            if item.kind is REFERENCE and item.id and item.id in known and item.id not in inline:
                places.setdefault(item.id, array.elements.spans[item.place])
    return places


def _ids(items: Iterable[Item]) -> set[str]:
    return {item.id for item in items if item.id}


def _read(items: Sequence[bytes]) -> list[Item]:
    return items_of(b"[%b]" % b",".join(items))


def front(document: Document, member: Member, history: Sequence[bytes]) -> Edit:
    """The edit that puts the history in front of the input; a text becomes the user message that it stands for."""
    joined = b",".join(history)
    literal = document.body[member.value : member.end]
    if literal[:1] == b"[":
        start = member.value + 1
        return start, start, joined + (b"," if _items(document) else b"")
    message = b"" if literal == b'""' else b',{"role":"user","content":%b}' % literal
    return member.value, member.end, b"".join((b"[", joined, message, b"]"))


def _history(document: Document, conversation: Sequence[bytes]) -> Sequence[bytes]:
    """What of the conversation stands in front of the input: no item twice.

    A client that names the previous response and sends the conversation along means the conversation; one that sends
    the last turn's calls along with their outputs means them once.
    """
    items = _items(document)
    if not conversation or _is_new(items):
        return conversation
    ours = {key for item in items if item.kind.made_by == "model" for key in _keys(item)}
    again = [place for place, item in enumerate(_read(conversation)) if not ours.isdisjoint(_keys(item))]
    if not again:
        return conversation
    return () if items[0].kind.made_by == "client" else conversation[: again[0]]


def _is_new(items: Iterable[Item]) -> bool:
    """Whether nothing that the model made is among the items a client sends."""
    return all(item.kind is REFERENCE or item.kind.made_by == "client" for item in items)


def _keys(item: Item) -> list[str | bytes]:
    """By what an item of the model's is known again."""
    if item.kind is REFERENCE or item.kind.made_by == "client":
        return []
    return [key for key in (fingerprint(item.json), item.id) if key]


class Recollection:
    """The lookups of one request, and their results: what it refers to, and what a compaction in it stood for.

    `is_unreadable` says of a blob whether upstream cannot read it: other compactions stay.
    """

    def __init__(self, document: Document, policy: Policy, is_unreadable: Callable[[bytes], bool]) -> None:
        self.came = document
        self.unexpanded = document
        """The request with what was found of its references, and with the client's compactions."""
        self.behind: frozenset[bytes] = frozenset()
        """The blob of the compaction that was replaced, and those in what it stood for."""
        self._is_unreadable = is_unreadable
        self._compaction: Compaction | None = None
        """The one that is looked for, or was found."""
        self.next = wanted(document) if policy.drop_conversation or document.raw("conversation") is None else None
        """What to ask next."""
        self.resolved: Resolved | None = None
        """The request with what was found; None: unchanged."""
        self.document = document
        """The request from which attempts are made: with what was found, or unchanged."""
        self._store: StoreOutcome | None = None
        self._delays = [] if policy.mode == "observe" else list(reversed(AGAIN))

    def look_behind(self) -> None:
        """Ask, where nothing else is to be asked, for what the last compaction stood for, if that cannot be read."""
        if self.next is None and self._compaction is None:
            last = last_compaction(self.document)
            if last is not None and self._is_unreadable(last.blob):
                self._compaction, self.next = last, Recall(last.name, ())

    def take(self, found: Recalled | None) -> None:
        """Take what was found; what is missing is looked for again, and None says that the store is down."""
        asked, self.next = self.next, None
        if found is None or asked is None:
            self._store = "down"
            return
        if self._compaction is not None:
            self._take_history(self._compaction, found.conversation or ())
            return
        done, document = self._resolved(asked, found)
        if done.missed and self._delays:
            self.next = asked._replace(delay=self._delays.pop())
            return
        self._store = "miss" if done.missed else "hit"
        if done.ids:
            self.resolved, self.document, self.unexpanded = done, document, document
        self.look_behind()

    def _take_history(self, compaction: Compaction, history: Sequence[bytes]) -> None:
        """Take what a compaction stood for; nothing: it is not known."""
        try:
            done = expanded(self.document, compaction, history) if history else None
            document = read(done.body) if done is not None else None
        except MalformedError:
            done = document = None
        if done is None or document is None:
            self._store = "miss"
            return
        self.document, self.behind = document, done.blobs
        self._store = self._store or "hit"

    def _resolved(self, asked: Recall, found: Recalled) -> tuple[Resolved, Document]:
        try:
            done = resolve(self.came, asked, found)
            return done, read(done.body) or self.came
        except MalformedError:
            return Resolved(self.came.body, missed=True), self.came

    @property
    def ids(self) -> tuple[tuple[RemovedName, str], ...]:
        """(name of `x-unpinned-removed`, id) of everything resolved."""
        named = self.resolved.ids if self.resolved is not None else ()
        replaced = self._compaction if self.behind else None
        return (*named, ("compaction", replaced.id)) if replaced is not None else named

    def reported(self, report: Report, sent: Document | None) -> Report:
        """`report` with what the store knew, and what of it is in the request that was made from `sent`."""
        ids = self.ids if sent is self.document else ()
        removed = Counter(what for what, _ in ids)
        fidelity = "lossless" if ids and report.fidelity == "exact" else report.fidelity
        return report._replace(fidelity=fidelity, removed=removed + Counter(report.removed), store=self._store)
