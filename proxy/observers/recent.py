"""The last exchanges, and a quarter of an hour in numbers: what the live page shows.

Shapes and counts, the name of the model, and the ids of requests, ours and upstream's: nothing else of a body or a
field, no id of an item, and of a path only its plain words. Bounded, and gone with the process. It costs nothing where
the page is off.
"""

import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from proxy.events import (
    Answered,
    BudgetExceeded,
    Event,
    Refused,
    SocketClosed,
    TurnEnded,
    Unrecovered,
    UpstreamFailed,
)
from proxy.observers.redaction import masked, printable

KEPT: Final = 200
SLOT: Final = 15
"""Seconds of one bar of the chart."""
SLOTS: Final = 60
_SAMPLES: Final = 100
"""Durations that are kept of one slot: its last ones."""


class _Slot:
    """What happened in a few seconds."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.first_byte: deque[float] = deque(maxlen=_SAMPLES)
        self.overhead: deque[float] = deque(maxlen=_SAMPLES)
        self.recoveries: Counter[str] = Counter()
        self.store: Counter[str] = Counter()

    def add(self, exchange: Mapping[str, Any]) -> None:
        self.outcomes[exchange["outcome"]] += 1
        if exchange["action"] in ("recovered", "unrecovered"):
            self.recoveries[exchange["action"]] += 1
        if exchange["store"] is not None:
            self.store[exchange["store"]] += 1
        for durations, name in ((self.first_byte, "first_byte"), (self.overhead, "overhead")):
            if exchange[name] is not None:
                durations.append(exchange[name])

    def told(self) -> dict[str, Any]:
        return {
            "outcomes": dict(self.outcomes),
            "first_byte": [_percentile(self.first_byte, share) for share in (0.5, 0.95)],
            "overhead": _percentile(self.overhead, 0.95),
            "recoveries": dict(self.recoveries),
            "store": dict(self.store),
        }


class Recent:
    """Remembers the last exchanges; `number` is how many there were.

    Each is told with the `mode` and the `process` that it went through: settings may be read again, and there may be
    several workers. In a worker `pass_on` is given each exchange in place of this object: the page is that of the
    worker's parent.
    """

    def __init__(self, mode: str, process: int, clock: Callable[[], float] = time.time) -> None:
        self._through = {"mode": mode, "process": process}
        self._clock = clock
        self.pass_on: Callable[[dict[str, Any]], None] | None = None
        self.began = clock()
        self.number = 0
        self._kept: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._slots: OrderedDict[int, _Slot] = OrderedDict()
        self._steps: dict[str, list[dict[str, Any]]] = {}

    def notice(self, request_id: str, event: Event) -> None:
        """Remember how a request ended, and what happened on the way."""
        if isinstance(event, Answered | TurnEnded):
            self._ended(request_id, event)
        elif isinstance(event, Refused):
            self._step(request_id, {"status": event.status, "refusal": event.refusal, "remedy": event.remedy})
        elif isinstance(event, Unrecovered):
            self._step(request_id, {"refusal": event.refusal})
        elif isinstance(event, UpstreamFailed):
            self._step(request_id, {"cause": event.cause})
        elif isinstance(event, SocketClosed):
            self._steps.pop(request_id, None)
        elif isinstance(event, BudgetExceeded):
            self._slot(int(self._clock() // SLOT)).recoveries["over budget"] += 1

    def told(self) -> dict[str, Any]:
        """All of it, the latest first, as JSON can carry it."""
        now = self._clock()
        oldest = int(now // SLOT) - SLOTS
        slots = {str(number * SLOT): slot.told() for number, slot in self._slots.items() if number > oldest}
        return {"now": now, "began": self.began, "slot": SLOT, "slots": slots, "exchanges": [*reversed(self._kept)]}

    def _step(self, request_id: str, step: dict[str, Any]) -> None:
        self._steps.setdefault(request_id, []).append(step)

    def _ended(self, request_id: str, event: Answered | TurnEnded) -> None:
        steps = self._steps.pop(request_id, [])
        exchange = {
            "at": self._clock(),
            "id": request_id,
            "steps": steps,
            "outcome": outcome(event),
            **self._through,
            **(_shape(event) if isinstance(event, Answered) else _shape_of_turn(event)),
            **_fate(event),
        }  # fmt: skip
        (self.pass_on or self.keep)(exchange)

    def keep(self, exchange: Mapping[str, Any]) -> None:
        """Remember an exchange, as `notice` makes it."""
        self.number += 1
        self._slot(int(exchange["at"] // SLOT)).add(exchange)
        self._kept.append({"number": self.number, **exchange})

    def _slot(self, number: int) -> _Slot:
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = _Slot()
            if len(self._slots) > SLOTS:
                self._slots.popitem(last=False)
        return slot


def outcome(event: Answered | TurnEnded) -> str:
    """In one word, how it ended: the worst that can be said of it."""
    if event.status >= 500 or event.fault:
        return "failed"
    if not event.complete:
        return "unfinished"
    if event.status >= 400:
        return "refused"
    return {"exact": "unchanged"}.get(event.report.fidelity, event.report.fidelity)


def _shape(event: Answered) -> dict[str, Any]:
    return {
        "method": printable(event.method),
        "route": event.route,
        "lane": None,
        "first_byte": event.first_byte,
        "upstream": event.upstream,
        "client": event.client,
        "overhead": event.overhead,
    }


def _shape_of_turn(event: TurnEnded) -> dict[str, Any]:
    """Who waited for whom is not known of a turn: others are in progress on the same connection."""
    waits = {"upstream": None, "client": None, "overhead": None}
    return {"method": "turn", "route": "turn", "lane": event.lane, "first_byte": event.first_event, **waits}


def _fate(event: Answered | TurnEnded) -> dict[str, Any]:
    report = event.report
    return {
        "path": masked(event.path),
        "status": event.status,
        "fault": event.fault,
        "complete": event.complete,
        "action": report.action,
        "fidelity": report.fidelity,
        "removed": dict(report.removed),
        "repaired": dict(report.repaired),
        "attempts": report.attempts,
        "store": report.store,
        "hint": str(report.hint) if report.hint else None,
        "seconds": event.seconds,
        "model": printable(event.model),
        "upstream_id": event.upstream_id,
    }


def _percentile(values: Sequence[float], share: float) -> float | None:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else None
