"""How much memory and how many processors this process may use: those of its container, or of the machine."""

from contextlib import suppress
from math import ceil
from os import sched_getaffinity, sysconf
from pathlib import Path
from typing import Final

_CGROUP_2: Final = Path("/sys/fs/cgroup/memory.max")
_CGROUP_1: Final = Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")
_QUOTA_2: Final = Path("/sys/fs/cgroup/cpu.max")
_QUOTA_1: Final = Path("/sys/fs/cgroup/cpu")


def memory_limit() -> int:
    """Bytes: the container's limit where it has one (control groups, version 2 or 1), else the machine's memory."""
    machine = sysconf("SC_PAGE_SIZE") * sysconf("SC_PHYS_PAGES")
    for file in (_CGROUP_2, _CGROUP_1):
        with suppress(OSError, ValueError):
            return min(int(file.read_text()), machine)
    return machine


def processors() -> int:
    """The processors that may be used: those that the process may run on, or fewer by the container's limit."""
    usable = len(sched_getaffinity(0))
    with suppress(OSError, ValueError):
        quota, period = _QUOTA_2.read_text().split()
        return max(1, min(usable, ceil(int(quota) / int(period))))
    with suppress(OSError, ValueError):
        quota, period = ((_QUOTA_1 / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return usable if int(quota) < 0 else max(1, min(usable, ceil(int(quota) / int(period))))
    return usable
