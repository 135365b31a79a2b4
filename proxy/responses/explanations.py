"""What was done to a request, in words: for each name that a report has, the rule, the loss, and how to avoid it.

Pure data, for those who show a report to people. The rules themselves stand where they are applied.
"""

from typing import Final, NamedTuple


class Explanation(NamedTuple):
    """Why something is done, what the model then does not see (`""`: nothing), and what an application can do."""

    rule: str
    lost: str
    avoid: str


REMOVED: Final[dict[str, Explanation]] = {
    "previous_response_id": Explanation(
        "A previous response is known only where it was made: to the same project, in the same region.",
        "all that was said before, but for what the input repeats",
        "Send the whole conversation as `input` on every turn, or run Unpinned in `recover` mode, which keeps the "
        "reference as long as upstream knows it, or with a store.",
    ),
    "item_id": Explanation(
        "The id of an item is a label of the server that made it; elsewhere it is not found.",
        "",
        "Leave `id` out of the items that you replay.",
    ),
    "item_reference": Explanation(
        "A reference is nothing but an id, which only the server that made the item can resolve.",
        "the items referred to, where the input does not hold them as well",
        "Send the items themselves: the AI SDK does with `store: false`. Or run Unpinned in `recover` mode, or with a "
        "store.",
    ),
    "reasoning": Explanation(
        "Reasoning without `encrypted_content` is looked up by its id, and any must be followed by what it led to.",
        "what it had thought at that point; what it said and did is still there",
        'Ask for `include: ["reasoning.encrypted_content"]` on every request, and replay what you get.',
    ),
    "encrypted_content": Explanation(
        "Encrypted reasoning can be read only for the organization, or the resource, that it was made for.",
        "what it had thought at that point; readable summaries stay",
        "Let all servers of a conversation use keys of one organization, or of one resource.",
    ),
    "compaction": Explanation(
        "A compaction can be read only for the organization, or the resource, that it was made for.",
        "the history that it stood for",
        "Let all servers of a conversation use keys of one organization, or keep the items that were compacted.",
    ),
    "envelope_field": Explanation(
        "A response's own fields are no fields of a request, and are refused there.",
        "",
        "Replay items without the fields that belong to the response they came in.",
    ),
    "conversation": Explanation(
        "UNPINNED_DROP_CONVERSATION is on: a conversation is known only to the project that made it.",
        "the conversation's history",
        "Send the history as `input`, or switch the setting off.",
    ),
    "trimmed": Explanation(
        "Upstream refused all that keeps more: instructions, tools, the last question and the last few results remain.",
        "the older part of the conversation",
        "See what upstream refused, and send what it asked for; UNPINNED_KEEP_LAST says how much a trim keeps.",
    ),
}

REPAIRED: Final[dict[str, Explanation]] = {
    "orphan_output": Explanation(
        "A tool's output is refused without its call: its text goes on as a note, of 16,000 characters at most.",
        "that it was a tool's output, and images and files in it",
        "Send every output together with its call.",
    ),
    "placeholder": Explanation(
        "A call is refused without its output: it gets one that says that none was recorded.",
        "nothing, but it reads an output that the tool never gave",
        "Send every call together with its output, or leave it out.",
    ),
    "image": Explanation(
        "An image generation call is always looked up by its id: the image goes on as a user's message.",
        "that it made the image itself, and with which prompt",
        "Replay images as `input_image` of a message.",
    ),
    "summary": Explanation(
        "Reasoning must have a `summary`: an empty one is added.", "", "Replay `summary` as it came."
    ),
    "note": Explanation(
        "A call that only its own server can go on with takes the form of a note.",
        "the call as a call: a note says what was asked, and what came of it",
        "Keep the reasoning of computer calls with them, and containers alive for as long as a conversation.",
    ),
}

ACTIONS: Final[dict[str, str]] = {
    "passthrough": "sent as it came",
    "rewritten": "sent in another form",
    "recovered": "refused as it was, and answered in another form",
    "unrecovered": "refused, and the refusal was given to the client",
    "observed": "sent as it came, because the mode is `observe`",
    "unread": "sent as it came, because it is no JSON that can be read",
}

FIDELITIES: Final[dict[str, str]] = {
    "exact": "nothing was changed",
    "lossless": "the model sees all that the client sent",
    "lossy": "the model sees less than the client sent, or other things",
}

REFUSALS: Final[dict[str, str]] = {
    "locked": "another request of the same conversation is under way",
    "response": "upstream does not know the previous response",
    "item": "upstream does not know an item",
    "pairing": "a call, an output or what a reasoning led to is missing, or an item is there twice",
    "encrypted": "upstream cannot read encrypted content",
    "container": "the container of a code interpreter call has expired",
    "field": "upstream does not take a field of an item, or misses one",
    "envelope": "upstream does not take a field of a response at the top level of a request",
}
