"""The log: what an operator greps for, in two forms, and what never stands in it."""

import asyncio
import io
import logging
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import orjson
import pytest

from proxy import __version__
from proxy.events import (
    Answered,
    BudgetExceeded,
    Event,
    LossyAnswer,
    Read,
    Recovered,
    Refused,
    Removal,
    Removed,
    SocketClosed,
    StartedFresh,
    StoreFailed,
    TurnEnded,
    Unrecovered,
    UpstreamFailed,
)
from proxy.hints import Hint
from proxy.observers.logs import LogObserver, configure
from proxy.report import Report
from tests.support.pages import page

REQUEST_ID = "req-0123456789ab"


class Log:
    """A log that is written to memory, with a clock of its own."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.now = 0.0
        self.observer = LogObserver(clock=lambda: self.now)

    def configure(self, level: str = "debug", form: Any = "text") -> None:
        """Begin to write."""
        configure(level, form, self.stream)

    def lines(self) -> list[str]:
        """What was written since the last time."""
        written = self.stream.getvalue()
        self.stream.seek(0)
        self.stream.truncate()
        return written.splitlines()

    def told(self, *events: Event) -> list[str]:
        """What is written for these events, without the time."""
        for event in events:
            self.observer.notice(REQUEST_ID, event)
        return [line.partition(" ")[2] for line in self.lines()]

    def messages(self, *events: Event) -> list[str]:
        """The messages that are written for these events, which all have the request's id."""
        return [line.split(f" [{REQUEST_ID}] ")[1] for line in self.told(*events)]


@pytest.fixture
def log() -> Iterator[Log]:
    """A log; afterwards nothing of it is left."""
    names = ("unpinned", "uvicorn.error", "asyncio")
    before = [(logging.getLogger(name), logging.getLogger(name).level) for name in names]
    noisy = logging.raiseExceptions
    log = Log()
    log.configure()
    yield log
    logging.raiseExceptions = noisy
    for logger, level in before:
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(level)


REMOVALS = (Removal("previous_response_id", "resp_1"), Removal("item_id", "rs_1"), Removal("reasoning", ""))


def test_ids_found(log: Log) -> None:
    """How many ids were found is said at INFO; which they are, at DEBUG alone."""
    read = Read(items=5, found=2, ids=("resp_1", "rs_1"))
    assert log.told(read) == [
        f"INFO [{REQUEST_ID}] Found 2 response IDs in conversation",
        f"DEBUG [{REQUEST_ID}] Original conversation length: 5",
        f"DEBUG [{REQUEST_ID}] Found 2 response IDs in conversation: [resp_1, rs_1]",
    ]
    log.configure("info")
    assert log.told(read) == [f"INFO [{REQUEST_ID}] Found 2 response IDs in conversation"]


def test_ids_removed(log: Log) -> None:
    """What was taken out is said at DEBUG alone."""
    assert log.told(Removed(REMOVALS)) == [
        f"DEBUG [{REQUEST_ID}] Ignoring previous_response_id resp_1",
        f"DEBUG [{REQUEST_ID}] Removing item_id: rs_1",
        f"DEBUG [{REQUEST_ID}] Removing reasoning: (no id)",
    ]
    log.configure("info")
    assert log.told(Removed(REMOVALS)) == []


def test_a_silent_log_costs_nothing(log: Log) -> None:
    """Where access lines are not wanted, none is made."""
    log.configure("warning")
    assert log.told(Answered("GET", "other", "/", 200, 0.0, complete=True, report=Report())) == []


def test_no_ids_found(log: Log) -> None:
    """Where there is nothing to say, nothing is said."""
    assert log.messages(Read(items=1, found=0)) == ["Original conversation length: 1"]
    log.configure("info")
    assert log.told(Read(items=1, found=0)) == []


@pytest.mark.parametrize(
    ("remedy", "attempt"),
    [
        ("portable", "Attempting recovery with portable conversation"),
        ("repaired", "Attempting recovery with repaired conversation"),
        ("fresh", "Attempting recovery with fresh conversation"),
        ("same", "Attempting again with the same conversation"),
    ],
)
def test_recovery(log: Log, remedy: Any, attempt: str) -> None:
    """A refusal that is not the end is told with its status, and then how it ended."""
    assert log.messages(Refused(400, "item", remedy), Recovered(remedy, 2)) == [
        f"400 Error - {attempt}",
        "Fresh conversation retry successful",
    ]


