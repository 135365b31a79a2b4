"""What a store is to remember of a compaction: what it stood for.

Two records. `before ID` holds what stood in front of the compaction in the response with that id, and continues what
its request continued; `compaction of DIGEST` continues that one, so that it is found by the blob, and not known any
more when the response is deleted. Pure.
"""

from typing import Final

from proxy.responses.body.table import item_of
from proxy.responses.history.compaction import name_of_compaction
from proxy.responses.history.recording import ELSEWHERE, Made, Remembered, RequestRecord, name_before
from proxy.responses.items import COMPACTION

_LITERAL: Final = b'"compaction"'
_TRIGGER: Final = "compaction_trigger"


def before_compaction(asked: RequestRecord, made: Made) -> tuple[Remembered, ...]:
    """What is remembered of a response that holds a compaction, besides the response itself; mostly nothing.

    What is not the model's in its output, as in that of `/compact`, was in the input before.
    """
    places = [place for place, item in enumerate(made.output) if _is_compaction(item)]
    if not places or asked.previous == ELSEWHERE:
        return ()
    said = [item for item in made.output[: places[-1]] if item_of(item).kind.made_by == "model"]
    name, items = name_before(made.response_id), (*filter(_is_said, asked.items), *said)
    blob = bytes(item_of(made.output[places[-1]]).encrypted_content)
    return Remembered(name, asked.previous, items), Remembered(name_of_compaction(blob), name, ())


def _is_compaction(item: bytes) -> bool:
    if _LITERAL not in item:
        return False
    read = item_of(item)
    return read.kind is COMPACTION and read.has_blob


def _is_said(item: bytes) -> bool:
    return _TRIGGER.encode() not in item or item_of(item).kind.name != _TRIGGER
