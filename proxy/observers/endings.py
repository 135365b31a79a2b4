"""The line of a request, a turn or a WebSocket that is over: its facts, its words, and whether it is of note."""

from collections.abc import Mapping
from typing import Any, Final

from proxy.events import Answered, SocketClosed, TurnEnded
from proxy.observers.redaction import masked, printable

Ending = Answered | TurnEnded | SocketClosed

_GOODBYES: Final = frozenset({None, 1000, 1001, 1005})
"""Close codes of a WebSocket that nothing is wrong with; many a client leaves without one."""


def is_notable(event: Ending) -> bool:
    """Whether the line is written in any case: something was refused, recovered, cut, failed, or lost."""
    if isinstance(event, SocketClosed):
        return event.close_code not in _GOODBYES
    report = event.report
    answered_well = event.complete and 0 < event.status < 400
    return not answered_well or report.action in ("recovered", "unrecovered") or report.fidelity == "lossy"


def facts_of(event: Ending, request_id: str) -> dict[str, Any]:
    """How it ended, and what was done to it, by the names that a machine reads."""
    match event:
        case Answered():
            return {
                "request_id": request_id,
                "method": printable(event.method),
                "route": event.route,
                "path": masked(event.path),
                **_outcome(event),
            }
        case TurnEnded():
            return {"request_id": request_id, "lane": event.lane, **_outcome(event)}
        case SocketClosed():
            return {
                "request_id": request_id,
                "path": masked(event.path),
                "status": 101,
                "socket": event.kind,
                "milliseconds": _milliseconds(event.seconds),
                "client_bytes": event.client_bytes,
                "upstream_bytes": event.upstream_bytes,
                "turns": event.turns,
                "close_code": event.close_code,
            }


def line_of(event: Ending, facts: Mapping[str, Any]) -> str:
    """The same facts as a sentence."""
    match event:
        case Answered():
            return _access_line(f"{facts['method']} {facts['path']}", facts)
        case TurnEnded():
            return _access_line(f"turn lane={facts['lane']}", facts)
        case SocketClosed():
            return _of_a_socket(event, facts)


def _of_a_socket(event: SocketClosed, facts: Mapping[str, Any]) -> str:
    line = "GET {path} 101 {milliseconds}ms {socket} client_bytes={client_bytes} upstream_bytes={upstream_bytes}"
    line += " turns={turns}" if event.kind == "session" else ""
    line += "" if event.close_code is None else " close_code={close_code}"
    return line.format_map(facts)


def _outcome(event: Answered | TurnEnded) -> dict[str, Any]:
    report = event.report
    outcome: dict[str, Any] = {
        "status": event.status,
        "milliseconds": _milliseconds(event.seconds),
        "action": report.action,
        "fidelity": report.fidelity,
        "removed": _counted(report.removed),
        "repaired": _counted(report.repaired),
        "attempts": report.attempts,
        "complete": event.complete,
    }
    if report.store:
        outcome["store"] = report.store
    if report.hint:
        outcome["hint"] = str(report.hint)
    return outcome


def _milliseconds(seconds: float) -> float:
    """With one decimal; `round` takes three times as long where it is told how many."""
    return round(seconds * 10_000) / 10


def _counted(counts: Mapping[Any, int]) -> dict[str, int]:
    return {what: count for what, count in counts.items() if count} if counts else {}


def _access_line(what: str, facts: Mapping[str, Any]) -> str:
    line = (
        f"{what} {facts['status'] or '-'} {facts['milliseconds']}ms "
        f"{facts['action']} {facts['fidelity']} attempts={facts['attempts']}"
    )
    for counts in (facts["removed"], facts["repaired"]):
        for name, count in counts.items():
            line += f" {name}={count}"
    if "store" in facts:
        line += f" store={facts['store']}"
    if "hint" in facts:
        line += f" hint={facts['hint']}"
    return line if facts["complete"] else f"{line} incomplete"
