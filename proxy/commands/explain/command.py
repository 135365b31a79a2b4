"""Reads the files and prints what is to be known. Exit codes as those of `diff`: 0, 1, and 2 for trouble.

Of several requests in one file, as of a HAR, each is explained in turn, and the exit code is the highest.
"""

import json
import sys
import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from proxy.commands.explain.continuing import Asking, judged
from proxy.commands.explain.diff import difference
from proxy.commands.explain.intake import requests_in
from proxy.commands.explain.taken import NoRequestError, NotJsonError, Taken
from proxy.commands.explain.verdict import Question, Refusal, Sent, Verdict
from proxy.report import ACTIONS, FIDELITIES, REFUSALS, REMEDIES, STORE, Explanation, Route
from proxy.responses.body.size import MOST, TooComplexError
from proxy.responses.policy import Policy

_COLORS: Final = {"-": "31", "+": "32", "@": "36", "#": "1"}
_WIDTH: Final = 100


class Options(NamedTuple):
    """The command's arguments; `-` is standard input."""

    file: str
    after_refusals: tuple[str, ...] = ()
    """Files with what upstream answered: one for each attempt that it concerns, several for one after another."""
    statuses: tuple[int, ...] = (400,)
    """The statuses of these answers; the last one counts for the rest."""
    route: Route | None = None
    """The route of the request; None: as the file says, else `responses`."""
    as_json: bool = False
    colored: bool = False
    fail_on: Literal["change", "lossy"] = "change"


def explain(options: Options, policy: Policy, asking: Asking | None = None) -> int:
    """Print what becomes of the requests in the file; the exit code."""
    try:
        refusals = tuple(_refusals(options))
        found = requests_in(_read(options.file))
        verdicts = [(one, judged(_question(one, options, policy, refusals), asking)) for one in found]
    except NoRequestError as error:
        return _trouble(f"{options.file} is no request of the Responses API: {error}")
    except NotJsonError as error:
        return _trouble(f"{options.file} is no JSON ({error}); Unpinned would forward it as it came")
    except OSError as error:
        return _trouble(f"{error.filename or options.file} cannot be read: {error.strerror}")
    except TooComplexError:
        return _trouble(f"{options.file} holds more than {MOST} values; Unpinned would refuse it with 413")
    lines = _as_json(verdicts) if options.as_json else _as_text(verdicts)
    colored = options.colored and not options.as_json
    _print(_colored(line) if colored else line for line in lines)
    return max(
        int(verdict.report.fidelity == "lossy" if options.fail_on == "lossy" else verdict.changes)
        for _, verdict in verdicts
    )


def _question(taken: Taken, options: Options, policy: Policy, refusals: tuple[Refusal, ...]) -> Question:
    captured = (taken.refusal,) if taken.refusal is not None else ()
    return Question(taken.body, policy, options.route or taken.route or "responses", refusals or captured)


def _refusals(options: Options) -> Iterator[Refusal]:
    for name, status in zip_longest(options.after_refusals, options.statuses, fillvalue=None):
        if name is not None:
            yield Refusal(status or options.statuses[-1], _read(name))


def _read(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()


def _trouble(sentence: str) -> int:
    sys.stderr.write(f"unpinned: {sentence}.\n")
    return 2


def _print(lines: Iterator[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()


def _colored(line: str) -> str:
    color = _COLORS.get(line[:1])
    return f"\x1b[{color}m{line}\x1b[0m" if color else line


def _as_json(verdicts: Sequence[tuple[Taken, Verdict]]) -> Iterator[str]:
    shown = [_shown(taken, verdict) for taken, verdict in verdicts]
    yield json.dumps(shown[0] if len(shown) == 1 else shown, indent=2, ensure_ascii=False)


def _shown(taken: Taken, verdict: Verdict) -> dict[str, Any]:
    report = verdict.report
    return {
        "taken": taken.what,
        "changes": verdict.changes,
        "action": report.action,
        "fidelity": report.fidelity,
        "attempts": report.attempts,
        "tried": [{"remedy": sent.remedy, "refusal": sent.refusal} for sent in verdict.attempts],
        "note": verdict.note,
        "store": report.store,
        "reasons": [
            {
                "name": name,
                "count": count,
                "lossy": name in verdict.lossy,
                "rule": why.rule,
                "lost": why.lost if name in verdict.lossy else "",
                "avoid": why.avoid,
            }
            for name, count, why in verdict.reasons()
        ],
        "sent": verdict.sent.decode("utf-8", "backslashreplace"),
    }


def _as_text(verdicts: Sequence[tuple[Taken, Verdict]]) -> Iterator[str]:
    for number, (taken, verdict) in enumerate(verdicts, 1):
        if number > 1:
            yield ""
        if taken.what:
            count = f"Request {number} of {len(verdicts)}" if len(verdicts) > 1 else "The request"
            refused = f", refused with {taken.refusal.status}" if taken.refusal is not None else ""
            yield f"# {count} is taken from {taken.what}{refused}."
        yield from _told(verdict)


def _told(verdict: Verdict) -> Iterator[str]:
    report = verdict.report
    if verdict.changes:
        yield from difference(verdict.came, verdict.sent)
        yield ""
    yield f"# {report.action}, {report.fidelity}: {ACTIONS[report.action]}; {FIDELITIES[report.fidelity]}."
    if report.store is not None:
        yield STORE[report.store]
    if len(verdict.attempts) > 1:
        yield from (_attempt(number, sent) for number, sent in enumerate(verdict.attempts, 1))
    if verdict.note:
        yield from textwrap.wrap(verdict.note, _WIDTH)
    for name, count, why in verdict.reasons():
        yield ""
        yield f"# {name}={count}"
        yield from _wrapped("", why.rule)
        yield from _consequence(why, lossy=name in verdict.lossy)


def _attempt(number: int, sent: Sent) -> str:
    form = f", {REMEDIES[sent.remedy]}" if sent.remedy is not None else ""
    end = f"refused: {REFUSALS[sent.refusal]}" if sent.refusal is not None else "answered"
    return f"  Attempt {number}{form}: {end}."


def _consequence(why: Explanation, *, lossy: bool) -> Iterator[str]:
    if lossy:
        yield from _wrapped("The model does not see: ", f"{why.lost}.")
        yield from _wrapped("To avoid it: ", why.avoid)
    elif why.lost:
        yield from _wrapped("", "Nothing is lost: the input holds it as well.")
    else:
        yield from _wrapped("Nothing is lost. To avoid it: ", why.avoid)


def _wrapped(lead: str, text: str) -> list[str]:
    return textwrap.wrap(lead + text, _WIDTH, initial_indent="  ", subsequent_indent="  ")
