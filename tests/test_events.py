"""What happened, as values: the report's fields, and who is told."""

import pytest

from proxy.events import Observers, Read
from proxy.report import Report
from tests.support.product import Notebook


@pytest.mark.parametrize(
    ("report", "fields"),
    [
        (Report(), {b"action": b"passthrough", b"fidelity": b"exact", b"attempts": b"1"}),
        (
            Report("recovered", "lossy", {"item_id": 12, "trimmed": 0}, {"placeholder": 1, "image": 2}, 3),
            {
                b"action": b"recovered",
                b"fidelity": b"lossy",
                b"attempts": b"3",
                b"removed": b"item_id=12",
                b"repaired": b"placeholder=1, image=2",
            },
        ),
    ],
)
def test_the_reports_fields(report: Report, fields: dict[bytes, bytes]) -> None:
    """The client is told what was done; what was not done is not spoken of."""
    assert dict(report.fields()) == {b"x-unpinned-" + name: value for name, value in fields.items()}


def test_several_observers_are_told_in_order() -> None:
    """Each of several observers is told of each event."""
    one, other = Notebook(), Notebook()
    Observers((one, other)).notice("req-1", Read(1, 0))
    assert one.events == other.events == [Read(1, 0)]
