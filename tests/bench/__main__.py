"""`python -m tests.bench`: what Unpinned costs, beside nginx and whatever else is installed.

Traffic goes to 127.0.0.1 only; every process started here ends with it.
"""

import argparse
import json
import resource
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from tests.bench import arrival, growth, plot, processes, report, rounds
from tests.bench.measuring import Bench, NotAnsweringError
from tests.bench.proxies import NGINX, RIVALS, VARIANTS, Proxy, chosen
from tests.bench.report import say
from tests.bench.traffic import Traffic

_QUICK = 0.3
_ONLY = f"of the candidates only these, and nginx; beside the usual ones: {', '.join(VARIANTS)}"


def main() -> None:
    """Measure, and print the table."""
    options = _parser().parse_args()
    _raise_descriptor_limit()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    result = json.loads(options.show.read_text()) if options.show else _measured(options)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    if options.plot and "growth" in result:
        plot.write(options.plot, result["growth"])
    show = report.markdown if options.markdown else report.text
    sys.stdout.write(show(result) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured [5]")
    parser.add_argument("--quick", action="store_true", help="short measures, and no more than a thousand streams")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help=_ONLY)
    parser.add_argument("--work", nargs="+", default=rounds.NAMES, choices=rounds.NAMES, help="measure only this")
    parser.add_argument("--serve", default="", metavar="ARGUMENTS", help="more arguments for `python -m proxy serve`")
    parser.add_argument("--before", type=Path, metavar="DIR", help="also measure the sources of Unpinned in DIR")
    parser.add_argument("--compiled", type=Path, metavar="DIR", help="the same, where they were compiled")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    parser.add_argument("--plot", type=Path, metavar="DIR", help="also measure growth, and draw it in DIR")
    parser.add_argument("--markdown", action="store_true", help="print the table for docs/performance.md")
    parser.add_argument("--show", type=Path, metavar="FILE", help="measure nothing, show what --json wrote")
    return parser


def _measured(options: argparse.Namespace) -> dict[str, Any]:
    proxies = _candidates(options)
    wanted = frozenset(options.work) - ({"many"} if options.quick else frozenset())
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        traffic = Traffic(Path(directory), processes.cores().rest)
        traffic.compile()
        with traffic.upstream():
            bench = Bench(traffic, Path(directory), _QUICK if options.quick else 1.0)
            verdicts = _verdicts(bench, proxies)
            proxies = [proxy for proxy in proxies if proxy.name in verdicts]
            result = rounds.as_json(rounds.run(bench, proxies, options.rounds, wanted))
            grown = {"growth": growth.measured(bench, proxies, quick=options.quick)} if options.plot else {}
    who = report.candidates(proxies, verdicts)
    date = datetime.now(UTC).date().isoformat()
    return {"date": date, "machine": report.machine(), "candidates": who, **result, **grown}


def _candidates(options: argparse.Namespace) -> list[Proxy]:
    others = {name: getattr(options, name) for name in ("before", "compiled") if getattr(options, name) is not None}
    present, missing = chosen(options.only, options.serve, others)
    for proxy in missing:
        say(f"{proxy.name} is not installed: {proxy.install}")
    if NGINX not in present:
        sys.exit("Nothing can be compared without nginx.")
    if processes.cores().proxy == processes.cores().rest:
        say("There is one core only: the load takes time from the proxy.")
    return present


def _verdicts(bench: Bench, proxies: list[Proxy]) -> dict[str, str]:
    """What reaches upstream through each candidate that answers; a rival that does not is left out."""
    found = {}
    for proxy in proxies:
        try:
            with bench.started(proxy) as running:
                found[proxy.name] = arrival.verdict(running)
        except NotAnsweringError as error:
            if proxy not in RIVALS:
                sys.exit(str(error))
            say(f"Left out: {error}")
    return found


def _raise_descriptor_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _interrupt(number: int, _: object) -> NoReturn:
    """End as the context managers say: everything that was started is ended."""
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
