"""The admin listener: whether the process lives, and whether it takes new requests."""

from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route


@dataclass
class Readiness:
    """Whether the process is about to end."""

    draining: bool = False


def admin(readiness: Readiness) -> Starlette:
    """The admin app. `/livez` answers while the process does; `/readyz` turns 503 when it begins to end."""

    async def livez(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        return PlainTextResponse("draining\n", 503) if readiness.draining else PlainTextResponse("ready\n")

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz)])
