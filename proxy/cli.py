"""`unpinned`: arguments -> Settings -> a running server.

Exit codes: 0 all went well, 1 the demonstration or a check did not (of `explain`: the request changes), 2 a setting, an
argument or a file cannot be used.
"""

import argparse
import sys
from collections.abc import Collection, Sequence
from typing import Final, NoReturn

from proxy import __version__
from proxy.build import build
from proxy.commands.arguments import Parser
from proxy.server.uvicorn_package import without_command_line
from proxy.settings import SettingsError, address, load, read, wants_color, warnings
from proxy.settings.sources import CONFIG, flag_of
from proxy.settings.table import GONE, TABLE


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Do what the arguments say, and exit."""
    chosen = parsed(sys.argv[1:] if arguments is None else arguments)
    try:
        sys.exit(chosen.do(chosen))
    except SettingsError as error:
        sys.exit(_complain(str(error)))


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """What the arguments say; `serve` is done where they name no command."""
    return _parser().parsed(arguments, "serve")


def commands() -> Collection[str]:
    """The commands that there are."""
    return _parser().commands


REFUSALS: Final = ("status", "flat", "nested", "response.error", "failed", "created+failed", "error+failed", "bare")
"""The shapes of the fake API's refusals, which is not imported before it is run."""


def _parser() -> Parser:
    parser = Parser(
        prog="unpinned",
        description="Stateless reverse proxy for the OpenAI Responses API: any conversation goes on, on any server.",
        epilog="Without a command, `serve` is done; `unpinned serve --help` shows its settings.",
    )
    parser.add_argument("--version", action="version", version=f"unpinned {__version__} ({build()})")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_serve(commands.add_parser("serve", help="run the proxy (the default)"))
    _add_explain(commands.add_parser("explain", help="say what would become of a request, and why"))
    _add_check(commands.add_parser("check", help="see whether the settings can work"))
    _add_healthcheck(commands.add_parser("healthcheck", help="ask the process on this machine whether it is ready"))
    _add_store(commands.add_parser("store", help="manage the conversation store"))
    _add_demo(commands.add_parser("demo", help="demonstrate the problem and the fix; no key needed"))
    _add_fake(commands.add_parser("fake-openai", help="run a fake of the Responses API, for tests of your own"))
    _add_completion(commands.add_parser("completion", help="print a script that completes commands and flags"))
    return parser


def _add_serve(parser: Parser) -> None:
    parser.description = (
        "Run the proxy. Each setting is a flag, a variable or a line of a file; a flag comes before a variable, and "
        "that before the file."
    )
    _add_settings(parser, [row.name for row in TABLE])
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.set_defaults(do=_serve)


def _add_settings(parser: Parser, names: Collection[str]) -> None:
    parser.add_argument("--config", metavar="FILE", help=f'a TOML file with settings, as `mode = "recover"` [{CONFIG}]')
    for row in TABLE:
        if row.name in names:
            text = f"{row.meaning} [{row.variable}, {row.default}]".replace("%", "%%")
            parser.add_argument(row.flag, metavar="VALUE", help=text)
    for name in GONE:
        parser.add_argument(flag_of(name), help=argparse.SUPPRESS)


def _add_explain(parser: Parser) -> None:
    parser.description = (
        "Say what would be sent in place of a request, and why. Upstream is not contacted; a store with a scope is. "
        "The exit code is that of diff: 0 nothing changes, 1 something does, 2 trouble."
    )
    parser.add_argument(
        "file",
        nargs="?",
        default="-",
        metavar="FILE",
        help="the body of a request, or a capture that has some (HAR, curl, …); - for standard input",
    )
    parser.add_argument(
        "--after-refusal",
        metavar="FILE",
        action="append",
        default=[],
        help="what upstream answered: to each attempt that it concerns; given again, to one attempt after another",
    )
    parser.add_argument(
        "--status", type=int, action="append", metavar="NUMBER", help="the status of that answer [400]; may be repeated"
    )
    parser.add_argument(
        "--route", choices=("responses", "input_tokens", "compact"), help="[as FILE says, else responses]"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="[auto]")
    parser.add_argument(
        "--fail-on", choices=("change", "lossy"), default="change", help="what exit code 1 stands for [change]"
    )
    of_store = ("store", "store_scope", "conversations")
    _add_settings(
        parser, ("mode", "profile", "upstream", "keep_last", "max_recoveries", "drop_conversation", *of_store)
    )
    parser.set_defaults(do=_explain)


def _add_check(parser: Parser) -> None:
    parser.description = (
        "Check that the settings can work: resolve upstream, connect to it and send HEAD without a key; write a test "
        "entry to the store, read it back and delete it. Exit code 0 if all is well, otherwise 1."
    )
    _add_settings(parser, [row.name for row in TABLE])
    parser.set_defaults(do=_check)


def _add_healthcheck(parser: Parser) -> None:
    parser.description = "Exit code 0 if the process on this machine takes requests, otherwise 1."
    row = next(row for row in TABLE if row.name == "admin_listen")
    parser.add_argument(row.flag, metavar="VALUE", help=f"where it answers [{row.variable}, {row.default}]")
    parser.set_defaults(do=_healthcheck)


