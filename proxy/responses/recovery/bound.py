"""What a refusal names that lives in one project and never travels: a file, a vector store, a container and their like.

Such a refusal is not ours to recover from. It is told by what it *says*, as in `refusals`: the thing stands at the
beginning of a sentence, with its id, and the sentence says that it is not there.
"""

from typing import Final, NamedTuple

from proxy.hints import Bound
from proxy.responses.recovery.error_bodies import Said, sayings
from proxy.responses.recovery.pattern import Pattern
from proxy.responses.recovery.refusals import OF_CONTENT, Refusal, classify

_CODES: Final[dict[str, Bound]] = {
    "file_not_found": "file",
    "vector_store_not_found": "vector_store",
    "container_not_found": "container",
    "prompt_not_found": "prompt",
    "batch_not_found": "batch",  # litellm#37148, 2026-08
    "skill_not_found": "skill",
}
_THINGS: Final[dict[str, Bound]] = {
    "file": "file",  # "No such File object: file-…", litellm#37148
    "vector store": "vector_store",
    "vector_store": "vector_store",
    "container": "container",
    "prompt": "prompt",
    "batch": "batch",
    "skill": "skill",
}
"""By the word that a sentence has for it."""

_WORD: Final = rf"(?P<thing>{'|'.join(_THINGS)})(?:e?s)?\b(?:\s+(?:object|template|file))?"
_NAMED: Final = r"(?:\s+with|\s+of)?(?:\s+ids?)?[\s:]+['\"`\[(]{0,2}[A-Za-z]+[_-][\w-]+"
"""Its id, in any of the ways in which gateways quote one."""
_GONE: Final = (
    r"(?:not\s+(?:be\s+|been\s+)?(?:found|exist|available|accessible)|(?:does|do)\s*(?:n't|\s+not)\s+exist|no\s+longer|"
    r"deleted|not\s+have\s+access)"
)
_LEAD: Final = r"(?:^|[.:;-]\s+)"
_MISSED: Final = r"(?:no\s+such|no|unknown|(?:could\s+not|cannot|unable\s+to)\s+(?:find|load|resolve|access))"
_PATTERNS: Final = tuple(
    Pattern(_LEAD + pattern)
    for pattern in (
        rf"(?:the\s+)?{_WORD}{_NAMED}.{{0,160}}?{_GONE}",
        rf"{_MISSED}\s+(?:the\s+)?{_WORD}(?:\s+found)?{_NAMED}",
    )
)
# A file within a container is as far away as the container: "File cfile_… not found on container cntr_…",
# sbslee/streamlit-openai#18, 2025-06.
_CONTAINED: Final = Pattern(r"\bcfile_\w+|\bcntr_\w+")


class Judged(NamedTuple):
    """What a refusal says: one of ours, or what it names that never travels, or neither."""

    refusal: Refusal | None = None
    bound: Bound | None = None

    @property
    def is_known(self) -> bool:
        """Whether there is something to do, or to say, about it."""
        return self.refusal is not None or self.bound is not None


def judged(status: int, body: bytes) -> Judged:
    """What the refusal with `status` and `body` (decoded) says."""
    refusal = classify(status, body)
    return Judged(refusal) if refusal is not None else Judged(bound=bound(body))


def bound(body: bytes) -> Bound | None:
    """What a refusal names that lives in one project; None where it names no such thing."""
    return next(filter(None, map(_bound, sayings(body))), None)


def _bound(said: Said) -> Bound | None:
    if said.code in _CODES:
        return _CODES[said.code]
    if OF_CONTENT.search(said.message):
        return None  # it may quote a user
    found = next(filter(None, (pattern.search(said.message) for pattern in _PATTERNS)), None)
    if found is None:
        return None
    return "container" if _CONTAINED.search(found[0]) else _THINGS[found["thing"].lower()]
