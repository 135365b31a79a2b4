"""What is remembered of the last exchanges."""

from typing import Any

import orjson
import pytest

from proxy.events import (
    Answered,
    BudgetExceeded,
    LossyAnswer,
    Refused,
    SocketClosed,
    TurnEnded,
    Unrecovered,
    UpstreamFailed,
)
from proxy.observers.recent import KEPT, SLOT, SLOTS, Recent, outcome
from proxy.report import Report


class Clock:
    """A clock that moves when somebody says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def answered(**changed: Any) -> Answered:
    """A request that took a second until its first byte."""
    told: dict[str, Any] = {
        "method": "POST",
        "route": "responses",
        "path": "/v1/responses",
        "status": 200,
        "seconds": 4.0,
        "complete": True,
        "report": Report("rewritten", "lossless", removed={"item_id": 3}),
        "first_byte": 1.0,
        "upstream": 0.75,
        "client": 0.125,
        "model": "gpt-5",
        "upstream_id": "req_0a1b",
    }
    return Answered(**{**told, **changed})


@pytest.fixture
def clock() -> Clock:
    """A clock of one's own."""
    return Clock()


@pytest.fixture
def recent(clock: Clock) -> Recent:
    """Nothing has happened yet."""
    return Recent("auto", 4711, clock)


def test_an_exchange(recent: Recent, clock: Clock) -> None:
    """Of an exchange its shape is kept: what was asked and done, how it ended, and whose time it took."""
    recent.notice("req-1", Refused(404, "item", "portable"))
    recent.notice("req-2", UpstreamFailed("upstream_cut"))
    recent.notice("req-1", LossyAnswer("credential", ("reasoning",)))
    recent.notice("req-1", answered())
    [exchange] = recent.told()["exchanges"]
    assert exchange == {
        "number": 1,
        "at": clock.now,
        "id": "req-1",
        "steps": [{"status": 404, "refusal": "item", "remedy": "portable"}],
        "outcome": "lossless",
        "mode": "auto",
        "process": 4711,
        "method": "POST",
        "path": "/v1/responses",
        "route": "responses",
        "lane": None,
        "status": 200,
        "fault": "",
        "complete": True,
        "action": "rewritten",
        "fidelity": "lossless",
        "removed": {"item_id": 3},
        "repaired": {},
        "attempts": 1,
        "store": None,
        "hint": None,
        "seconds": 4.0,
        "first_byte": 1.0,
        "upstream": 0.75,
        "client": 0.125,
        "overhead": 0.125,
        "model": "gpt-5",
        "upstream_id": "req_0a1b",
    }
    recent.notice("req-2", answered(complete=False))
    assert recent.told()["exchanges"][0]["steps"] == [{"cause": "upstream_cut"}]
    recent.notice("req-3", Unrecovered("item", 2))
    recent.notice("req-3", answered(status=404, model="\x1b[31m"))
    assert recent.told()["exchanges"][0]["steps"] == [{"refusal": "item"}]
    assert recent.told()["exchanges"][0]["model"] == "\\x1b[31m"


def test_it_is_bounded(recent: Recent, clock: Clock) -> None:
    """The last exchanges are kept, the latest first, and a quarter of an hour of the chart; nothing is left beside."""
    for number in range(KEPT * 2):
        clock.now += SLOT
        recent.notice(f"req-{number}", Refused(404, "item", "portable"))
        recent.notice(f"req-{number}", answered())
    told = recent.told()
    assert [each["number"] for each in told["exchanges"]] == [*range(KEPT * 2, KEPT, -1)]
    assert len(told["slots"]) == len(recent._slots) == SLOTS
    assert not recent._steps


def test_the_chart(recent: Recent, clock: Clock) -> None:
    """A slot counts outcomes, and tells the median and the 95th percentile of its durations."""
    for number in range(1, 101):
        recent.notice("req-1", answered(first_byte=float(number), upstream=0.0, client=number / 2))
    recent.notice("req-1", answered(first_byte=None, status=0, complete=False))
    clock.now += SLOT
    recent.notice("req-1", answered(report=Report("rewritten", "lossy")))
    first, second = recent.told()["slots"].values()
    assert first == {
        "outcomes": {"lossless": 100, "unfinished": 1},
        "first_byte": [51.0, 96.0],
        "overhead": 48.0,
        "recoveries": {},
        "store": {},
    }
    assert second["outcomes"] == {"lossy": 1}
    clock.now += SLOT * SLOTS
    assert recent.told()["slots"] == {}


