"""The last resort: a smaller input that is still valid and still asks the same question.

Cuts only between groups: a turn of the model with everything its calls brought about stays or goes as a whole.
"""

from itertools import pairwise

from proxy.responses.body.item import Item
from proxy.responses.body.objects import text
from proxy.responses.rewrite.draft import Draft
from proxy.responses.rewrite.entry import Entry
from proxy.responses.rewrite.pairing import pairs_of


class Groups:
    """Which entries stay or go together: a turn, the outputs of its calls, the calls a program made."""

    def __init__(self, draft: Draft) -> None:
        self._parent: dict[Entry, Entry] = {}
        for turn in draft.turns():
            for one, other in pairwise(turn.entries):
                self._join(one, other)
        for output, call in pairs_of(draft).call_of.items():
            self._join(output, call)
        self._join_programs(draft.sent())

    def of(self, entry: Entry) -> Entry:
        """The entry that stands for the group of `entry`."""
        while (parent := self._parent.get(entry, entry)) is not entry:
            self._parent[entry] = self._parent.get(parent, parent)
            entry = parent
        return entry

    def _join(self, one: Entry, other: Entry) -> None:
        self._parent[self.of(one)] = self.of(other)

    def _join_programs(self, entries: list[Entry]) -> None:
        programs = {entry.item.call_id: entry for entry in entries if entry.item.kind.name == "program"}
        for entry in entries if programs else ():
            program = programs.get(_caller_id(entry.item))
            if program is not None:
                self._join(entry, program)


def _caller_id(item: Item) -> str | None:
    caller = item.member("caller")
    return text(caller, "caller_id") if caller is not None else None


def trim(draft: Draft, keep_last: int) -> None:
    """Keep instructions, definitions of tools, the last user message and the last `keep_last` essential items.

    Essential are user messages and tool outputs; each stays with its whole group.
    """
    entries = draft.sent()
    essential = [entry for entry in entries if entry.item.kind.essential]
    asked = next((entry for entry in reversed(essential) if entry.item.kind.role == "user"), None)
    others = [entry for entry in essential if entry is not asked]
    groups = Groups(draft)
    kept = {groups.of(entry) for entry in entries if entry.item.kind.lasting}
    kept |= {groups.of(entry) for entry in others[-keep_last:]}
    for entry in entries:
        if entry is not asked and groups.of(entry) not in kept:
            draft.drop(entry, "trimmed")


def drop_groups(draft: Draft, ids: frozenset[str]) -> None:
    """Drop the items of the ids, each with its group; one that only gives context goes alone."""
    groups = Groups(draft)
    doomed = set()
    for entry in draft.sent():
        if entry.came.id not in ids:
            continue
        kind = entry.item.kind
        if kind.hosted or kind.name in ("message", "compaction") or not kind.known:
            draft.drop(entry, "trimmed")
        else:
            doomed.add(groups.of(entry))
    for entry in draft.sent():
        if groups.of(entry) in doomed:
            draft.drop(entry, "trimmed")
