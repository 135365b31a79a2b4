"""What upstream itself did not show the model, as its answer says: `input_transformations` of a response.

A blob that upstream cannot read is not always refused: since November 2026 it may be left out, behind a 200 (openai
3.50.0). Loss is never silent, so an answer is read for it where the request had blobs.
"""

import json
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from proxy.report import LEFT_OUT, LeftOut
from proxy.responses.body import lenient
from proxy.responses.body.lenient import MalformedError

NOTHING: Final[Mapping[LeftOut, int]] = MappingProxyType({})
_NAME: Final = b'"input_transformations"'
_BLOB: Final = b'"encrypted_content"'


def may_be_left_out(request: bytes) -> bool:
    """Whether a request holds what upstream may leave out."""
    return _BLOB in request


def left_out(answer: bytes) -> Mapping[LeftOut, int]:
    """How often each reason is given in an answer, or in an event of one; nothing where none is."""
    position = answer.rfind(_NAME)
    return NOTHING if position < 0 else _told(answer, position)


def _told(answer: bytes, position: int) -> Counter[LeftOut]:
    """The same where the member's name stands at `position`."""
    found: Counter[LeftOut] = Counter()
    start = lenient.skip_space(answer, position + len(_NAME)) + 1
    try:
        told = json.loads(answer[start : lenient.value_end(answer, start)])
    except (MalformedError, ValueError, RecursionError):
        return found
    for one in told if isinstance(told, list) else ():
        reason = one.get("reason") if isinstance(one, dict) else None
        found[reason if reason in LEFT_OUT else "other"] += 1
    return found