def test_no_recovery(log: Log) -> None:
    """A recovery that failed is told as such, and a refusal after which nothing could be tried as what it is."""
    relayed = "The refusal is relayed: the conversation cannot be recovered"
    store = "What this client refers to only upstream has; a store (UNPINNED_STORE) would have it, too"
    assert log.messages(Unrecovered("item", 3), Unrecovered("item", 1), Unrecovered("pairing", 1)) == [
        "Fresh conversation retry failed",
        f"{relayed}. {store}",
        relayed,
    ]
    log.observer = LogObserver(has_store=True)
    assert log.messages(Unrecovered("item", 1)) == [relayed]


def test_upstream_failed(log: Log) -> None:
    """A fault of the hop is a warning with its code."""
    assert log.told(UpstreamFailed("upstream_cut")) == [f"WARNING [{REQUEST_ID}] Upstream failed: upstream_cut"]


def test_losses(log: Log) -> None:
    """A lossy answer is a warning, for each credential and each reason at most once a minute."""
    said = "The model sees less than the client sent: "
    assert log.told(LossyAnswer("a", ("reasoning", "trimmed"))) == [f"WARNING [{REQUEST_ID}] {said}reasoning, trimmed"]
    log.now = 59
    assert log.messages(LossyAnswer("a", ("reasoning",))) == []
    assert log.messages(LossyAnswer("a", ("note", "reasoning"))) == [said + "note"]
    assert log.messages(LossyAnswer("b", ("reasoning",))) == [said + "reasoning"]
    log.now = 60
    assert log.messages(LossyAnswer("a", ("reasoning",))) == [said + "reasoning"]


def test_started_fresh(log: Log) -> None:
    """A conversation that lost its history is a warning that names the setting, for each credential once an hour."""
    (line,) = log.told(StartedFresh("a"))
    assert line.startswith(f"WARNING [{REQUEST_ID}] A conversation goes on without its history")
    assert "UNPINNED_MODE=auto" in line
    log.now = 3599
    assert log.told(StartedFresh("a")) == []
    assert len(log.told(StartedFresh("b"))) == 1
    log.now = 3600
    assert len(log.told(StartedFresh("a"))) == 1


def test_an_exceeded_budget(log: Log) -> None:
    """That too many recovery attempts failed is a warning with the figures and what follows, once a minute at most."""
    (line,) = log.told(BudgetExceeded(30, 100))
    assert line.startswith(
        f"WARNING [{REQUEST_ID}] 30 recovery attempts failed in the last 100 requests of one credential"
    )
    assert log.told(BudgetExceeded(30, 100)) == []
    log.now = 60
    assert len(log.told(BudgetExceeded(30, 100))) == 1


def test_a_store_that_fails(log: Log) -> None:
    """That the store fails is a warning, once a minute at most."""
    said = f"WARNING [{REQUEST_ID}] The store failed (recall: ConnectionError); requests go on without it"
    assert log.told(StoreFailed("recall", "ConnectionError"), StoreFailed("recall")) == [said]
    assert len(log.told(StoreFailed("remember"))) == 1
    log.now = 60
    assert log.told(StoreFailed("recall", "ConnectionError")) == [said]


def test_memory_is_bounded(log: Log) -> None:
    """Of what was said, the last thousand are remembered: an old one may be said again before its time."""
    log.told(StartedFresh("first"))
    log.told(*(StartedFresh(str(number)) for number in range(1000)))
    assert log.told(StartedFresh("999")) == []
    assert len(log.told(StartedFresh("first"))) == 1


REPORT = Report("recovered", "lossy", {"item_id": 3, "reasoning": 0}, {"note": 1}, attempts=2)


def answered(path: str = "/v1/responses", status: int = 200, *, complete: bool = True) -> Answered:
    """A request that is over."""
    return Answered("POST", "responses", path, status, 0.0123, complete, REPORT)


def test_access_line(log: Log) -> None:
    """Every request is one line: what it was, how it ended, how long it took, and what was done to it."""
    assert log.told(answered()) == [
        f"INFO [{REQUEST_ID}] POST /v1/responses 200 12.3ms recovered lossy attempts=2 item_id=3 note=1"
    ]
    assert log.messages(answered(complete=False))[0].endswith(" note=1 incomplete")
    assert log.messages(answered(status=0, complete=False))[0].startswith("POST /v1/responses - 12.3ms ")
    log.configure("warning")
    assert log.told(answered()) == []


