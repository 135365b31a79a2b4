"""Which call an output answers, and what to do where one of the two is missing.

Every output has a call of its kind earlier in the input, every call an output later; reasoning is followed by what
it produced. Upstream refuses anything else (400: "No tool call found for …", "No tool output found for …",
"… was provided without its required following item").
"""

from collections import Counter, deque
from collections.abc import Collection, Sequence
from hashlib import sha256
from typing import Final

from proxy.responses.body.item import Item
from proxy.responses.items import CALLS, PAIRED, REASONING, REFERENCE
from proxy.responses.rewrite.draft import Counts, Draft
from proxy.responses.rewrite.entry import Entry
from proxy.responses.rewrite.substitutes import call_note, output_note, placeholder_output, tools_item

_BY_CALL: Final = ("call_id",)
_LONGEST_CALL_ID: Final = 64
"""Characters of a call id that OpenAI takes, by its own refusal (2026-11)."""


class Pairs:
    """The pairs of calls and outputs of a draft, and those without a partner."""

    def __init__(self, entries: list[Entry]) -> None:
        self.answered: dict[Entry, list[Entry]] = {}
        """Each call that has a key, with the outputs that answer it."""
        self.call_of: dict[Entry, Entry] = {}
        """The call of each output that has one."""
        self.orphans: list[Entry] = []
        """Outputs that name a call that is not there."""
        self._unkeyed: Counts[str] = Counts()
        """Outputs that name no call, by the name of their tool: a function call's may (openai 3.57.0, 2026-11)."""
        self._waiting: dict[tuple[str, str], Entry] = {}
        """The call that the next output answers, by the kind of the call and a key."""
        self._behind: dict[tuple[str, str], deque[Entry]] = {}
        """Later calls with the same key, as keys come twice."""
        for entry in entries:
            kind = entry.item.kind
            if kind.name in CALLS:
                for key in keys(entry.item):
                    self.answered[entry] = []
                    if self._waiting.setdefault((kind.name, key), entry) is not entry:
                        self._behind.setdefault((kind.name, key), deque()).append(entry)
            elif kind.answers:
                self._match(entry)

    def _match(self, output: Entry) -> None:
        named = keys(output.item)
        for kind in output.item.kind.answers:
            for key in named:
                if (kind, key) in self._waiting:
                    call = self.call_of[output] = self._next(kind, key)
                    self.answered[call].append(output)
                    return
        if named:
            self.orphans.append(output)
        else:
            self._unkeyed[output.item.text("name") or ""] += 1

    def _next(self, kind: str, key: str) -> Entry:
        """The first of the calls with a key that has no output yet, or else the last."""
        call = self._waiting[kind, key]
        behind = self._behind.get((kind, key))
        while behind and self.answered[call]:
            call = self._waiting[kind, key] = behind.popleft()
        return call

    def unanswered(self) -> list[Entry]:
        """The calls that upstream refuses without an output; an `async` call may still be running."""
        waiting = [call for call, outputs in self.answered.items() if not outputs]
        unkeyed = Counts(self._unkeyed)
        return [
            call
            for call in waiting
            if call.item.kind.placeholder and call.item.raw("async") != b"true"
            if not _takes_one(unkeyed, call.item.text("name") or "")
        ]


def pairs_of(draft: Draft) -> Pairs:
    """The pairs among what is sent of a draft."""
    return Pairs([entry for entry in draft.of(PAIRED) if entry.fate != "dropped"])


def _takes_one(unkeyed: Counts[str], name: str) -> bool:
    """Whether one of the outputs that name no call is that of a call of this tool; it is then taken."""
    for which in (name, ""):
        if unkeyed[which]:
            unkeyed[which] -= 1
            return True
    return False


def apart(entries: Sequence[Entry]) -> dict[Entry, Entry]:
    """Outputs that do not stand behind the run of calls in which theirs is, with the last call of that run.

    Models that are served as chats take an output only there (DeepSeek-V3#1588).
    """
    last: dict[Entry, Entry] = {}
    found: dict[Entry, Entry] = {}
    call_of = Pairs([*entries]).call_of
    run: list[Entry] = []
    open_: set[Entry] = set()
    for entry in (entry for entry in entries if entry.sent):
        if entry.item.kind.name in CALLS:
            run = [*run, entry] if not open_ else [entry]
            open_ = set()
            for call in run:
                last[call] = entry
        elif entry in call_of and call_of[entry] in run:
            open_.add(entry)
        else:
            if entry in call_of and call_of[entry] in last:
                found[entry] = last[call_of[entry]]
            run, open_ = [], set()
    return found


def bring_together(draft: Draft) -> None:
    """Send outputs behind the run of calls in which theirs is."""
    moves: dict[Entry, list[Entry]] = {}
    for output, call in apart(draft.sent()).items():
        moves.setdefault(call, []).append(output)
    if moves:
        draft.move_behind(moves)


