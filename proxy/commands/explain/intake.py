"""What people have at hand in an incident, and the requests that are in it. No I/O.

A JSON body; a HAR of a browser or a proxy; `curl` commands and `curl --trace-ascii`; a debug log of an OpenAI SDK; a
request as Python prints it, with the SDK's objects in it; JSON lines, as of a batch; each of these as gzip. Where a
capture has upstream's refusal as well, it is taken along. What is no request of the Responses API is said to be none:
to explain it would be a false all-clear.
"""

import ast
import base64
import binascii
import json
import re
import shlex
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from proxy.commands.explain.verdict import NotJsonError, Refusal
from proxy.http import content_coding
from proxy.observers.redaction import masked
from proxy.report import Route
from proxy.responses.body.document import check
from proxy.responses.body.lenient import MalformedError
from proxy.responses.routes import route_of

_LARGEST: Final = 64 * 1024 * 1024
_ASKS: Final = ("input", "previous_response_id", "conversation", "prompt")
"""Members of which a request has at least one: "One of … must be provided", as the API says."""
_INNER: Final = ("body", "json_data", "json", "request", "kwargs")
"""Members in which logs and batches hold a request."""
_OTHERS: Final = (
    (lambda it: "messages" in it, "it is a request of Chat Completions, which passes untouched"),
    (lambda it: "choices" in it, "it is an answer of Chat Completions"),
    (lambda it: it.get("object") == "response", "it is a response: what is to be explained is the request"),
    (
        lambda it: "error" in it or "detail" in it,
        "it is a refusal: give it with --after-refusal, and the request as well",
    ),
    (lambda it: "log" in it, "it is a HAR without a request to …/responses that has a body"),
)
_OPTIONS: Final = "Request options: "
_TRACE: Final = re.compile(r"^[0-9a-f]{4,8}: (.*)$")
_SENT: Final = re.compile(r"^(?:[0-9:. ]+)?=> Send (header|data)")
_ANSI: Final = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL)
_COMMAND: Final = re.compile(
    r"""^[$#>\s]*(curl\s(?:\$'(?:[^'\\]|\\.)*'|'[^']*'|"(?:[^"\\]|\\.)*"|\\.|[^\n\\'"])*)""", re.MULTILINE | re.DOTALL
)
_DATA: Final = frozenset({"-d", "--data", "--data-raw", "--data-binary", "--data-ascii", "--json"})


class NoRequestError(ValueError):
    """There is no request of the Responses API in it: a sentence that says what it is instead."""


class Taken(NamedTuple):
    """A request, as it was found."""

    body: bytes
    what: str = ""
    """What it was taken from, in a few words; nothing where it is the file itself."""
    route: Route | None = None
    """The route, where the capture says it."""
    refusal: Refusal | None = None
    """What upstream answered, where the capture says it and it is a refusal."""


def requests_in(raw: bytes) -> list[Taken]:
    """The requests in a file, in order.

    Raises NoRequestError where there is none, and NotJsonError where it looks like JSON and is broken.
    """
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = content_coding.decode("gzip", raw, _LARGEST)
        except (content_coding.CorruptError, content_coding.TooLargeError):
            raise NoRequestError("it is a gzip file that is broken, or too large") from None
        return [one._replace(what=one.what or "a body in gzip") for one in requests_in(raw)]
    text = raw.decode("utf-8-sig", "surrogateescape").strip()
    if not text:
        raise NoRequestError("it is empty")
    for reads in _READERS:
        found = reads(raw, text)
        if found is not None:
            return found
    raise NoRequestError("it is neither JSON nor a capture of a kind that is known")


def _json_file(raw: bytes, text: str) -> list[Taken] | None:
    """A JSON value as a whole, or an object that is broken."""
    if text[0] not in "{[":
        return None
    try:
        value = json.loads(text)
    except RecursionError:
        return _deep(raw)
    except ValueError as error:
        if _json_lines(raw, text) is None and _python(text) is None:
            raise NotJsonError(str(error)) from None
        return None
    if isinstance(value, dict) and isinstance(value.get("log"), dict):
        return list(_of_har(value["log"])) or _none(value)
    if isinstance(value, dict) and any(name in value for name in _ASKS) and "object" not in value:
        return [Taken(raw)]
    return _found(value, "it")


def _deep(raw: bytes) -> list[Taken]:
    """JSON that is nested deeper than Python reads: the proxy does."""
    try:
        check(raw)
    except MalformedError:
        raise NotJsonError("it is nested deeply, and ends or breaks off where it should not") from None
    return [Taken(raw)]


def _json_lines(_: bytes, text: str) -> list[Taken] | None:
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        return None
    try:
        values = [json.loads(line) for line in lines]
    except (ValueError, RecursionError):
        return None
    taken = [
        one for number, value in enumerate(values, 1) for one in _in_object(value, f"line {number} of {len(lines)}")
    ]
    return taken or _none(values[0])


def _curl(_: bytes, text: str) -> list[Taken] | None:
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
        path = path or _path(word)
    if body is not None and body.startswith("@"):
        raise NoRequestError("it is a curl command whose body is in another file: explain that file")
    return _request(body, path, "a curl command") if body is not None else None


