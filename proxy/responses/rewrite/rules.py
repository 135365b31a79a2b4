"""What only one server, key or project knows is taken out of an input; nothing else changes.

Each function is one rule over a draft. Sources stand beside the rules; the kinds are rows in `items`.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from msgspec import UNSET, Raw

from proxy.report import RemovedName
from proxy.responses.body.edits import cut_members, cut_spans, splice
from proxy.responses.body.item import ABSENT, Item
from proxy.responses.body.lenient import elements
from proxy.responses.body.objects import members_of, object_of, objects, text
from proxy.responses.items import (
    CODE_INTERPRETER,
    COMPACTION,
    COMPUTER_CALL,
    IMAGE,
    KINDS,
    PART_ENVELOPE,
    REASONING,
    REFERENCE,
)
from proxy.responses.rewrite.draft import Draft, Turn
from proxy.responses.rewrite.entry import Entry
from proxy.responses.rewrite.pairing import note_pair, pairs_of
from proxy.responses.rewrite.substitutes import code_note, hosted_note, image_message

_PART_ENVELOPE: Final = frozenset(PART_ENVELOPE)
_NULL: Final = Raw(b"null")
REFERENCES: Final = frozenset({REFERENCE.name})
_REASONING: Final = frozenset({REASONING.name})
_IMAGES: Final = frozenset({IMAGE.name})
_CODE: Final = frozenset({CODE_INTERPRETER.name})
_NO_SUMMARY: Final = (ABSENT, _NULL)


def drop_references(draft: Draft) -> bool:
    """Drop item references; whether one stood for something that is not inline as well."""
    references = draft.of(REFERENCES)
    inline = {entry.came.id for entry in draft.entries if entry.came.kind is not REFERENCE and entry.came.id}
    lost = [entry for entry in references if entry.came.id not in inline]
    for entry in references:
        draft.leave_out(entry, "item_reference")
    if lost:
        draft.lossy.add("item_reference")
    return bool(lost)


def reduce_reasoning(draft: Draft) -> bool:
    """Take out reasoning that only its server can resolve; whether there was any.

    A readable summary stays, as `{"type": "reasoning", "summary": […]}`, and so does readable content (open models
    send their reasoning as text). langchain PR#38372, AI SDK and open-swe PR#1941 drop the rest as we do.
    """
    found = False
    for entry in draft.of(_REASONING):
        if not entry.came.has_blob:
            found |= _reduce(draft, entry, "reasoning")
    return found


def _reduce(draft: Draft, entry: Entry, what: RemovedName) -> bool:
    """Keep what of a reasoning can be read, or drop it; whether that took anything but labels."""
    readable = {name for name in ("summary", "content") if _is_readable(entry.came.array(name))}
    if not readable:
        draft.drop(entry, what)
        entry.lost_reasoning = True
        return True
    names = entry.came.fields.keys() - readable - {"type", "summary"}
    entry.cut |= names
    if entry.came.summary is ABSENT:
        _put_summary(draft, entry)
    if entry.came.id in (None, UNSET) and what == "reasoning":
        if names:
            draft.removed["envelope_field"] += len(names)
        return False
    draft.count_removed(what, entry.came)
    draft.lossy.add(what)
    entry.lost_reasoning = True
    return True


def _is_readable(parts: memoryview | None) -> bool:
    return parts is not None and any(text(part, "text") for part in objects(parts))


def give_summaries(draft: Draft) -> None:
    """Give reasoning the summary it must have."""
    for entry in draft.of(_REASONING):
        if entry.came.summary in _NO_SUMMARY and "summary" not in entry.put and entry.fate == "kept":
            _put_summary(draft, entry)


def _put_summary(draft: Draft, entry: Entry) -> None:
    # Missing required parameter: 'input[7].summary' (Operit#797)
    entry.set("summary", b"[]")  # it may have been null
    draft.repaired["summary"] += 1


def drop_blobs(draft: Draft, is_refused: Collection[bytes] | None) -> None:
    """Take the refused `encrypted_content` literals out of reasoning; None: all of them, and compactions as well."""
    for entry in draft.entries:
        if is_refused is None and entry.fate == "kept" and entry.came.kind.name in _WITH_BLOB_PARTS:
            _drop_blob_parts(draft, entry)
        if not entry.came.has_blob or entry.fate == "dropped":
            continue
        if is_refused is not None and bytes(entry.came.encrypted_content) not in is_refused:
            continue
        if entry.came.kind is REASONING:
            _reduce(draft, entry, "encrypted_content")
        elif entry.came.kind is COMPACTION:
            draft.drop(entry, "compaction")


_WITH_BLOB_PARTS: Final = frozenset({"agent_message", "function_call_output", "custom_tool_call_output"})


def _drop_blob_parts(draft: Draft, entry: Entry) -> None:
    """Take the parts out that are `{"type": "encrypted_content", …}`, or the item where there are no others."""
    for name in ("content", "output"):
        parts = entry.came.raw(name) or b""
        if parts[:1] != b"[":
            continue
        doomed = [text(part, "type") == "encrypted_content" for part in objects(parts)]
        if all(doomed) and doomed and entry.came.kind.name == "agent_message":
            draft.drop(entry, "encrypted_content")
        elif any(doomed):
            entry.set(name, splice(parts, cut_spans(elements(parts, 0), doomed)))
            draft.count_removed("encrypted_content", entry.came)
            draft.lossy.add("encrypted_content")


def drop_reasoning(draft: Draft) -> None:
    """Take out all reasoning, with its summaries: upstream's model takes none."""
    for entry in draft.of(_REASONING):
        if entry.fate == "kept":
            draft.drop(entry, "reasoning")
            entry.lost_reasoning = True


