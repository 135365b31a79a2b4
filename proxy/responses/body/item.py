"""One row of an input's table: the columns by which the rules decide, and the item's other members when it is asked."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from proxy.responses.body.elements import Elements
from proxy.responses.body.objects import NEVER, Fields, object_of, raw, text
from proxy.responses.items import ITEM_ENVELOPE, PART_ENVELOPE, REASONING, Kind

if TYPE_CHECKING:
    from typing import TypeVar

    _T = TypeVar("_T")
    Ours = Annotated[_T, "set by us"]
    _Columns = msgspec.Struct
else:
    _Columns = msgspec.defstruct("_Columns", [(name, NEVER, 0) for name in ITEM_ENVELOPE])
    """Refuses an item with a field of an answer, so that no item that is read quickly has one."""

    class Ours:
        """An attribute that no JSON sets: an item with a member of its name is read the slower way."""

        def __class_getitem__(cls, _: object) -> Any:
            return NEVER


ABSENT: Final = Raw(b"")
"""In a column of raw JSON, where an item has no such member."""
_NULL: Final = Raw(b"null")
_NOTHING: Final = (ABSENT, _NULL, Raw(b'""'))
_TEXTS: Final = frozenset({"id", "call_id", "type", "role"})
_LISTS: Final = frozenset({"summary", "content"})
_BRACKET: Final = ord("[")


class Item(_Columns, gc=False, eq=False):
    """One element of an `input`. Columns of raw JSON are `ABSENT` where it has no such member."""

    type: str = ""
    role: str = ""
    id: str | UnsetType | None = UNSET
    """None where the member holds no text; UNSET where there is none."""
    call_id: str | None = None
    status: Raw = ABSENT
    summary: Raw = ABSENT
    content: Raw = ABSENT
    encrypted_content: Raw = ABSENT
    kind: Ours[Kind] = REASONING
    place: Ours[int] = 0
    elements: Ours[Elements | None] = None
    read: Ours[Fields | None] = None

    @property
    def has_null_content(self) -> bool:
        """Whether there is a `content` that is null."""
        return self.content is None or self.content == _NULL

    @property
    def fields(self) -> Fields:
        """All members by name, as raw JSON; none of an element that is no object."""
        if self.read is None and self.elements is not None:
            self.read = object_of(self.json)
        return self.read or {}

    @property
    def json(self) -> bytes:
        """The item as it stands in its array."""
        return self.elements.json(self.place) if self.elements is not None else b""

    @property
    def has_blob(self) -> bool:
        """Whether there is encrypted content, not null or empty."""
        return self.encrypted_content not in _NOTHING

    def raw(self, name: str) -> bytes | None:
        """The JSON of the member `name`, unchanged; None where there is none or it is `null`."""
        return raw(self.fields, name)

    def text(self, name: str) -> str | None:
        """The string that the member `name` holds; None where it holds none."""
        if name in _TEXTS:
            return getattr(self, name) or None
        return text(self.fields, name)

    def array(self, name: str) -> memoryview | None:
        """The JSON of the array that the member `name` holds, not copied; None where it holds none."""
        value = self._json_of(name)
        if value is ABSENT:
            return None
        view = memoryview(value)
        return view if view[0] == _BRACKET else None

    def _json_of(self, name: str) -> Any:
        column: Any = getattr(self, name) if name in _LISTS else None
        if isinstance(column, Raw):
            return column
        is_nothing = name in _LISTS and not column  # of a plain item, whose content is no raw JSON
        return ABSENT if is_nothing else self.fields.get(name, ABSENT)

    def member(self, name: str) -> Fields | None:
        """The members of the object that the member `name` holds; None where it holds none."""
        literal = self.raw(name)
        return object_of(literal) if literal is not None and literal[:1] == b"{" else None


if TYPE_CHECKING:
    PlainItem = Item
else:
    _Part = msgspec.defstruct("_Part", [(name, NEVER, 0) for name in PART_ENVELOPE], gc=False)

    class PlainItem(Item, gc=False, eq=False):
        """An item whose content is text, or parts without a field of an answer: any other is refused.

        Both are checked while the item is read. The content itself is not kept as raw JSON.
        """

        content: list[_Part] | str | UnsetType | None = UNSET


def row_of(fields: Fields) -> Item:
    """The row of an item by its members."""
    return Item(
        type=text(fields, "type") or "",
        role=text(fields, "role") or "",
        id=text(fields, "id") if "id" in fields else UNSET,
        call_id=text(fields, "call_id"),
        status=_column(fields, "status"),
        summary=_column(fields, "summary"),
        content=_column(fields, "content"),
        encrypted_content=_column(fields, "encrypted_content"),
        read=fields,
    )


def _column(fields: Fields, name: str) -> Raw:
    return Raw(fields[name]) if name in fields else ABSENT
