"""`unpinned`: arguments -> Settings -> a running server.

Exit codes: 0 all went well, 1 the demonstration did not, 2 a setting or an argument cannot be used.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from proxy import __version__


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Do what the arguments say, and exit."""
    chosen = _parser().parse_args(_with_command(list(sys.argv[1:] if arguments is None else arguments)))
    sys.exit(chosen.do(chosen))


def _with_command(arguments: list[str]) -> list[str]:
    """`serve` is what is done where nothing else is said."""
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help", "--version")):
        return ["serve", *arguments]
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="unpinned",
        description="Stateless reverse proxy for the OpenAI Responses API: any conversation goes on, on any server.",
        epilog="Without a command, `serve` is done; `unpinned serve --help` shows its settings.",
    )
    parser.add_argument("--version", action="version", version=f"unpinned {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_serve(commands.add_parser("serve", help="run the proxy (the default)", allow_abbrev=False))
    _add_demo(commands.add_parser("demo", help="see the problem happen and be gone; no key needed"))
    _add_fake(commands.add_parser("fake-openai", help="run a fake of the Responses API, for tests of your own"))
    return parser


def _add_serve(parser: argparse.ArgumentParser) -> None:
    from proxy.settings import TABLE  # noqa: PLC0415 -- `--version` need not wait for it

    parser.description = "Run the proxy. Each setting is a flag or a variable; flags come first."
    for row in TABLE:
        text = f"{row.meaning} [{row.variable}, {row.default}]".replace("%", "%%")
        parser.add_argument(row.flag, metavar="VALUE", help=text)
    parser.set_defaults(do=_serve)


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--serve", action="store_true", help="leave everything running, and print the pages to open")
    parser.set_defaults(do=_demo)


def _add_fake(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--listen", metavar="ADDR", default="127.0.0.1:8090", help="HOST:PORT [127.0.0.1:8090]")
    parser.add_argument("--profile", choices=("openai", "azure"), default="openai", help="the dialect to speak")
    parser.add_argument("--delay", type=float, default=0.0, metavar="SECONDS", help="between two events of a stream")
    parser.set_defaults(do=_fake)


def _serve(chosen: argparse.Namespace) -> int:
    from proxy.app import build  # noqa: PLC0415
    from proxy.observers import logs  # noqa: PLC0415
    from proxy.server import run  # noqa: PLC0415
    from proxy.settings import SettingsError, load  # noqa: PLC0415

    try:
        settings = load(vars(chosen))
        logs.configure(settings.log_level, settings.log_format)
        run(settings, build(settings, logs.LogObserver()))
    except SettingsError as error:
        return _complain(str(error))
    return 0


def _demo(chosen: argparse.Namespace) -> int:
    from proxy.demo.demonstration import main as demonstrate  # noqa: PLC0415

    return demonstrate(leave_running=chosen.serve)


def _fake(chosen: argparse.Namespace) -> int:
    from proxy.demo import fake_openai  # noqa: PLC0415
    from proxy.settings import SettingsError, address  # noqa: PLC0415

    try:
        listen = address("--listen", chosen.listen)
        fake_openai.serve(listen.host, listen.port, profile=chosen.profile, delay=chosen.delay)
    except SettingsError as error:
        return _complain(str(error))
    return 0


def _complain(sentence: str) -> int:
    sys.stderr.write(f"unpinned: {sentence}\n")
    return 2
