"""How much memory this process may use: that of its container, or of the machine."""

from contextlib import suppress
from os import sysconf
from pathlib import Path
from typing import Final

_CGROUP_2: Final = Path("/sys/fs/cgroup/memory.max")
_CGROUP_1: Final = Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_limit() -> int:
    """Bytes: the container's limit where it has one (control groups, version 2 or 1), else the machine's memory."""
    machine = sysconf("SC_PAGE_SIZE") * sysconf("SC_PHYS_PAGES")
    for file in (_CGROUP_2, _CGROUP_1):
        with suppress(OSError, ValueError):
            return min(int(file.read_text()), machine)
    return machine
