"""What is said where an id can be used in one place only: the values of `x-unpinned-hint`, and what to do about each.

Pure data, the bottom of the program with `report`.
"""

from typing import Final, Literal, NamedTuple

Bound = Literal["file", "vector_store", "container", "prompt", "batch", "skill"]

BOUND: Final[dict[Bound, str]] = {
    "file": "Upload the file to each project and name the id that it has there, or send it inline as `file_data` or "
    "`file_url`.",
    "vector_store": "Make one vector store for each project or region, and let each server name its own.",
    "container": "Ask for a container of `type: auto` instead of naming one, or make one for each project.",
    "prompt": "Send the prompt inline, as `instructions` and `input`, or make it in each project.",
    "batch": "Ask for a batch, and send its files, with the key of the project that made it.",
    "skill": "Upload the skill to each project and name the id that it has there, or send it inline.",
}
"""What lives in one project, or region, and never travels; what to do where another one is asked for it."""


MADE_AT: Final = "made_at"
"""What metrics call a response that only its maker can do something with: places are no labels."""


class Hint(NamedTuple):
    """One value of `x-unpinned-hint`: what is bound to one place, or the place where a response was made."""

    bound: Bound | None = None
    made_at: str = ""

    def __str__(self) -> str:
        return f"bound={self.bound}" if self.bound is not None else f"made-at={self.made_at}"

    @property
    def label(self) -> str:
        """What metrics call it: a word of ours."""
        return self.bound or MADE_AT
