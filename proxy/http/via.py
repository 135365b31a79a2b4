"""The Via field of requests (RFC 9110, 7.6.3), by which one that has passed here before is recognised.

Upstream may lead back here: a load balancer whose upstream is itself, two proxies in front of each other. One request
would then go round until all slots are taken. Each process has a pseudonym of its own, and adds it; it forwards no
request that has it. Behind a load balancer with many processes a round may meet other ones, so that their number is
bounded as well.
"""

from collections.abc import Iterable
from typing import Final

_PREFIX: Final = b"1.1 unpinned-"
_MOST: Final = 8
"""Processes that a request may pass: one beside each application, one per region, and room."""


class Via:
    """The pseudonym of this process, made of a random `word`, and the field that has it."""

    def __init__(self, word: str) -> None:
        self._own = _PREFIX + word.encode("ascii")
        self.field = (b"via", self._own)

    def has_passed(self, stations: Iterable[bytes]) -> bool:
        """Whether a request with these members of Via has passed this process, or so many that it is going round."""
        passed = [station for station in stations if station.startswith(_PREFIX)]
        return self._own in passed or len(passed) >= _MOST