def replace_images(draft: Draft) -> None:
    """Show what image generation calls made as images; a call is always looked up by its id (rikkahub#1198)."""
    for entry in draft.of(_IMAGES):
        message = image_message(entry.came)
        if message is None:
            draft.drop(entry, "item_reference")  # without a result it consists of its id
        else:
            draft.replace(entry, message, "image")


def note_expired_code(draft: Draft, containers: Collection[str]) -> None:
    """Turn code interpreter calls of the named containers into notes (pydantic-ai#7461)."""
    for entry in draft.of(_CODE):
        if entry.sent and entry.came.text("container_id") in containers:
            draft.replace(entry, code_note(entry.came), "note")


def note_hosted_calls(draft: Draft, labels: Collection[str]) -> None:
    """Turn calls of upstream's own tools into notes: their shape, or their lost id, is refused, and nothing pairs."""
    for entry in draft.entries:
        if entry.fate == "kept" and entry.came.kind.hosted and entry.came.kind.label in labels:
            draft.replace(entry, hosted_note(entry.came), "note")


def note_unreasoned_computer_calls(draft: Draft) -> None:
    """Turn computer calls that lost their reasoning into notes, with their outputs.

    Sent with its id but without its reasoning, a computer call is answered with a 500 (community topic 1375928).
    """
    calls = [
        entry
        for turn in draft.turns()
        if turn.lost_reasoning
        for entry in turn.entries
        if entry.item.kind is COMPUTER_CALL
    ]
    answered = pairs_of(draft).answered if calls else {}
    for call in calls:
        note_pair(draft, call, answered.get(call, ()))


def remove_ids(draft: Draft, *, profile: str, all_turns: bool, demanded: Collection[tuple[str, str]]) -> None:
    """Take the ids out, by turn: a turn keeps all of its ids or none, for half a turn is refused.

    400 "Item 'fc_…' … was provided without its required 'reasoning' item" (hermes-agent#97427, laravel/ai PR#1052).
    With `all_turns`, only items with an id that pairs or is signed keep it.
    """
    keeping: set[Entry] = set()
    may_keep = bool(demanded) or not _PINNED.isdisjoint(draft.table.by_kind) or profile == "azure"
    for turn in draft.turns() if may_keep else ():
        if _is_demanded(turn, demanded) or (not all_turns and _keeps_ids(turn, profile)):
            keeping.update(turn.entries)
    draft.cut_ids(
        [
            entry
            for entry in draft.with_id()
            if entry.fate == "kept" and entry.came.kind.id not in _STAYING
            if entry not in keeping and "id" not in entry.cut
            if not demanded or (entry.came.kind.label, "id") not in demanded
        ]
    )


_STAYING: Final = ("pinned", "reference")
_PINNED: Final = frozenset(kind.name for kind in KINDS.values() if kind.id == "pinned")


