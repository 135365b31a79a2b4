"""From HTTP to values and back: the caller's account, the body, and the header fields of every answer.

Refusals become answers here and nowhere else.
"""

import json
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from . import refusals
from .identifiers import digest
from .items import Item
from .shapes import named
from .state import Account, Instance, Scripted

LARGEST_RECORDED = 4 * 1024 * 1024
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass
class Call:
    """A request with a valid key."""

    request: Request
    instance: Instance
    account: Account
    body: dict[str, Any] = field(default_factory=dict)


Work = Callable[[Call], Awaitable[Response]]


def answered(body: Mapping[str, Any], status: int = 200) -> Response:
    """A JSON answer."""
    return Response(json.dumps(body, separators=(",", ":")), status, media_type="application/json")


def listing(items: Sequence[Item], query: Mapping[str, str]) -> dict[str, Any]:
    """A page of items, the newest first as they are given; `order=asc` turns them."""
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise refusals.wrong_choice("order", order, ("asc", "desc"))
    items = items if order == "desc" else items[::-1]
    names = [item["id"] for item in items]
    start = names.index(query["after"]) + 1 if query.get("after") in names else 0
    limit = _limit(query.get("limit"))
    page = list(items[start : start + limit])
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": start + limit < len(items),
    }


def _limit(text: str | None) -> int:
    limit = number(text, 20)
    if limit < 1:
        raise refusals.too_small("limit", 1, limit)
    if limit > 100:
        raise refusals.too_large("limit", 100, limit)
    return limit


def number(text: str | None, otherwise: int) -> int:
    """A number of a query."""
    return int(text) if text and text.isdecimal() and len(text) < 10 else otherwise


def endpoint(instance: Instance, work: Work) -> Endpoint:
    """A route that asks for a key, reads a JSON body and answers refusals in OpenAI's shape."""

    async def serve(request: Request) -> Response:
        started = time.perf_counter()
        raw = await _raw(request)
        organization = instance.options.organization or ""
        try:
            _record(instance, request, raw)
            scripted = instance.scripted(request.url.path) if request.method == "POST" else None
            if scripted is not None:
                response = as_scripted(scripted)
            else:
                account = instance.account(key_of(request.headers), request.headers.get("openai-organization"))
                organization = account.organization
                body = parsed(raw, request) if request.method == "POST" else {}
                response = await work(Call(request, instance, account, body))
        except refusals.Refusal as refusal:
            response = answered(refusal.body(), refusal.status)
        except RecursionError:
            response = answered(refusals.unreadable().body(), 400)
        add_fields(response, instance, organization, started)
        return response

    return serve


async def _raw(request: Request) -> bytes:
    try:
        return await request.body()
    except ClientDisconnect:
        return b""


def _record(instance: Instance, request: Request, raw: bytes) -> None:
    try:
        body = parsed(raw, request) if raw and len(raw) <= LARGEST_RECORDED else None
    except (refusals.Refusal, RecursionError):
        body = None
    instance.received.append(
        {
            "method": request.method,
            "path": request.url.path,
            "query": request.url.query,
            "headers": list(request.headers.keys()),
            "length": len(raw),
            "body": body,
        }
    )


def parsed(raw: bytes, request: Request) -> dict[str, Any]:
    """The object that a body holds; an empty body is an empty object."""
    try:
        decoded = _decoded(raw, request.headers.get("content-encoding", "identity"))
        body = json.loads(decoded.decode("utf-8")) if decoded else {}
    except (ValueError, zlib.error) as error:
        raise refusals.unreadable() from error
    if not isinstance(body, dict):
        raise refusals.wrong_type("body", "an object", named(body))
    return body


def _decoded(raw: bytes, encoding: str) -> bytes:
    if encoding in {"gzip", "deflate"}:
        return zlib.decompress(raw, wbits=47)
    return raw


def key_of(headers: Mapping[str, str]) -> str:
    """The key that a request brings, `""` where it has none."""
    if "api-key" in headers:
        return headers["api-key"]
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def as_scripted(scripted: Scripted) -> Response:
    """The answer that was scripted."""
    response = Response(scripted.body, scripted.status)
    response.headers["content-type"] = scripted.content_type
    response.headers.update(scripted.headers)
    return response


def add_fields(response: Response, instance: Instance, organization: str, started: float) -> None:
    """The header fields that every answer of the real API has."""
    instance.answered += 1
    request_id = digest(instance.options.instance, "request", str(instance.answered))[:32]
    elapsed = f"{(time.perf_counter() - started) * 1000:.0f}"
    fields = {
        "openai-organization": organization,
        "openai-processing-ms": elapsed,
        "openai-project": "proj_fake",
        "openai-version": "2020-10-01",
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-limit-tokens": "2000000",
        "x-ratelimit-remaining-requests": "9999",
        "x-ratelimit-remaining-tokens": "1999000",
        "x-ratelimit-reset-requests": "6ms",
        "x-ratelimit-reset-tokens": "30ms",
        "x-request-id": f"req_{request_id}",
    }
    for name, value in fields.items():
        response.headers.setdefault(name, value)