def test_the_line_of_a_socket(log: Log) -> None:
    """One line says how long it was open and what each side sent, with the close code where it is known."""
    path = "/v1/realtime/sess_0123456789abcdef"
    line = "GET /v1/realtime/{id} 101 1234.5ms tunnel client_bytes=1 upstream_bytes=2"
    assert log.messages(SocketClosed(path, "tunnel", 1.23451, 1, 2)) == [line]
    assert log.messages(SocketClosed(path, "tunnel", 1.23451, 1, 2, 4003)) == [f"{line} close_code=4003"]


def test_line_of_a_session(log: Log) -> None:
    """A session's line says how many turns it had, and each turn has a line of its own."""
    line = "GET /v1/responses 101 1234.5ms session client_bytes=1 upstream_bytes=2 turns=3"
    closed = SocketClosed("/v1/responses", "session", 1.23451, 1, 2, 1012, 3)
    assert log.messages(closed) == [f"{line} close_code=1012"]
    ended = TurnEnded(2, 200, 0.0123, False, REPORT)
    assert log.messages(ended) == ["turn lane=2 200 12.3ms recovered lossy attempts=2 item_id=3 note=1 incomplete"]


def test_access_line_of_a_store(log: Log) -> None:
    """Whether the store knew what a request referred to stands at the end."""
    report = REPORT._replace(store="miss")
    (line,) = log.messages(answered()._replace(report=report))
    assert line.endswith("note=1 store=miss")


def test_a_hint(log: Log) -> None:
    """A refusal of what cannot travel ends its line with what it is."""
    (line,) = log.messages(answered()._replace(report=REPORT._replace(hint=Hint("file"))))
    assert line.endswith("note=1 hint=bound=file")


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/v1/responses/resp_68a1b2/input_items?after=msg_1", "/v1/responses/{id}/input_items"),
        ("/v1/responses/resp_68a1b2?api-key=hunter2", "/v1/responses/{id}"),
        ("/openai/v1/responses/input_tokens", "/openai/v1/responses/input_tokens"),
        ("/v1/fine_tuning/jobs", "/v1/fine_tuning/jobs"),
        ("/v1/models/gpt-5", "/v1/models/{id}"),
        ("/v1/sk-Abc123Def", "/v1/{id}"),
        ("/v1/abc%0d%0ax", "/v1/{id}"),
        ("/" + "a" * 40, "/{id}"),
        ("/", "/"),
        ("*", "{id}"),
    ],
)
def test_paths_are_masked(log: Log, path: str, shown: str) -> None:
    """A path shows words and versions; an id, a key or anything else in it is masked, and its query left out."""
    assert log.messages(answered(path))[0].split(" ")[1] == shown


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("rs_1\r\nINFO [req-1] all is well", "rs_1\\x0d\\x0aINFO\\x20[req-1]\\x20all\\x20is\\x20well"),
        ("rs_\x1b[31m", "rs_\\x1b[31m"),
        ("rs_\u202e\ud800\u00e9", "rs_\\u202e\\ud800\\xe9"),
        ("r" * 500, "r" * 80),
    ],
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_ids_cannot_write_lines(log: Log, hostile: str, shown: str, form: str) -> None:
    """An id that was made to break a line, to colour a terminal or to fill a disk is escaped and cut."""
    log.configure(form=form)
    log.observer.notice(REQUEST_ID, Removed((Removal("item_id", hostile),)))
    lines = log.lines()
    assert len(lines) == 1
    message = lines[-1].split("] ")[1] if form == "text" else orjson.loads(lines[-1])["message"]
    assert message == f"Removing item_id: {shown}" or shown in lines[-1]


def test_methods_cannot_write_lines(log: Log) -> None:
    """A method is shown as an id is."""
    (line,) = log.messages(Answered("G\x1bET", "other", "/", 400, 0.0, complete=True, report=Report()))
    assert line.startswith("G\\x1bET / 400 0.0ms passthrough exact attempts=1")


def test_json_lines(log: Log) -> None:
    """Where a machine reads it, each line is a JSON object with the time, the level, the message and the facts."""
    log.configure("info", "json")
    log.told(answered("/v1/responses/resp_1"), Refused(404, "item", "portable"))  # consumed
    log.observer.notice(REQUEST_ID, answered("/v1/responses/resp_1"))
    log.observer.notice(REQUEST_ID, Refused(404, "item", "portable"))
    access, refused = map(orjson.loads, log.lines())
    assert datetime.fromisoformat(access.pop("time")).tzinfo is not None
    assert access == {
        "level": "info",
        "message": "POST /v1/responses/{id} 200 12.3ms recovered lossy attempts=2 item_id=3 note=1",
        "request_id": REQUEST_ID,
        "method": "POST",
        "route": "responses",
        "path": "/v1/responses/{id}",
        "status": 200,
        "milliseconds": 12.3,
        "action": "recovered",
        "fidelity": "lossy",
        "removed": {"item_id": 3},
        "repaired": {"note": 1},
        "attempts": 2,
        "complete": True,
    }
    assert (refused["level"], refused["refusal"]) == ("info", "item")


