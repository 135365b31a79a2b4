"""One item of an input while the request is made portable: as it arrived, and what becomes of it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from proxy.responses.body.item import Item
from proxy.responses.body.table import item_of

Fate = Literal["kept", "dropped", "replaced", "added"]
_NO_NAMES: Final[frozenset[str]] = frozenset()
_NO_MEMBERS: Final[Mapping[str, bytes]] = MappingProxyType({})


class Entry(msgspec.Struct, eq=False, gc=False):
    """One item of the input; there is one for each, so that making it has to be cheap."""

    came: Item
    """As it arrived."""
    item: Item
    """As it will be sent, but for members that are cut or put."""
    fate: Fate = "kept"
    json: bytes | None = None
    """What stands in the item's place, or is added."""
    cut: frozenset[str] = _NO_NAMES
    """Names of members to take out."""
    put: Mapping[str, bytes] = _NO_MEMBERS
    """Members to add behind the others, as raw JSON."""
    cut_parts: frozenset[str] = _NO_NAMES
    """Names of members to take out of every part of `content`."""
    lost_reasoning: bool = False
    """It was a reasoning that only one server could resolve, and is gone or has lost what it held."""

    @property
    def sent(self) -> bool:
        """Whether something of it is sent upstream."""
        return self.fate != "dropped"

    def set(self, name: str, json: bytes) -> None:
        """Send it with the member `name` as `json`, behind its other members."""
        self.cut |= {name}
        self.put = {**self.put, name: json}

    def replace(self, json: bytes) -> None:
        """Send `json`, an item, in its place."""
        self.fate = "replaced"
        self.json = json
        self.item = item_of(json)