def _is_demanded(turn: Turn, demanded: Collection[tuple[str, str]]) -> bool:
    return bool(demanded) and any((entry.item.kind.label, "id") in demanded for entry in turn.entries)


def _keeps_ids(turn: Turn, profile: str) -> bool:
    if turn.lost_reasoning:
        return False
    if any(entry.item.kind.id == "pinned" for entry in turn.entries):
        return True
    # Azure has refused a blob without its id ("ID is required", codex PR#3528) and took id and blob (Floway PR#249).
    return profile == "azure" and any(entry.item.kind is REASONING for entry in turn.entries)


def remove_fields(draft: Draft, *, profile: str, demanded: Collection[tuple[str, str]]) -> None:
    """Take out the fields that no item, or not this kind of item, may have in a request."""
    envelope, plain = draft.array.envelope, draft.array.parts_are_plain
    kinds = _WITH_MESSAGES if profile == "azure" else _CHECKED
    for entry in draft.entries if envelope or not plain else draft.of(kinds):
        kind = entry.came.kind
        if entry.fate != "kept" or not kind.known:
            continue
        if envelope or kind.stray or kind is REASONING or profile == "azure":
            for name in _unwelcome(entry.came, envelope, profile):
                if name not in entry.cut and (kind.label, name) not in demanded:
                    draft.cut(entry, name, "envelope_field")
        if kind.parts != "content" or (not plain and (kind.role or kind is REASONING)):
            _mark_parts(draft, entry, _PART_ENVELOPE)


_CHECKED: Final = frozenset(
    kind.name for kind in KINDS.values() if kind is REASONING or kind.stray or kind.parts != "content"
)
"""The kinds of which some may have too much even where no item has a field of an answer, and no part."""
_WITH_MESSAGES: Final = _CHECKED | {"message"}


def _unwelcome(item: Item, envelope: Collection[str], profile: str) -> Iterator[str]:
    if envelope:
        yield from (name for name in item.fields if name in envelope)
    if item.kind.stray:
        yield from item.kind.stray.intersection(item.fields)
    if item.kind is REASONING:
        # haskell-agent PR#689 (live A/B): `status` of a reasoning is refused; openai-python#3008: so is a null.
        if item.status is not ABSENT:
            yield "status"
        if item.has_null_content:
            yield "content"
    elif profile == "azure" and item.kind.role and item.status is not ABSENT:
        yield "status"  # litellm, azure transformation


_COUNTED_AS: Final[dict[str, RemovedName]] = {"id": "item_id", "content": "reasoning"}


def remove_refused(draft: Draft, refused: Iterable[tuple[str, str]]) -> None:
    """Take out fields that upstream has refused, `(label of the kind, field)`; `content[].x` is `x` of its parts."""
    for label, path in refused:
        for entry in draft.of(frozenset({label.partition(":")[0]})):
            if entry.fate != "kept" or entry.came.kind.label != label:
                continue
            if path.startswith("content[]."):
                _mark_parts(draft, entry, frozenset({path.removeprefix("content[].")}))
            elif "." in path:
                _cut_nested(draft, entry, *path.split(".", 1))
            elif path in entry.came.fields and path not in entry.cut:
                draft.cut(entry, path, _COUNTED_AS.get(path, "envelope_field"))
                if path == "content":
                    draft.lossy.add("reasoning")  # what an open model thought, in words


def _cut_nested(draft: Draft, entry: Entry, name: str, inner: str) -> None:
    """Take the member `inner` out of the object that the member `name` holds (`action.query` of a web search)."""
    held = entry.put.get(name) or entry.came.raw(name) or b""
    fields = object_of(held) if held[:1] == b"{" else {}
    if inner in fields and not (name in entry.cut and name not in entry.put):
        entry.set(name, splice(held, cut_members(members_of(held, 0, fields), {inner})))
        draft.count_removed("envelope_field", entry.came)


def _mark_parts(draft: Draft, entry: Entry, names: frozenset[str]) -> None:
    member = entry.came.kind.parts
    content = entry.came.array(member)
    if content is None or member in entry.cut:
        return
    found = sum(len(names.intersection(part)) for part in objects(content) if not names.isdisjoint(part))
    if found:
        entry.cut_parts |= names
        draft.removed["envelope_field"] += found
