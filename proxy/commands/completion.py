"""`unpinned completion SHELL`: the script by which a shell completes commands, flags, and the words of a flag."""

import sys
from collections.abc import Iterator
from typing import Any, Final

from proxy.commands.arguments import Parser
from proxy.settings import SettingsError
from proxy.settings.parsers import FILE
from proxy.settings.table import TABLE

_KINDS: Final = {row.flag: row.kind for row in TABLE}


def completion(parser: Parser, shell: str) -> int:
    """Print the script for a shell, made of a parser that parses nothing afterwards; the exit code."""
    try:
        import shtab  # noqa: PLC0415 -- an extra, and the script is printed once
    except ImportError:
        raise SettingsError("completion needs shtab: pip install 'unpinned[completion]'.") from None
    for action in _actions(parser):
        _describe(action, shtab.FILE)
    sys.stdout.write(shtab.complete(parser, shell) + "\n")
    return 0


def _actions(parser: Parser) -> Iterator[Any]:
    yield from parser.actions
    for command in parser.commands.values():
        yield from _actions(command)


def _describe(action: Any, file: object) -> None:
    """Say which words, or which files, an argument can be."""
    kind = _KINDS.get(action.option_strings[-1]) if action.option_strings and action.nargs != 0 else None
    if action.metavar == "FILE" or kind is FILE:
        action.complete = file
    elif kind is not None and kind.choices:
        action.choices = kind.choices