def keys(item: Item) -> Sequence[str]:
    """The keys by which a call and its output know each other; a search that upstream ran has none."""
    if item.kind.pairs_by == _BY_CALL:
        return (item.call_id,) if item.call_id else ()
    return [key for name in item.kind.pairs_by if (key := item.text(name))]


def repair_orphan_outputs(draft: Draft, orphans: Collection[Entry]) -> None:
    """Turn outputs without a call into notes; definitions of tools that one of them brought stay definitions."""
    for entry in orphans:
        lasting = entry.item.kind.lasting
        draft.replace(entry, tools_item(entry.item) if lasting else output_note(entry.item), "orphan_output")


def repair_unanswered_calls(draft: Draft, calls: Collection[Entry]) -> None:
    """Give calls without an output a placeholder behind their turn, or turn them into a note.

    Behind the turn and not behind the call: an output in the middle would make two turns of one.
    """
    if not calls:
        return
    noted = {call for call in calls if call.item.kind.placeholder == "note"}
    for call in noted:
        draft.replace(call, call_note(call.item), "note")
    waiting = {call for call in calls if call not in noted}
    behind: dict[Entry, list[bytes]] = {}
    for turn in draft.turns() if waiting else ():
        behind[turn.entries[-1]] = [
            placeholder_output(call.item, call.item.kind.placeholder)
            for call in turn.entries
            if call in waiting and call.item.kind.placeholder
        ]
    if behind:
        draft.add_behind(behind, "placeholder")


def note_pair(draft: Draft, call: Entry, outputs: Collection[Entry]) -> None:
    """Turn a call and its outputs into notes, as a pair that cannot stand without what was in front of it."""
    draft.replace(call, call_note(call.item), "note")
    for output in outputs:
        draft.replace(output, output_note(output.item), "note")


def note_unreasoned(draft: Draft, named: Collection[str]) -> None:
    """Turn the named calls that cannot give up their id into notes: they were refused without their reasoning."""
    calls = [entry for entry in draft.sent() if entry.came.kind.id == "pinned" and entry.came.id in named]
    answered = pairs_of(draft).answered if calls else {}
    for call in calls:
        if call in answered and call.came.kind.name != "program":
            note_pair(draft, call, answered[call])


def rename_calls(draft: Draft) -> None:
    """Give calls whose id is too long, or an earlier call's, a new one, and their outputs the same.

    OpenAI takes 64 characters (400 string_above_max_length); models behind gateways count `terminal:0` in each turn
    anew. The new id is made of the old one and of its place among those that are the same, so that it stays on every
    turn. A second output of one call becomes a note.
    """
    count: Counter[str] = Counter()
    for call, outputs in pairs_of(draft).answered.items():
        for output in outputs[1:]:
            draft.replace(output, output_note(output.item), "orphan_output")
        old = call.item.call_id
        if not old or not outputs or call.fate != "kept" or outputs[0].fate != "kept":
            continue
        count[old] += 1
        if len(old) > _LONGEST_CALL_ID or count[old] > 1:
            new = sha256(f"{old} {count[old]}".encode("utf-8", "surrogatepass")).hexdigest()[:24]
            for entry in (call, outputs[0]):
                entry.set("call_id", b'"call_%s"' % new.encode())
            draft.repaired["call_id"] += 1
            if count[old] > 1:
                draft.lossy.add("call_id")  # which output belongs to which of them is told by their order alone


def drop_duplicates(draft: Draft) -> None:
    """Drop items with an id of an earlier item, and references to inline items; an output may bear its call's id.

    400 "Duplicate item found with id …" (continue#10200, pi#5165).
    """
    seen: dict[tuple[str, frozenset[str]], Entry] = {}
    for entry in sorted(draft.sent(), key=lambda entry: entry.came.kind is REFERENCE):
        id_ = entry.came.id
        if id_ and seen.setdefault((id_, entry.came.kind.answers), entry) is not entry:
            draft.drop(entry, "item_reference" if entry.came.kind is REFERENCE else "trimmed")


def drop_unfollowed_reasoning(draft: Draft) -> None:
    """Drop reasoning without a follower; a run of reasoning items counts as one."""
    entries = draft.entries
    doomed: list[Entry] = []
    follower: Entry | None = None
    following = len(entries)
    for place in reversed([place for place, entry in enumerate(entries) if entry.came.kind is REASONING]):
        if place + 1 != following:
            follower = entries[place + 1] if place + 1 < len(entries) else None
        following = place
        if follower is None or follower.fate != "kept" or follower.item.kind.made_by == "client":
            doomed.append(entries[place])
    for entry in reversed(doomed):
        if entry.sent:
            draft.drop(entry, "reasoning")
