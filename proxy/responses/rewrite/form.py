"""What is done to a body, as a value: the reasons for which rules are applied."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Form:
    """What is done to a body. The default changes no byte."""

    profile: str = "openai"
    asks: bool = True
    """It is a question, so that its end has to be something to answer; a count and a compaction ask nothing."""
    portable: bool = False
    """References, ids and stray fields go (with `drop_conversation`, so does the conversation)."""
    drop_conversation: bool = False
    repaired: bool = False
    """Pairs are made whole and ids go from every turn, while references stay."""
    adjacent: bool = False
    """Outputs go right behind their calls."""
    no_ids: bool = False
    """Ids go from every turn, also from those that a pinned id or a profile lets keep theirs."""
    unpaired: frozenset[str] = frozenset()
    """Call ids and item ids that upstream named when it refused a pair."""
    without: frozenset[str] = frozenset()
    """Ids of items that upstream does not find: they go with their groups."""
    blobs: frozenset[bytes] = frozenset()
    """Literals of `encrypted_content` that go."""
    no_blobs: bool = False
    """All of them go, compactions as well."""
    no_reasoning: bool = False
    """All reasoning goes: the model takes none, or takes none for its own."""
    containers: frozenset[str] = frozenset()
    """Containers that have expired: their code interpreter calls become notes."""
    noted: frozenset[str] = frozenset()
    """Labels of kinds of hosted calls, which are context only, that become notes."""
    refused: frozenset[tuple[str, str]] = frozenset()
    """(label of the kind, field) that go."""
    demanded: frozenset[tuple[str, str]] = frozenset()
    """(label of the kind, field) that stay, against all other rules."""
    no_comparison: bool = False
    """The response goes with whose prompt cache this one's is compared: an id, for a diagnosis."""
    no_envelope: bool = False
    """Fields that a request never has go from the top level."""
    keep_last: int = 0
    """Essential items that a trim keeps; 0: no trim."""

    @property
    def strips_every_turn(self) -> bool:
        """Whether ids go from all turns, also from those that a pinned id or a profile lets keep theirs."""
        every_turn = self.no_ids or self.repaired or self.no_blobs or self.no_reasoning
        return every_turn or any(name == "id" for _, name in self.refused)

    @property
    def strips_ids(self) -> bool:
        """Whether ids go, so that what consists of its id has to go as well."""
        return self.portable or self.strips_every_turn or bool(self.blobs)

    @property
    def takes_items(self) -> bool:
        """Whether items are taken away, so that others may have lost what they need."""
        named = self.blobs or self.without or self.containers or self.noted or self.keep_last
        return self.portable or self.repaired or self.no_blobs or self.no_reasoning or bool(named)
