"""The store of one process holds what it says, in the memory that the system counts."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.alone

PROGRAM = """
import asyncio, gc, resource, sys
from proxy.store.interface import Options, Remembered
from proxy.store.memory import MemoryStore

def resident():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

async def main():
    shape, mib = sys.argv[1], 1024 * 1024
    store = MemoryStore(Options(capacity=48 * mib))
    before = resident()
    for number in range(400):
        if shape == "tiny":
            items = tuple(b'"%d"' % (number * 1000 + place) for place in range(1000))
        elif shape == "repeated":
            items = (b'"x"',) * 50_000
        else:
            items = tuple(b'"%d"' % place for place in range(20_000))
        await store.remember("me", Remembered(f"resp_{number}", None, items))
        if store._size > 22 * mib:
            break
    print(resident() - before, store._size)

asyncio.run(main())
"""


@pytest.mark.parametrize("shape", ["tiny", "repeated", "lists"])
def test_the_bound_is_true(shape: str) -> None:
    """What is counted is within a half of what the process takes, for tiny items, repeated ones and long lists."""
    run = subprocess.run([sys.executable, "-c", PROGRAM, shape], capture_output=True, text=True, check=True, timeout=50)
    taken, counted = map(int, run.stdout.split())
    assert counted > 20 * 1024 * 1024
    assert taken < 1.5 * counted