FACTS = {"route": "responses", "action": "recovered", "fidelity": "lossy", "attempts": 2, "complete": True}
CHANGES = {"removed": {"item_id": 3}, "repaired": {"note": 1}}
SENTENCE = "POST /v1/responses 200 12.3ms recovered lossy attempts=2 item_id=3 note=1"


def test_lines_for_elastic(log: Log) -> None:
    """In the form `ecs` what every server tells has the names of the Elastic Common Schema, the rest is ours."""
    log.configure("info", "ecs")
    log.observer.notice(REQUEST_ID, answered())
    logging.getLogger("unpinned").warning("Ending")
    access, ending = map(orjson.loads, log.lines())
    assert datetime.fromisoformat(access.pop("@timestamp")).tzinfo is not None
    assert access == {
        "log.level": "info",
        "message": SENTENCE,
        "ecs.version": "8.11.0",
        "service.name": "unpinned",
        "service.version": __version__,
        "http.request.id": REQUEST_ID,
        "http.request.method": "POST",
        "url.path": "/v1/responses",
        "http.response.status_code": 200,
        "event.duration": 12_300_000,
        "unpinned": {**FACTS, **CHANGES},
    }
    assert (ending["log.level"], ending["message"], "unpinned" in ending) == ("warning", "Ending", False)


def test_lines_for_opentelemetry(log: Log) -> None:
    """In the form `otel` a line is a log record of OpenTelemetry, with the attributes of its conventions for HTTP."""
    log.configure("info", "otel")
    log.observer.notice(REQUEST_ID, answered())
    logging.getLogger("unpinned").error("Ending")
    access, ending = map(orjson.loads, log.lines())
    assert datetime.fromisoformat(access.pop("Timestamp")).tzinfo is not None
    assert access == {
        "SeverityText": "INFO",
        "SeverityNumber": 9,
        "Body": SENTENCE,
        "Attributes": {
            "http.request.method": "POST",
            "url.path": "/v1/responses",
            "http.response.status_code": 200,
            "unpinned.request_id": REQUEST_ID,
            "unpinned.milliseconds": 12.3,
            **{f"unpinned.{name}": value for name, value in {**FACTS, **CHANGES}.items()},
        },
        "Resource": {"service.name": "unpinned", "service.version": __version__},
    }
    assert (ending["SeverityNumber"], ending["Body"], ending["Attributes"]) == (17, "Ending", {})


def flat(line: dict[str, Any], prefix: str = "") -> set[str]:
    """The names of a line, those of its own part and of its attributes included."""
    names = {prefix + name for name in line}
    for name in ("unpinned", "Attributes"):
        names |= (
            flat(line[name], "unpinned." if name == "unpinned" else "") if isinstance(line.get(name), dict) else set()
        )
    return names


def test_the_documented_names(log: Log) -> None:
    """The page has the names that a line has in each form."""
    rows = [re.split(r" \| ", row.strip("| ")) for row in page("logs").splitlines() if row.startswith("| ")]
    table = [row for row in rows if len(row) == 4 and "`" in "".join(row[1:])]
    for form, cells in zip(("json", "ecs", "otel"), zip(*[row[1:] for row in table], strict=True), strict=True):
        log.configure("info", form)
        log.observer.notice(REQUEST_ID, answered()._replace(report=REPORT._replace(store="hit", hint=Hint("file"))))
        names = flat(orjson.loads(log.lines()[0]))
        documented = {name for cell in cells for name in re.findall(r"`([@\w.]+)`", cell)} - {
            "json",
            "ecs",
            "otel",
            "unpinned.",
        }
        assert documented <= names
        done = re.findall(r"`(\w+)`", next(row[0] for row in table if row[0].startswith("what was done")))
        assert {name if form == "json" else f"unpinned.{name}" for name in done} <= names


def sampled(log: Log, share: float, *events: Event) -> int:
    """How many lines a thousand requests have, each with these events."""
    log.configure("info", "text")
    observer = LogObserver(share=share)
    for number in range(1000):
        for event in events:
            observer.notice(f"req-{number:012x}", event)
    return len(log.lines())


