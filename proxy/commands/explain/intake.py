"""What people have at hand in an incident, and the requests that are in it. No I/O.

A JSON body; a HAR of a browser or a proxy; `curl` commands and `curl --trace-ascii`; a debug log of an OpenAI SDK; a
request as Python prints it, with the SDK's objects in it; JSON lines, as of a batch; each of these as gzip. Where a
capture has upstream's refusal as well, it is taken along. What is no request of the Responses API is said to be none:
to explain it would be a false all-clear.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from proxy.commands.explain.curl import commands_in, trace_in
from proxy.commands.explain.python_repr import literal
from proxy.commands.explain.taken import ASKS, NoRequestError, NotJsonError, Taken, none, path_of, request, written
from proxy.commands.explain.verdict import Refusal
from proxy.http import content_coding
from proxy.responses.body.document import check
from proxy.responses.body.lenient import MalformedError

_LARGEST: Final = 64 * 1024 * 1024
_INNER: Final = ("body", "json_data", "json", "request", "kwargs")
"""Members in which logs and batches hold a request."""
_OPTIONS: Final = "Request options: "


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
        if _json_lines(raw, text) is None and literal(text) is None:
            raise NotJsonError(str(error)) from None
        return None
    if isinstance(value, dict) and isinstance(value.get("log"), dict):
        return list(_of_har(value["log"])) or none(value)
    if isinstance(value, dict) and any(name in value for name in ASKS) and "object" not in value:
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
    return taken or none(values[0])


def _debug_log(_: bytes, text: str) -> list[Taken] | None:
    """The `Request options` of an OpenAI SDK's debug log, one of each request."""
    if _OPTIONS not in text:
        if "Sending HTTP Request" in text or "HTTP Request: POST" in text:
            raise NoRequestError("it is a log of an SDK that writes no bodies down (openai 3.57 does not)")
        return None
    taken = []
    for line in text.splitlines():
        shown = line.partition(_OPTIONS)[2]
        value = literal(shown) if shown else None
        if isinstance(value, dict) and isinstance(value.get("json_data"), dict):
            one = request(written(value["json_data"]), path_of(str(value.get("url"))), "a debug log of an SDK")
            taken += [one] if one is not None else []
    return taken or none({})


def _python_repr(_: bytes, text: str) -> list[Taken] | None:
    value = literal(re.sub(r"^\w+\s*=\s*", "", text))
    return _found(value, "a Python repr") if isinstance(value, dict | list) else None


def _of_har(log: Any) -> Iterator[Taken]:
    entries = log.get("entries")
    for number, entry in enumerate(entries if isinstance(entries, list) else (), 1):
        asked, answered = _member(entry, "request"), _member(entry, "response")
        body = _member(asked, "postData").get("text")
        if asked.get("method") != "POST" or not isinstance(body, str):
            continue
        taken = request(body, path_of(str(asked.get("url"))), f"entry {number} of a HAR", must_be_routed=True)
        if taken is not None:
            yield taken._replace(refusal=_refusal(answered))


def _member(value: Any, name: str) -> dict[str, Any]:
    """The object that a member of a capture holds; an empty one where it holds none."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _refusal(answered: dict[str, Any]) -> Refusal | None:
    content = _member(answered, "content")
    status, text = answered.get("status"), content.get("text")
    if not isinstance(status, int) or status < 400 or not isinstance(text, str):
        return None
    try:
        said = base64.b64decode(text, validate=True) if content.get("encoding") == "base64" else text.encode()
    except (binascii.Error, ValueError):
        return None
    return Refusal(status, said)


def _found(value: Any, what: str) -> list[Taken]:
    return list(_in_object(value, what)) or none(value)


def _in_object(value: Any, what: str) -> Iterator[Taken]:
    """The request that a value is, holds, or, being a list of items, is the input of."""
    if isinstance(value, list) and value and all(isinstance(item, dict) and _is_item(item) for item in value):
        yield Taken(written({"input": value}).encode(), f"{what}, as the input of a request")
        return
    if not isinstance(value, dict):
        return
    if any(name in value for name in ASKS) and "object" not in value:
        yield Taken(written(value).encode(), what)
        return
    for name in _INNER:
        inner = value.get(name)
        if isinstance(inner, dict) and any(asks in inner for asks in ASKS):
            taken = request(written(inner), path_of(str(value.get("url") or "")), f"`{name}` of {what}")
            yield from [taken] if taken is not None else []


def _is_item(value: dict[str, Any]) -> bool:
    return isinstance(value.get("type"), str) or isinstance(value.get("role"), str)


_READERS: Final[tuple[Callable[[bytes, str], list[Taken] | None], ...]] = (
    _json_file,
    _json_lines,
    commands_in,
    trace_in,
    _debug_log,
    _python_repr,
)
"""In the order in which they are tried; each says None where it is not its kind of file."""
