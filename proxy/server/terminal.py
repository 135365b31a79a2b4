"""The terminal that a process was started at: where it goes away, SIGHUP means the end, and not a reload."""

import os
from typing import Final

_OWN: Final = "/dev/tty"


class Terminal:
    """Whether there was a controlling terminal at the start, and whether it is gone."""

    def __init__(self) -> None:
        self._was_there = _is_there()

    def is_gone(self) -> bool:
        """Whether there was a terminal, and there is none any more."""
        return self._was_there and not _is_there()


def _is_there() -> bool:
    try:
        os.close(os.open(_OWN, os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
