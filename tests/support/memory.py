"""How much memory and how many descriptors a process has, from /proc."""

import os
import re
from pathlib import Path


def _kilobytes(pid: int, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def resident(pid: int) -> int:
    """Bytes of memory the process has now."""
    return _kilobytes(pid, "VmRSS") * 1024


def peak(pid: int) -> int:
    """The most that it had since its start, or since `forget_peak`."""
    return _kilobytes(pid, "VmHWM") * 1024


def forget_peak(pid: int) -> None:
    """Measure the peak from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def descriptors(pid: int) -> int:
    """How many files and sockets it has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 -- pathlib would look at each, and some are gone by then
