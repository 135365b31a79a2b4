"""By which id an item is asked for."""

from collections.abc import Iterator

from proxy.responses.document import item_of
from proxy.responses.lenient import MalformedError
from proxy.responses.recall import is_id


def ids_of(item: bytes) -> Iterator[str]:
    """The id of an item, if it has one; a reference to an item is not the item."""
    try:
        found = item_of(item)
    except MalformedError:
        return
    id_ = found.text("id")
    if id_ is not None and is_id(id_) and found.kind.id != "reference":
        yield id_