ORDINARY = answered()._replace(report=Report("rewritten", "lossless", {"item_id": 3}))
TURN = TurnEnded(0, 200, 0.0123, True, ORDINARY.report)
SOCKET = SocketClosed("/v1/responses", "session", 1.0, 1, 2, turns=3)


def test_ordinary_requests_are_sampled(log: Log) -> None:
    """Of what is ordinary a share is written: all lines of one request, or none."""
    read = Read(items=5, found=2, ids=("resp_1", "rs_1"))
    assert sampled(log, 1, read, ORDINARY) == 2000
    assert sampled(log, 0, read, ORDINARY) == 0
    for events in ((read, ORDINARY), (read, TURN), (SOCKET, SOCKET._replace(close_code=1001))):
        some = sampled(log, 0.1, *events)
        assert some % 2 == 0
        assert 100 < some < 300


@pytest.mark.parametrize(
    "event",
    [
        Refused(404, "item", "portable"),
        Recovered("portable", 2),
        Unrecovered("item", 1),
        UpstreamFailed("upstream_cut"),
        answered(),
        ORDINARY._replace(status=404),
        ORDINARY._replace(status=0),
        ORDINARY._replace(status=502, fault="upstream_cut"),
        ORDINARY._replace(complete=False),
        ORDINARY._replace(report=Report("recovered", "lossless")),
        ORDINARY._replace(report=Report("unrecovered", "exact")),
        ORDINARY._replace(report=Report("rewritten", "lossy")),
        TURN._replace(status=404),
        TURN._replace(complete=False),
        TURN._replace(report=REPORT),
        SOCKET._replace(close_code=1011),
    ],
    ids=str,
)
def test_what_is_never_left_out(log: Log, event: Event) -> None:
    """A refusal, a recovery, a loss, a cut and a fault are written, however small the share."""
    assert sampled(log, 0, event) == 1000


def test_form_by_the_reader(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person at a terminal reads text, everybody else JSON lines; on standard error, unless told otherwise."""
    log.configure(form="auto")
    log.observer.notice(REQUEST_ID, StartedFresh("a"))
    assert log.lines()[0].startswith("{")
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)
    configure("info", "auto")
    log.observer.notice(REQUEST_ID, StartedFresh("b"))
    assert f"Z WARNING [{REQUEST_ID}] A conversation" in terminal.getvalue()


def test_mistakes_are_told_without_values(log: Log) -> None:
    """Of an exception the log has the type and the place; its message, and all further lines, may hold secrets."""
    server = logging.getLogger("uvicorn.error")
    try:
        int("sk-hunter2")
    except ValueError:
        server.exception("Exception in ASGI application\n")
    server.error("Traceback:\n  sk-hunter2\n")
    server.error("bare", exc_info=(None, None, None))
    server.error("no trace", exc_info=(ValueError, ValueError("sk-hunter2"), None))
    server.warning("Invalid HTTP request received.")
    mistake, traceback, bare, no_trace = (line.partition(" ")[2] for line in log.lines())
    assert mistake.startswith(
        "ERROR Exception in ASGI application (ValueError at test_mistakes_are_told_without_values:"
    )
    assert (traceback, bare, no_trace) == ("ERROR Traceback:", "ERROR bare", "ERROR no trace (ValueError)")


def test_mistakes_are_told_of_the_innermost_place(log: Log) -> None:
    """The place is where the exception was raised."""

    def innermost() -> None:
        raise KeyError("sk-hunter2")

    try:
        innermost()
    except KeyError:
        logging.getLogger("asyncio").exception("Task exception was never retrieved\nfuture: sk-hunter2")
    (line,) = log.lines()
    assert "(KeyError at test_mistakes_are_told_of_the_innermost_place.<locals>.innermost:" in line
    assert "hunter2" not in line


def test_cuts_are_no_mistakes(log: Log) -> None:
    """A task that is cancelled at the end of its time is no mistake of the server's."""
    server = logging.getLogger("uvicorn.error")
    server.error("Exception in ASGI application\n", exc_info=asyncio.CancelledError())
    assert log.lines() == []


def test_lines_without_a_request(log: Log) -> None:
    """What concerns no request has no id."""
    logging.getLogger("unpinned").info("Ending")
    assert log.lines()[0].endswith("Z INFO Ending")


def test_unknown_events_are_a_mistake(log: Log) -> None:
    """An event that nobody wrote a line for is found by the first test that sends it."""
    with pytest.raises(AssertionError):
        log.observer.notice(REQUEST_ID, object())  # type: ignore[arg-type]
