"""One ceiling on the bytes of bodies that a process holds, whatever is sent to it.

A request reserves bytes *before* it holds them: its body as it arrives, the decoded body, the space for working on it,
an attempt's rewritten body, a refusal while it is judged. It releases all of them when its answer begins, because from
then on it holds nothing. A reservation beyond the ceiling is refused with 503 and `x-should-retry`, before upstream
has seen the request. So the process holds at most

    the memory at start (about 40 MiB) + UNPINNED_MAX_MEMORY + a few KiB for each connection

and a store's write-behind queue (64 MiB). Bodies that stream through unread are not held and not counted.
"""

from typing import Final

from proxy.http.faults import hop_fault

UNLIMITED: Final = 1 << 62


class MemoryBudget:
    """The bytes that all requests together may hold. `held` is what they hold now."""

    def __init__(self, most: int = UNLIMITED) -> None:
        self.most = most
        self.held = 0


class Reservation:
    """The bytes that one request holds."""

    __slots__ = ("_budget", "_size")

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._size = 0

    def grow(self, size: int) -> None:
        """Reserve `size` bytes more. Raises Fault (503) where the budget does not have them."""
        if not self.may_grow(size):
            raise hop_fault("out_of_memory")

    def may_grow(self, size: int) -> bool:
        """Reserve `size` bytes more, if the budget has them; whether it has."""
        budget = self._budget
        if budget.held + size > budget.most:
            return False
        budget.held += size
        self._size += size
        return True

    def shrink(self, size: int) -> None:
        """Give back `size` bytes."""
        self._budget.held -= size
        self._size -= size

    def release(self) -> None:
        """Give back all."""
        self.shrink(self._size)
