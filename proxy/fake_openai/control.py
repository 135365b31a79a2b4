"""The routes under `/_fake`: tests script answers, let things expire, and read what was received.

They need no key and never show one.
"""

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from . import refusals
from .http import answered, parsed
from .state import Instance, Scripted

MANY = 1_000_000


def routes(instance: Instance) -> list[Route]:
    """The control routes of an instance."""

    async def refuse(request: Request) -> Response:
        """The next `times` requests get `status`, `body` (JSON or text), `content_type`, `headers`.

        Turns of a WebSocket get the same as an error frame; with `upgrade`, the next handshakes get it.
        """
        try:
            instance.script.append(_scripted(parsed(await request.body(), request)))
        except (refusals.Refusal, KeyError, TypeError, ValueError) as error:
            return answered({"error": {"message": f"not a scripted answer: {error}"}}, 400)
        return answered({"scripted": len(instance.script)})

    async def expire(request: Request) -> Response:
        """Makes `id` unknown to every key: an item, a response, a conversation; a container expires."""
        body = parsed(await request.body(), request)
        for account in instance.accounts.values():
            account.forget(str(body.get("id")))
        return answered({"expired": body.get("id")})

    async def reset(_request: Request) -> Response:
        instance.reset()
        return answered({"reset": True})

    async def received(_request: Request) -> Response:
        return answered({"requests": list(instance.received)})

    return [
        Route("/_fake/refuse", refuse, methods=["POST"]),
        Route("/_fake/expire", expire, methods=["POST"]),
        Route("/_fake/reset", reset, methods=["POST"]),
        Route("/_fake/requests", received, methods=["GET"]),
    ]


def _scripted(body: dict[str, Any]) -> Scripted:
    status, content = int(body["status"]), body.get("body", "")
    if not 200 <= status <= 599:
        raise ValueError("status is one of HTTP's final ones")
    text = content if isinstance(content, str) else json.dumps(content)
    kind = body.get("content_type", "text/plain" if isinstance(content, str) else "application/json")
    headers = {str(name): str(value) for name, value in dict(body.get("headers") or {}).items()}
    times = min(int(body.get("times", 1)), MANY)
    path, upgrade = str(body.get("path", "/responses")), bool(body.get("upgrade"))
    return Scripted(status, text.encode("utf-8", "replace"), str(kind), headers, times, path, upgrade)
