"""A short soak, as part of every run of the tests; `python -m tests.soak` is the long one."""

import pytest

from tests.soak.scenarios import SCENARIOS
from tests.soak.soaking import soaked

pytestmark = pytest.mark.alone

SECONDS = 20


@pytest.mark.timeout(240)
def test_nothing_is_lost_and_nothing_is_kept() -> None:
    """Amid faults, recoveries and clients that leave, every request is accounted for at both ends and in the log.

    Descriptors and memory are the same afterwards.
    """
    books = soaked(SECONDS, seed=1)
    assert books.counts.keys() == SCENARIOS.keys()
