"""What a compaction stood for takes its place, where upstream cannot read the compaction and a store knows it.

One compaction of a request is replaced, the last: nothing before it is needed, and what it stood for did fit into a
request once. An earlier one in there is the loss that it would have been. Pure.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from proxy.responses.body.document import Document
from proxy.responses.body.edits import Edit, cut_spans, splice
from proxy.responses.body.item import Item
from proxy.responses.body.table import items_of
from proxy.responses.history.fingerprint import fingerprint
from proxy.responses.items import COMPACTION

_KIND: Final = frozenset({COMPACTION.name})


def name_of_compaction(blob: bytes) -> str:
    """The name in a store under which that is known which a compaction with this blob stood for."""
    return f"compaction of {sha256(blob).hexdigest()}"


class Compaction(NamedTuple):
    """The last compaction of a request."""

    place: int
    id: str
    blob: bytes
    """Its encrypted content, as a JSON literal."""

    @property
    def name(self) -> str:
        """Under which a store knows what it stood for."""
        return name_of_compaction(self.blob)


def last_compaction(document: Document) -> Compaction | None:
    """The last compaction of a request; None where there is none."""
    array = document.arrays[0] if len(document.arrays) == 1 else None
    places = array.table.places(_KIND) if array is not None else []
    if array is None or not places:
        return None
    item = array.items[places[-1]]
    return Compaction(places[-1], item.id or "", bytes(item.encrypted_content)) if item.has_blob else None


class Expanded(NamedTuple):
    """A request in which what a compaction stood for is in its place."""

    body: bytes
    blobs: frozenset[bytes]
    """The compaction's blob, and those of the history: who cannot read the one cannot read the others."""


def expanded(document: Document, compaction: Compaction, history: Sequence[bytes]) -> Expanded:
    """The request with the history in the place of its compaction; what also stands in front of that, stands once.

    May raise MalformedError where the store gives what is no JSON.
    """
    array, known = document.arrays[0], items_of(b"[%b]" % b",".join(history))
    marks = {mark for item in known for mark in _marks(item)}
    before = array.items[: compaction.place]
    doomed = [not marks.isdisjoint(_marks(item)) for item in before]
    spans = array.elements.spans
    edits: list[Edit] = cut_spans(spans, doomed + [False] * (len(spans) - len(doomed)))
    edits.append((*spans[compaction.place], b",".join(history)))
    blobs = frozenset(bytes(item.encrypted_content) for item in known if item.has_blob)
    return Expanded(splice(document.body, edits), blobs | {compaction.blob})


def _marks(item: Item) -> Iterator[bytes | str]:
    """By what an item is known again; reasoning by its id or blob."""
    said = fingerprint(item.json)
    if said is not None:
        yield said
        return
    yield from filter(None, (item.id or "", bytes(item.encrypted_content) if item.has_blob else b""))
