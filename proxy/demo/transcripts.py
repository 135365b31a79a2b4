"""The conversations that the application servers share, as they would share a database.

A transcript is replaced as a whole or not at all; of two concurrent writers the last one wins.
"""

import json
from pathlib import Path
from typing import Any, Protocol

Item = dict[str, Any]


class Transcripts(Protocol):
    """The conversations of all servers, by number."""

    def begin(self) -> int:
        """The number of a new conversation."""
        ...

    def read(self, number: int) -> list[Item] | None:
        """The items of a conversation, if there is such a one."""
        ...

    def write(self, number: int, items: list[Item]) -> None:
        """Replace the items of a conversation."""
        ...


class InMemory:
    """For servers in one process."""

    def __init__(self) -> None:
        self._conversations: dict[int, list[Item]] = {}

    def begin(self) -> int:
        """The number of a new conversation."""
        number = len(self._conversations) + 1
        self._conversations[number] = []
        return number

    def read(self, number: int) -> list[Item] | None:
        """The items of a conversation, if there is such a one."""
        return self._conversations.get(number)

    def write(self, number: int, items: list[Item]) -> None:
        """Replace the items of a conversation."""
        self._conversations[number] = items


class InFolder:
    """For processes that share a folder: one file a conversation."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self) -> int:
        """The number of a new conversation."""
        number = 1
        while True:
            try:
                with self._path(number).open("x") as file:
                    file.write("[]")
            except FileExistsError:
                number += 1
            else:
                return number

    def read(self, number: int) -> list[Item] | None:
        """The items of a conversation, if there is such a one."""
        try:
            items: list[Item] = json.loads(self._path(number).read_text())
        except FileNotFoundError:
            return None
        return items

    def write(self, number: int, items: list[Item]) -> None:
        """Replace the items of a conversation."""
        path = self._path(number)
        path.with_suffix(".new").write_text(json.dumps(items))
        path.with_suffix(".new").replace(path)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.json"