def _add_store(parser: Parser) -> None:
    parser.description = "Manage the conversation store. Exit code 0 if all is well, otherwise 1."
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, text in (
        ("init", "make the tables of a database, or bring them up to date; `serve` does so as well, where it may"),
        ("check", "write, read back and delete a test entry"),
        ("purge", "forget what was not used for STORE_TTL; databases also do so while they are written to"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        if name == "purge":
            command.add_argument("--all", action="store_true", help="forget everything, of every scope")
        _add_settings(command, [row.name for row in TABLE if row.name.startswith("store")])
        command.set_defaults(do=_store, command=name)


def _add_demo(parser: Parser) -> None:
    parser.add_argument("--serve", action="store_true", help="leave everything running, and print the pages to open")
    parser.add_argument("--store", action="store_true", help="see what a shared store adds: references resolve")
    parser.set_defaults(do=_demo)


def _add_fake(parser: Parser) -> None:
    parser.add_argument("--listen", metavar="ADDR", default="127.0.0.1:8090", help="HOST:PORT [127.0.0.1:8090]")
    parser.add_argument("--profile", choices=("openai", "azure"), default="openai", help="the dialect to speak")
    parser.add_argument("--delay", type=float, default=0.0, metavar="SECONDS", help="between two events of a stream")
    parser.add_argument(
        "--refusals",
        choices=REFUSALS,
        default="status",
        metavar="SHAPE",
        help=f"how a streaming request is refused: with a status, or inside a 200 as relays do: {', '.join(REFUSALS)}",
    )
    parser.add_argument(
        "--socket-age", type=float, default=3600.0, metavar="SECONDS", help="how long a WebSocket may last [3600]"
    )
    parser.set_defaults(do=_fake)


def _add_completion(parser: Parser) -> None:
    parser.description = 'Print a script by which a shell completes: eval "$(unpinned completion bash)".'
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell")
    parser.set_defaults(do=_completion)


def _serve(chosen: argparse.Namespace) -> int:
    without_command_line()
    if chosen.worker is not None:
        from proxy.commands.serve import work  # noqa: PLC0415 -- `--help` and bad settings need not wait for it

        return work(chosen.worker)
    loaded = read(vars(chosen))

    from proxy.commands.serve import serve  # noqa: PLC0415 -- as above

    return serve(loaded, vars(chosen))


def _explain(chosen: argparse.Namespace) -> int:
    flags = {name: value for name, value in vars(chosen).items() if value is None or isinstance(value, str)}
    settings = load(flags)

    from proxy.app import policy  # noqa: PLC0415
    from proxy.commands.explain.command import Options, explain  # noqa: PLC0415
    from proxy.commands.explain.store import asking  # noqa: PLC0415 -- nothing else has a use for it

    colored = chosen.color == "always" or (chosen.color == "auto" and sys.stdout.isatty() and wants_color())
    options = Options(
        chosen.file,
        tuple(chosen.after_refusal),
        tuple(chosen.status or (400,)),
        chosen.route,
        as_json=chosen.json,
        colored=colored,
        fail_on=chosen.fail_on,
    )
    with asking(settings) as ask:
        return explain(options, policy(settings), ask)


def _check(chosen: argparse.Namespace) -> int:
    settings = load(vars(chosen))
    complaints = warnings(vars(chosen))
    for sentence in complaints:
        sys.stdout.write(f"BAD  {sentence}\n")

    from proxy.commands.check import check  # noqa: PLC0415 -- nothing else has a use for it
    from proxy.commands.store import upkeep  # noqa: PLC0415
    from proxy.store.trial import look  # noqa: PLC0415

    store = upkeep(settings, look) if settings.store != "off" else 0
    return max(check(settings), store, int(bool(complaints)))


def _store(chosen: argparse.Namespace) -> int:
    settings = load(vars(chosen))

    from proxy.commands import store as commands  # noqa: PLC0415 -- nothing else has a use for it
    from proxy.store.trial import look  # noqa: PLC0415

    purge = commands.purge_everything if getattr(chosen, "all", False) else commands.purge
    work = {"init": commands.initialize, "check": look, "purge": purge}[chosen.command]
    return commands.upkeep(settings, work)


def _healthcheck(chosen: argparse.Namespace) -> int:
    settings = load({"admin_listen": chosen.admin_listen})

    from proxy.commands.healthcheck import healthcheck  # noqa: PLC0415 -- nothing else has a use for it

    return healthcheck(settings.admin_listen)


def _demo(chosen: argparse.Namespace) -> int:
    if chosen.store:
        from proxy.demo.shared_store import main as demonstrate_store  # noqa: PLC0415 -- `serve` has no use for it

        return demonstrate_store()

    from proxy.demo.demonstration import main as demonstrate  # noqa: PLC0415 -- `serve` has no use for it

    return demonstrate(leave_running=chosen.serve)


def _fake(chosen: argparse.Namespace) -> int:
    listen = address("--listen", chosen.listen)
    if listen.path:
        raise SettingsError(f"--listen is {listen}, but must be HOST:PORT or [IPV6]:PORT here.")

    from proxy import fake_openai  # noqa: PLC0415 -- `serve` has no use for it

    options = {name: getattr(chosen, name) for name in ("profile", "delay", "refusals", "socket_age")}
    fake_openai.serve(listen.host, listen.port, **options)
    return 0


def _completion(chosen: argparse.Namespace) -> int:
    from proxy.commands.completion import completion  # noqa: PLC0415 -- nothing else has a use for it

    parser = _parser()
    _add_settings(parser, [row.name for row in TABLE])  # those of `serve`, where no command is named
    return completion(parser, chosen.shell)


def _complain(sentence: str) -> int:
    sys.stderr.write(f"unpinned: {sentence}\n")
    return 2
