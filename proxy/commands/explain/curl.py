"""`curl` commands, and what `curl --trace-ascii` writes."""

import re
import shlex
from itertools import pairwise
from typing import Final

from proxy.commands.explain.taken import NoRequestError, Taken, none, path_of, request

_TRACE: Final = re.compile(r"^[0-9a-f]{4,8}: (.*)$")
_SENT: Final = re.compile(r"^(?:[0-9:. ]+)?=> Send (header|data)")
_ANSI: Final = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL)
_COMMAND: Final = re.compile(
    r"""^[$#>\s]*(curl\s(?:\$'(?:[^'\\]|\\.)*'|'[^']*'|"(?:[^"\\]|\\.)*"|\\.|[^\n\\'"])*)""", re.MULTILINE | re.DOTALL
)
_DATA: Final = frozenset({"-d", "--data", "--data-raw", "--data-binary", "--data-ascii", "--json"})


def commands_in(_: bytes, text: str) -> list[Taken] | None:
    """`curl` commands, each to its end: a backslash goes on in the next line."""
    commands = re.findall(_COMMAND, text)
    if not commands:
        return None
    taken = [one for command in commands if (one := _of_curl(command)) is not None]
    if not taken:
        raise NoRequestError("it is a curl command without a JSON body to …/responses")
    return taken


def _of_curl(command: str) -> Taken | None:
    plain = _ANSI.sub(lambda match: shlex.quote(_unescaped(match[1])), command)
    try:
        words = shlex.split(plain.replace("\\\r\n", " ").replace("\\\n", " "))
    except ValueError:
        return None
    body, path = None, ""
    for flag, word in pairwise(words):
        name, _, joined = flag.partition("=")
        if flag in _DATA:
            body = word
        elif name in _DATA and joined:
            body = joined
        path = path or path_of(word)
    if body is not None and body.startswith("@"):
        raise NoRequestError("it is a curl command whose body is in another file: explain that file")
    return request(body, path, "a curl command") if body is not None else None


def _unescaped(text: str) -> str:
    """What `$'…'` of a shell means."""
    return re.sub(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", lambda match: _unescape(match[1]), text, flags=re.DOTALL)


def _unescape(escape: str) -> str:
    if escape[0] in "ux" and len(escape) > 1:
        return chr(int(escape[1:], 16))
    return {"n": "\n", "t": "\t", "r": "\r"}.get(escape, escape)


def trace_in(_: bytes, text: str) -> list[Taken] | None:
    """`curl --trace-ascii`, or `curl -v`, which shows no bodies."""
    lines = text.splitlines()
    if not any(_SENT.match(line) for line in lines):
        if re.search(r"^> POST \S+ HTTP/", text, re.MULTILINE):
            raise NoRequestError("it is a capture of curl -v, which has no bodies: `--trace-ascii FILE` writes them")
        return None
    part, parts = "", {"header": "", "data": ""}
    for line in lines:
        sent = _SENT.match(line)
        piece = _TRACE.match(line)
        if sent:
            part = sent[1]
        elif piece and part:
            parts[part] += piece[1] + ("\n" if part == "header" else "")
        elif not piece:
            part = ""
    first = parts["header"].split()
    taken = request(parts["data"], path_of(first[1]) if len(first) > 1 else "", "a trace of curl")
    return [taken] if taken is not None else none({})