def test_what_the_tiles_count(recent: Recent) -> None:
    """A slot counts recoveries, those that failed, and the lookups in the store; an exceeded budget as well."""
    for report in (
        Report("recovered", "lossless"),
        Report("unrecovered", "exact"),
        Report("rewritten", "lossless", store="hit"),
        Report("rewritten", "lossless", store="down"),
    ):
        recent.notice("req-1", answered(report=report))
    recent.notice("req-1", BudgetExceeded(30, 100))
    [slot] = recent.told()["slots"].values()
    assert slot["recoveries"] == {"recovered": 1, "unrecovered": 1, "over budget": 1}
    assert slot["store"] == {"hit": 1, "down": 1}


def test_a_slot_without_an_answer(recent: Recent) -> None:
    """Where nobody was answered, there are no durations."""
    recent.notice("req-1", answered(first_byte=None, status=0, complete=False))
    [slot] = recent.told()["slots"].values()
    assert (slot["first_byte"], slot["overhead"]) == ([None, None], None)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (answered(report=Report()), "unchanged"),
        (answered(), "lossless"),
        (answered(report=Report("recovered", "lossy")), "lossy"),
        (answered(status=429), "refused"),
        (answered(status=500), "failed"),
        (answered(status=413, fault="request_too_large"), "failed"),
        (answered(complete=False), "unfinished"),
        (answered(status=0, complete=False), "unfinished"),
        (answered(status=502, complete=False), "failed"),
        (TurnEnded(0, 200, 1.0, True, Report()), "unchanged"),
        (TurnEnded(0, 413, 1.0, True, Report("unread"), fault="request_too_complex"), "failed"),
        (TurnEnded(0, 0, 1.0, False, Report()), "unfinished"),
    ],
)
def test_outcomes(event: Answered | TurnEnded, expected: str) -> None:
    """An exchange is called by the worst that can be said of it."""
    assert outcome(event) == expected


def test_a_turn(recent: Recent) -> None:
    """A turn of a WebSocket is an exchange; who waited for whom is not known of it, so it is not said."""
    recent.notice("req-2.1", Refused(400, "item", "portable"))
    ended = TurnEnded(3, 200, 1.5, True, Report("recovered", "lossless"), "/v1/responses", 0.5, model="gpt-5")
    recent.notice("req-2.1", ended)
    [exchange] = recent.told()["exchanges"]
    shown = {name: exchange[name] for name in ("id", "route", "lane", "path", "model", "outcome", "first_byte")}
    assert shown == {
        "id": "req-2.1",
        "route": "turn",
        "lane": 3,
        "path": "/v1/responses",
        "model": "gpt-5",
        "outcome": "lossless",
        "first_byte": 0.5,
    }
    assert exchange["steps"] == [{"status": 400, "refusal": "item", "remedy": "portable"}]
    assert (exchange["upstream"], exchange["client"], exchange["overhead"]) == (None, None, None)
    [slot] = recent.told()["slots"].values()
    assert (slot["first_byte"], slot["overhead"]) == ([0.5, 0.5], None)


def test_sockets_are_no_exchanges(recent: Recent) -> None:
    """A WebSocket that was opened is not listed, and what happened to it on the way is forgotten with it."""
    recent.notice("req-1", UpstreamFailed("upstream_cut"))
    recent.notice("req-1", SocketClosed("/v1/realtime", "tunnel", 1.0, 1, 2))
    assert recent.told()["exchanges"] == []
    assert recent._steps == {}


def test_nothing_private(recent: Recent) -> None:
    """An id in a path is not kept, nor is a query or a method that is no word."""
    recent.notice("req-1", answered(path="/v1/responses/resp_secret0?key=secret", method="G\x1bET<b>"))
    text = orjson.dumps(recent.told())
    assert b"secret" not in text
    assert b"/v1/responses/{id}" in text
    assert b"\\u001b" not in text
