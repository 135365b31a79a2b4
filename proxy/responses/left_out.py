"""What upstream itself did not show the model, as its answer says: `input_transformations` of a response.

A blob that upstream cannot read is not always refused: since November 2026 it may be left out, behind a 200 (openai
3.50.0). Loss is never silent, so an answer is read for it where the request had blobs.
"""

import json
from collections import Counter
from typing import Final

from proxy.report import LEFT_OUT, LeftOut
from proxy.responses.body import lenient
from proxy.responses.body.lenient import MalformedError

_NAME: Final = b'"input_transformations"'
_BLOB: Final = b'"encrypted_content"'


def may_be_left_out(request: bytes) -> bool:
    """Whether a request holds what upstream may leave out."""
    return _BLOB in request


def left_out(answer: bytes) -> Counter[LeftOut]:
    """How often each reason is given in an answer, or in an event of one; nothing where none is."""
    found: Counter[LeftOut] = Counter()
    position = answer.rfind(_NAME)
    if position < 0:
        return found
    start = lenient.skip_space(answer, position + len(_NAME)) + 1
    try:
        told = json.loads(answer[start : lenient.value_end(answer, start)])
    except (MalformedError, ValueError, RecursionError):
        return found
    for one in told if isinstance(told, list) else ():
        reason = one.get("reason") if isinstance(one, dict) else None
        found[reason if reason in LEFT_OUT else "other"] += 1
    return found