def _unescaped(text: str) -> str:
    """What `$'…'` of a shell means."""
    return re.sub(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", lambda match: _unescape(match[1]), text, flags=re.DOTALL)


def _unescape(escape: str) -> str:
    if escape[0] in "ux" and len(escape) > 1:
        return chr(int(escape[1:], 16))
    return {"n": "\n", "t": "\t", "r": "\r"}.get(escape, escape)


def _trace(_: bytes, text: str) -> list[Taken] | None:
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
    taken = _request(parts["data"], _path(first[1]) if len(first) > 1 else "", "a trace of curl")
    return [taken] if taken is not None else _none({})


def _debug_log(_: bytes, text: str) -> list[Taken] | None:
    """The `Request options` of an OpenAI SDK's debug log, one of each request."""
    if _OPTIONS not in text:
        if "Sending HTTP Request" in text or "HTTP Request: POST" in text:
            raise NoRequestError("it is a log of an SDK that writes no bodies down (openai 3.57 does not)")
        return None
    taken = []
    for line in text.splitlines():
        shown = line.partition(_OPTIONS)[2]
        value = _python(shown) if shown else None
        if isinstance(value, dict) and isinstance(value.get("json_data"), dict):
            one = _request(_written(value["json_data"]), _path(str(value.get("url"))), "a debug log of an SDK")
            taken += [one] if one is not None else []
    return taken or _none({})


def _python_repr(_: bytes, text: str) -> list[Taken] | None:
    value = _python(re.sub(r"^\w+\s*=\s*", "", text))
    return _found(value, "a Python repr") if isinstance(value, dict | list) else None


def _python(text: str) -> Any:
    """A Python literal in which calls, as objects of an SDK are printed, stand for objects; None where it is none."""
    try:
        return _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Dict():
            return {_value(key): _value(value) for key, value in zip(node.keys, node.values, strict=True) if key}
        case ast.List() | ast.Tuple():
            return [_value(element) for element in node.elts]
        case ast.Call():
            members = ((member.arg, _value(member.value)) for member in node.keywords)
            return {name: value for name, value in members if name and value is not None}
        case _:
            return ast.literal_eval(node)


def _of_har(log: Any) -> Iterator[Taken]:
    entries = log.get("entries")
    for number, entry in enumerate(entries if isinstance(entries, list) else (), 1):
        asked, answered = entry.get("request") or {}, entry.get("response") or {}
        body = (asked.get("postData") or {}).get("text")
        if asked.get("method") != "POST" or not isinstance(body, str):
            continue
        taken = _request(body, _path(str(asked.get("url"))), f"entry {number} of a HAR", must_be_routed=True)
        if taken is not None:
            yield taken._replace(refusal=_refusal(answered))


def _refusal(answered: Any) -> Refusal | None:
    content = answered.get("content") or {}
    status, text = answered.get("status"), content.get("text")
    if not isinstance(status, int) or status < 400 or not isinstance(text, str):
        return None
    try:
        said = base64.b64decode(text, validate=True) if content.get("encoding") == "base64" else text.encode()
    except (binascii.Error, ValueError):
        return None
    return Refusal(status, said)


def _path(address: str) -> str:
    """The path of a URL; nothing where it is none."""
    return urlsplit(address).path if re.match(r"https?://|/", address) else ""


def _request(body: str, path: str, what: str, *, must_be_routed: bool = False) -> Taken | None:
    """The request with this body, unless its path is that of something else."""
    route = route_of("POST", path.encode("utf-8", "surrogateescape")) if path else None
    if route == "other" or (must_be_routed and route is None):
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or (route is None and not any(name in value for name in _ASKS)):
        return None
    where = f"{what}, POST {masked(path)}" if path else what
    return Taken(body.encode("utf-8", "surrogateescape"), where, route)


def _found(value: Any, what: str) -> list[Taken]:
    return list(_in_object(value, what)) or _none(value)


def _in_object(value: Any, what: str) -> Iterator[Taken]:
    """The request that a value is, holds, or, being a list of items, is the input of."""
    if isinstance(value, list) and value and all(isinstance(item, dict) and _is_item(item) for item in value):
        yield Taken(_written({"input": value}).encode("utf-8", "surrogateescape"), f"{what}, as the input of a request")
        return
    if not isinstance(value, dict):
        return
    if any(name in value for name in _ASKS) and "object" not in value:
        yield Taken(_written(value).encode("utf-8", "surrogateescape"), what)
        return
    for name in _INNER:
        inner = value.get(name)
        if isinstance(inner, dict) and any(asks in inner for asks in _ASKS):
            taken = _request(_written(inner), _path(str(value.get("url") or "")), f"`{name}` of {what}")
            yield from [taken] if taken is not None else []


def _is_item(value: dict[str, Any]) -> bool:
    return isinstance(value.get("type"), str) or isinstance(value.get("role"), str)


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _none(value: Any) -> list[Taken]:
    """Raises NoRequestError with what a value is instead."""
    for holds, sentence in _OTHERS if isinstance(value, dict) else ():
        if holds(value):
            raise NoRequestError(sentence)
    raise NoRequestError("it has none of " + ", ".join(f"`{name}`" for name in _ASKS))


_READERS: Final[tuple[Callable[[bytes, str], list[Taken] | None], ...]] = (
    _json_file,
    _json_lines,
    _curl,
    _trace,
    _debug_log,
    _python_repr,
)
"""In the order in which they are tried; each says None where it is not its kind of file."""
