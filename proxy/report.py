"""Every name that a report can have, once: what it means, whether it is a loss, and what an application can do.

The names appear in the `x-unpinned-*` response fields, in logs, in metrics, in `unpinned explain` and on the live page.
Each is a Literal, so that a misspelled one does not pass the type check, and a row here, so that none lacks its words.
A new name is a new row. Pure data.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from proxy.hints import Hint

Route = Literal["responses", "input_tokens", "compact", "other"]
SocketKind = Literal["session", "tunnel"]
Action = Literal["passthrough", "rewritten", "recovered", "unrecovered", "observed", "unread", "stored"]
Fidelity = Literal["exact", "lossless", "lossy"]
Remedy = Literal["same", "portable", "repaired", "fresh"]
RefusalKind = Literal[
    "locked",  # another request of the conversation is in progress: the same bytes may do in a moment
    "response",  # a previous response is not found, or not allowed here
    "item",  # an item is not found
    "pairing",  # a call, an output or a reasoning stands alone, or twice
    "encrypted",  # a blob cannot be verified
    "container",  # the container of a replayed code interpreter call has expired
    "field",  # an item's field is refused, or demanded
    "envelope",  # a response's field stands at the top level
]
RemovedName = Literal[
    "previous_response_id",
    "item_id",
    "item_reference",
    "reasoning",
    "encrypted_content",
    "compaction",
    "envelope_field",
    "conversation",
    "trimmed",
    "comparison",
]
RepairedName = Literal["orphan_output", "placeholder", "image", "summary", "note", "call_id", "order"]
Name = RemovedName | RepairedName
LeftOut = Literal[
    "organization_mismatch", "end_user_mismatch", "model_mismatch", "prefix_mismatch", "turn_boundary", "other"
]
StoreOutcome = Literal["hit", "miss", "down", "gap"]
StoreFailure = Literal["recall", "remember", "overflow", "read", "too_large", "conversation"]


class Explanation(NamedTuple):
    """One name of a report, in words."""

    loss: Literal["never", "sometimes", "always"]
    """Whether the model then sees less than the client sent, or other things."""
    rule: str
    """Why it is done."""
    lost: str
    """What the model does not see where it is a loss; `""` where it never is one."""
    avoid: str
    """What an application or an operator can do so that it is not done."""


REMOVED: Final[dict[RemovedName, Explanation]] = {
    "previous_response_id": Explanation(
        "sometimes",
        "A previous response is known only where it was made: to the same project, in the same region.",
        "all that was said before, but for what the input repeats",
        "Send the whole conversation as `input` on every turn, or run Unpinned with a store, or in "
        "`auto` mode, which keeps the reference as long as upstream knows it.",
    ),
    "item_id": Explanation(
        "never",
        "The id of an item is a label of the server that made it; elsewhere it is not found.",
        "",
        "Leave `id` out of the items that you replay.",
    ),
    "item_reference": Explanation(
        "sometimes",
        "A reference is nothing but an id, which only the server that made the item can resolve.",
        "the items referred to, where the input does not hold them as well",
        "Send the items themselves: the AI SDK does with `store: false`. Or run Unpinned with a store, or in `auto` "
        "mode.",
    ),
    "reasoning": Explanation(
        "always",
        "Reasoning without `encrypted_content` is looked up by its id, and any must be followed by what it led to.",
        "what it had thought at that point; what it said and did is still there",
        'Ask for `include: ["reasoning.encrypted_content"]` on every request, and replay what you get.',
    ),
    "encrypted_content": Explanation(
        "always",
        "Encrypted reasoning can be read only for the organization, or the resource, that it was made for.",
        "what it had thought at that point; readable summaries stay",
        "Let all servers of a conversation use keys of one organization, or of one resource.",
    ),
    "compaction": Explanation(
        "sometimes",
        "A compaction can be read only for the organization, or the resource, that it was made for.",
        "the history that it stood for, where a store does not know it",
        "Let all servers of a conversation use keys of one organization, keep the items that were compacted, or run "
        "Unpinned with a store.",
    ),
    "envelope_field": Explanation(
        "never",
        "A response's own fields are no fields of a request, and are refused there.",
        "",
        "Replay items without the fields that belong to the response they came in.",
    ),
    "conversation": Explanation(
        "always",
        "UNPINNED_DROP_CONVERSATION is on: a conversation is known only to the project that made it.",
        "the conversation's history",
        "Send the history as `input`, or switch the setting off.",
    ),
    "trimmed": Explanation(
        "always",
        "Upstream refused all that keeps more: instructions, tools, the last question and the last few results remain.",
        "the older part of the conversation",
        "See what upstream refused, and send what it asked for; UNPINNED_KEEP_LAST says how much a trim keeps.",
    ),
    "comparison": Explanation(
        "never",
        "The response with whose prompt cache this one's is compared is known only where it was made.",
        "",
        "Leave `prompt_cache_options.comparison_response_id` out, which asks for a diagnosis only.",
    ),
}
"""Names of `x-unpinned-removed` and of the metric `unpinned_removed_total`."""

REPAIRED: Final[dict[RepairedName, Explanation]] = {
    "orphan_output": Explanation(
        "always",
        "A tool's output is refused without its call: its text goes on as a note, of 16,000 characters at most.",
        "that it was a tool's output, and images and files in it",
        "Send every output together with its call.",
    ),
    "placeholder": Explanation(
        "always",
        "A call is refused without its output: it gets one that says that none was recorded.",
        "nothing, but it reads an output that the tool never gave",
        "Send every call together with its output, or leave it out.",
    ),
    "image": Explanation(
        "always",
        "An image generation call is always looked up by its id: the image goes on as a user's message.",
        "that it made the image itself, and with which prompt",
        "Replay images as `input_image` of a message.",
    ),
    "summary": Explanation(
        "never", "Reasoning must have a `summary`: an empty one is added.", "", "Replay `summary` as it came."
    ),
    "note": Explanation(
        "always",
        "A call that only its own server can go on with takes the form of a note.",
        "the call as a call: a note says what was asked, and what came of it",
        "Keep the reasoning of computer calls with them, and containers alive for as long as a conversation.",
    ),
    "call_id": Explanation(
        "sometimes",
        "Two calls with one id, and ids of more than 64 characters, are refused: a call and its output get a new one.",
        "nothing, where calls with one id and their outputs stand in the same order",
        "Give each call an id of its own, of 64 characters at most.",
    ),
    "order": Explanation(
        "never",
        "Models that are served as chats take a tool's output only right behind its call: it is moved there.",
        "",
        "Send nothing between calls and their outputs.",
    ),
}
"""Names of `x-unpinned-repaired`. No metric counts them."""

ACTIONS: Final[dict[Action, str]] = {
    "passthrough": "sent as it came",
    "rewritten": "sent in another form",
    "recovered": "refused as it was, and answered in another form",
    "unrecovered": "refused, and the refusal was given to the client",
    "observed": "sent as it came, because the mode is `observe`",
    "unread": "sent as it came, because it is no JSON that can be read",
    "stored": "answered from the store",
}

FIDELITIES: Final[dict[Fidelity, str]] = {
    "exact": "nothing was changed",
    "lossless": "the model sees all that the client sent",
    "lossy": "the model sees less than the client sent, or other things",
}

REFUSALS: Final[dict[RefusalKind, str]] = {
    "locked": "another request of the same conversation is under way",
    "response": "upstream does not know the previous response",
    "item": "upstream does not know an item",
    "pairing": "a call, an output or what a reasoning led to is missing, or an item is there twice",
    "encrypted": "upstream cannot read encrypted content",
    "container": "the container of a code interpreter call has expired",
    "field": "upstream does not take a field of an item, or misses one",
    "envelope": "upstream does not take a field of a response at the top level of a request",
}

EXPLANATIONS: Final[dict[Name, Explanation]] = dict([*REMOVED.items(), *REPAIRED.items()])

LEFT_OUT: Final[dict[LeftOut, str]] = {
    "organization_mismatch": "reasoning that was made for another organization",
    "end_user_mismatch": "reasoning that was made for another end user",
    "model_mismatch": "reasoning of another model",
    "prefix_mismatch": "reasoning after which the conversation is another one than that in which it was made",
    "turn_boundary": "reasoning of an earlier turn",
    "other": "something for a reason that is not known here",
}
"""What upstream left out, behind a 200, as `input_transformations` of its answer says (openai 3.50, 2026-11)."""

STORE: Final[dict[StoreOutcome, str]] = {
    "hit": "The store knows all that the request refers to.",
    "miss": "The store does not know all that the request refers to.",
    "down": "The store could not be reached.",
    "gap": "The conversation has a turn whose answer was never seen.",
}
"""Values of `x-unpinned-store`, and outcomes of the metric `unpinned_store_total`."""

STORE_FAILURES: Final[dict[StoreFailure, str]] = {
    "recall": "a lookup failed",
    "remember": "a write failed",
    "overflow": "responses arrive faster than they can be written: one is not remembered",
    "read": "an answer could not be read: it is not remembered",
    "too_large": "a response has over 20,000 items, or one larger than UNPINNED_STORE_MAX_ITEM: it is not remembered",
    "conversation": "a conversation could not be read or written: 503, or the turn is left without its answer",
}
"""What can go wrong beside a lookup's outcome; the metric's outcome is the name with `_failed` behind it."""

REMEDIES: Final[dict[Remedy, str]] = {
    "same": "the same bytes",
    "portable": "made portable",
    "repaired": "repaired",
    "fresh": "trimmed",
}
"""What is sent after a refusal; labels of the metric `unpinned_recovery_attempts_total`."""


class Report(NamedTuple):
    """What was done to one request: the content of the `x-unpinned-*` response fields."""

    action: Action = "passthrough"
    fidelity: Fidelity = "exact"
    removed: Mapping[RemovedName, int] = MappingProxyType({})
    repaired: Mapping[RepairedName, int] = MappingProxyType({})
    attempts: int = 1
    store: StoreOutcome | None = None
    """Whether a store knew all that the request refers to; None where no lookup was needed."""
    left_out: Mapping[LeftOut, int] = MappingProxyType({})
    """What upstream itself did not show the model, by its reason."""
    hint: Hint | None = None
    """Where something is that a refusal says is not here."""

    def counts(self) -> Iterator[tuple[Name, int]]:
        """Each name that counts something, with its count."""
        for name, count in self.removed.items():
            if count:
                yield name, count
        for repaired, count in self.repaired.items():
            if count:
                yield repaired, count

    def fields(self) -> list[tuple[bytes, bytes]]:
        """The `x-unpinned-*` response fields, in the order in which they are sent."""
        fields = [
            (b"x-unpinned-action", self.action.encode()),
            (b"x-unpinned-fidelity", self.fidelity.encode()),
            (b"x-unpinned-attempts", b"%d" % self.attempts),
        ]
        counted: tuple[tuple[bytes, Mapping[RemovedName, int] | Mapping[RepairedName, int]], ...] = (
            (b"x-unpinned-removed", self.removed),
            (b"x-unpinned-repaired", self.repaired),
        )
        for name, counts in counted:
            if counts and (value := ", ".join([f"{what}={count}" for what, count in counts.items() if count])):
                fields.append((name, value.encode()))
        if self.left_out:
            told = ", ".join([f"{reason}={count}" for reason, count in self.left_out.items()])
            fields.append((b"x-unpinned-upstream-removed", told.encode()))
        if self.store is not None:
            fields.append((b"x-unpinned-store", self.store.encode()))
        if self.hint is not None:
            fields.append((b"x-unpinned-hint", str(self.hint).encode()))
        return fields
