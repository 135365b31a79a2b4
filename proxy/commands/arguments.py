"""The command line's grammar: commands and flags in any order, and one sentence for a mistake.

The sentence names what was probably meant, and never what stands behind a flag, which may be a key.
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from proxy.settings.sources import nearest

_CREDENTIALS: Final = re.compile(r"\S*@")
_COMMAND: Final = re.compile(r"[a-z][a-z-]{0,15}")
"""What may have been meant as a command; any other word that stands there is not repeated."""
_ANY_WIDTH: Final = 80
_WITHOUT_COMMAND: Final = frozenset({"-h", "--help", "--version"})


class _Help(argparse.HelpFormatter):
    """Help as wide as the terminal, which is asked for its width only when there is help to write.

    argparse makes one of these for each flag, only to look at the flag: with `shutil`, which knows the terminal, that
    is 0.6 MiB and 8 ms of each start (measured 2026-11-30).
    """

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, width=_ANY_WIDTH, **options)

    def format_help(self) -> str:
        """The text."""
        fitting = argparse.HelpFormatter(self._prog)
        self._width, self._max_help_position = fitting._width, fitting._max_help_position  # noqa: SLF001 -- of its kind
        return super().format_help()


class Parser(argparse.ArgumentParser):
    """A parser that knows its flags and its commands by name."""

    def __init__(self, **options: Any) -> None:
        self.actions: list[argparse.Action] = []
        self.commands: Mapping[str, Parser] = {}
        super().__init__(allow_abbrev=False, formatter_class=_Help, **options)

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        """Add a flag or a positional argument, as argparse does."""
        action = super().add_argument(*names, **options)
        self.actions.append(action)
        return action

    def add_subparsers(self, **options: Any) -> Any:
        """Add the place of a command, as argparse does."""
        action = super().add_subparsers(prog=self.prog, **options)
        self.commands = action.choices
        return action

    @property
    def flags(self) -> dict[str, bool]:
        """Each flag that its help has, and whether a value follows it."""
        shown = [action for action in self.actions if action.help != argparse.SUPPRESS]
        return {flag: action.nargs != 0 for action in shown for flag in action.option_strings}

    def parsed(self, arguments: Sequence[str], default: str) -> argparse.Namespace:
        """What the arguments say, of the command `default` where they name none; ends the process on a mistake."""
        words = _ordered(self, list(arguments))
        if not words or (words[0] not in self.commands and words[0] not in _WITHOUT_COMMAND):
            words = [default, *words]
        chosen, unknown = self.parse_known_args(words)
        if unknown:
            _refuse(_named(self, words), unknown)
        return chosen

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit."""
        self.exit(2, f"unpinned: {_CREDENTIALS.sub('…@', message)}; see {self.prog} --help.\n")


def _ordered(parser: Parser, words: list[str]) -> list[str]:
    """The words with commands in front of flags, wherever they stood."""
    place = _place(parser, words) if parser.commands else None
    if place is None:
        return words
    name, others = words[place], [*words[:place], *words[place + 1 :]]
    if name not in parser.commands:
        named = repr(name) if _COMMAND.fullmatch(name) else "of that name"
        parser.error(f"there is no command {named}{nearest(name, parser.commands)}")
    return [name, *_ordered(parser.commands[name], others)]


def _place(parser: Parser, words: list[str]) -> int | None:
    """Where the first word stands that is neither a flag nor the value of one."""
    for place, word in enumerate(words):
        before = words[place - 1] if place else ""
        if word == "--":
            return None
        if not word.startswith("-") and not _is_value(parser, before, word):
            return place
    return None


def _is_value(parser: Parser, flag: str, word: str) -> bool:
    """Whether `word` is the value of `flag`; a command is none of a flag that is unknown, or has none elsewhere."""
    if not flag.startswith("-") or "=" in flag:
        return False
    known = _uses(parser, flag)
    return known == {True} or (known != {False} and word not in parser.commands)


def _uses(parser: Parser, flag: str) -> set[bool]:
    """Whether a value follows `flag`: what this parser, and those of its commands, say."""
    own = {parser.flags[flag]} if flag in parser.flags else set()
    return own.union(*(_uses(each, flag) for each in parser.commands.values()))


def _named(parser: Parser, words: list[str]) -> Parser:
    """The parser of the command that the words begin with."""
    command = parser.commands.get(words[0]) if words else None
    return _named(command, words[1:]) if command else parser


def _refuse(parser: Parser, unknown: list[str]) -> NoReturn:
    flags = [word.partition("=")[0] for word in unknown if word.startswith("-")]
    named = " ".join(flag + nearest(flag, parser.flags, "--") for flag in flags)
    parser.error(f"unrecognized arguments: {named or '…'}")
