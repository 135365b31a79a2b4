"""What refusals say, as a reader searches for it: without the ids of one conversation."""

import json
import re
from typing import Any, Final

from proxy.responses.recovery.error_bodies import sayings

_ID: Final = re.compile(r"\b([a-z]{2,5})([_-])(?=\w*\d)\w+")
_TRACE: Final = re.compile(r"\s*\[trace_id=\w*\]")


def plain(sentence: str) -> str:
    """A sentence with `rs_…` in the place of an id, on one line."""
    return _ID.sub(r"\1\2…", _TRACE.sub("", " ".join(sentence.split())))


def sentences(body: Any) -> list[str]:
    """The sentences of a refusal: a text, or what is written as JSON."""
    written = body if isinstance(body, str) else json.dumps(body)
    return [plain(said.message) for said in sayings(written.encode()) if said.message]
