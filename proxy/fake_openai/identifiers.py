"""Identifiers that tell where they come from, so that any instance notices half of a turn.

An id is `PREFIX_` + link (the response that made it) + index + index of the reasoning in front of it + check.
Pure and deterministic.
"""

from hashlib import sha256

LINK = 24
NO_REASONING = "ff"


def digest(*parts: str) -> str:
    """A stable hexadecimal digest of some strings; lone surrogates do no harm."""
    return sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def link(*parts: str) -> str:
    """The part of an id that all items of one response share."""
    return digest("link", *parts)[:LINK]


def item_id(prefix: str, of: str, index: int, reasoning: int | None = None) -> str:
    """The id of the item at `index` of the response `of`, produced after the reasoning at index `reasoning`."""
    body = f"{of}{index:02x}{NO_REASONING if reasoning is None else format(reasoning, '02x')}"
    return f"{prefix}_{body}{digest('check', body)[:4]}"


def link_of(identifier: str) -> str | None:
    """The link of an id made by a fake (of any instance), or None."""
    body = identifier.rpartition("_")[2]
    genuine = len(body) == LINK + 8 and digest("check", body[:-4])[:4] == body[-4:]
    return body[:LINK] if genuine else None


def required_reasoning(identifier: str) -> str | None:
    """The id of the reasoning without which an item that kept `identifier` is refused."""
    of = link_of(identifier)
    if of is None:
        return None
    reasoning = identifier[-6:-4]
    return None if reasoning == NO_REASONING else item_id("rs", of, int(reasoning, 16))
